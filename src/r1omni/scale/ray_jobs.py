"""What the pipeline on Ray is used for: annotation, evaluation, and features for the cache."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from typing import TypeVar

from r1omni.config.annotation_run import AnnotationConfig
from r1omni.config.evaluation_run import EvaluationConfig
from r1omni.config.feature_run import FeatureConfig
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.evaluate.manifests import AnswerElsewhere, outcomes
from r1omni.infer.clip_windows import Split
from r1omni.infer.engine import Engine, build_reader
from r1omni.infer.predict_files import BUNDLED_MODEL
from r1omni.scale.annotation import AnswerBatches, answer_found, lender
from r1omni.scale.ray_pipeline import ClipJob, Found, results_on_ray
from r1omni.scoring.prediction import Said

Item = TypeVar("Item")


def annotation_on_ray(run: AnnotationConfig, load: Callable[[], Engine]) -> AnswerBatches:
    """Return what answers the batches of an annotation on a Ray cluster.

    Args:
        run: which model annotates what.
        load: returns the engine, without a cache; called in each actor.
    """
    reader = partial(build_reader, run.model or str(BUNDLED_MODEL), run.engine, keeps=False)
    job = ClipJob(load, reader, lender(run), partial(answer_found, run), run.windows)
    return partial(results_on_ray, job, run.cluster)


def evaluation_on_ray(run: EvaluationConfig, load: Callable[[], Engine]) -> AnswerElsewhere:
    """Return what answers the clips of an evaluation on a Ray cluster.

    Args:
        run: which model answers what.
        load: returns the engine, with its cache; called in each actor.
    """

    def answer(clips: Sequence[Clip], instruction: str, labels: Sequence[str] | None) -> Iterator[Said | MediaError]:
        def together(engine: Engine, items: Sequence[Clip], found: Found) -> list[Said | MediaError]:
            return list(outcomes(run, engine, items, instruction, labels))

        reader = partial(build_reader, run.model, run.engine, keeps=True)
        job = ClipJob(load, reader, _as_they_are, together, run.windows, is_cached=True)
        for said in results_on_ray(job, run.cluster, _batches(clips, run.engine.batch_size)):
            yield from said

    return answer


def features_on_ray(
    run: FeatureConfig, load: Callable[[], Engine], clips: Iterable[Clip]
) -> Iterator[MediaError | None]:
    """Encode clips on a Ray cluster into the cache; yields why each could not be read, or None, in the clips' order.

    Args:
        run: whose towers read what.
        load: returns the engine, with its cache; called in each actor.
        clips: any number.
    """
    reader = partial(build_reader, run.model, run.engine, keeps=True)
    job: ClipJob[Clip, MediaError | None] = ClipJob(load, reader, _as_they_are, None, is_cached=True)
    for errors in results_on_ray(job, run.cluster, _batches(clips, run.engine.batch_size)):
        yield from errors


def _as_they_are(clips: Sequence[Clip], split: Split) -> AbstractContextManager[Sequence[Clip]]:
    return nullcontext(clips)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
