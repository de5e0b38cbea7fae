"""The one engine over a model, for training, evaluation, explanation and service.

    Encoder    clips -> features
    Generator  prompts -> answers, token by token
    Scorer     prompts and given answers -> log-probabilities

`Engine.answer` joins the first two: clips go in and answers come out in the clips' order, however many there are. What
a clip samples depends on the seed, its id and how often it came before, never on the clips beside it.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from r1omni.config.sections import EngineSection
from r1omni.core.answer_format import AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.clip_reader import ClipReader
from r1omni.infer.completion import Completion
from r1omni.infer.encoder import Encoder
from r1omni.infer.feature_cache import FeatureCache
from r1omni.infer.feature_names import FeatureNames
from r1omni.infer.features import Side
from r1omni.infer.generator import Generator
from r1omni.infer.prompt import Prompt, Sampling, clip_seeds
from r1omni.infer.scorer import Scorer
from r1omni.infer.text_field import text_field
from r1omni.model.adapters import TrainedModel
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.read_checkpoint import read_checkpoint
from r1omni.runs.file_hashes import shared_file_hashes


@dataclass
class _Answer:
    """The place of one clip in the order of what goes out."""

    error: MediaError | None = None
    completions: list[Completion | None] | None = None
    """One per sample, None while it is written."""

    @property
    def is_ready(self) -> bool:
        return self.error is not None or (self.completions is not None and None not in self.completions)

    def result(self) -> list[Completion] | MediaError:
        return self.error or [entry for entry in self.completions or () if entry is not None]


class Engine:
    """The parts that everything works with, over one model.

    Args:
        model: HumanOmni, with or without adapters; its weights may change whenever nothing is being written.
        processor: its processor.
        encoder: over the same model.
        generator: over the same model.
        scorer: over the same model.
    """

    def __init__(
        self,
        model: TrainedModel,
        processor: HumanOmniProcessor,
        encoder: Encoder,
        generator: Generator,
        scorer: Scorer,
    ) -> None:
        self.model, self.processor = model, processor
        self.encoder, self.generator, self.scorer = encoder, generator, scorer

    @property
    def answer_format(self) -> AnswerFormat:
        """The tagged parts that the model's answers are asked for and read in."""
        return AnswerFormat.spelled(self.processor.answer_format)

    def answer(
        self, clips: Iterable[Clip], instruction: str, sampling: Sampling
    ) -> Iterator[list[Completion] | MediaError]:
        """Yield each clip's answers, or the error that says why it cannot be read, in the clips' order.

        Clips are taken as places get free, so that memory holds the features of no more clips than the encoder has
        under way and the generator can write to at once. Leaving the iterator early cancels what is being written.

        Args:
            clips: any number.
            instruction: what is asked about each.
            sampling: how answers are drawn; its seed, with a clip's id, makes the seed of the clip.

        Raises:
            ConfigError: a sampling that cannot be used, or a request that exceeds the generator's budget.
            GenerationError: a clip could be read, and its answer could not be written.
        """
        asked: deque[Clip] = deque()
        waiting: deque[_Answer] = deque()
        written: dict[int, _Answer] = {}

        def noted() -> Iterator[Clip]:
            for clip in clips:
                asked.append(clip)
                yield clip

        seeds = clip_seeds(sampling.seed)
        with closing(self.encoder.stream(noted())) as features:
            try:
                is_more = True
                while is_more or waiting:
                    while is_more and self.generator.num_wanted:
                        found = next(features, None)
                        is_more = found is not None
                        if found is None:
                            break
                        seed, answer = seeds(asked.popleft().id), _Answer()
                        waiting.append(answer)
                        if isinstance(found, MediaError):
                            answer.error = found
                            continue
                        prompt = Prompt.ask(instruction, found)
                        (number,) = self.generator.admit([prompt], replace(sampling, seed=seed), stream=False)
                        answer.completions, written[number] = [None for _ in range(sampling.num_samples)], answer
                    while waiting and waiting[0].is_ready:
                        yield waiting.popleft().result()
                    # Without a place and without an answer of its own, others hold all places.
                    if waiting or (is_more and not self.generator.num_wanted):
                        self._step(written)
            finally:
                self.generator.drop(written)

    def _step(self, written: dict[int, _Answer]) -> None:
        for event in self.generator.step_for(written):
            if event.completion is not None:
                answer = written[event.request]
                assert answer.completions is not None
                answer.completions[event.sample] = event.completion
                if answer.is_ready:
                    del written[event.request]


def build_engine(
    model: TrainedModel, processor: HumanOmniProcessor, settings: EngineSection | None = None, *, keeps: bool = True
) -> Engine:
    """Build the one engine over a loaded model.

    Args:
        model: HumanOmni, with or without adapters.
        processor: its processor.
        settings: the engine's section of a configuration; None takes the defaults.
        keeps: keep features on disk, in the cache that the settings name; without, in memory alone.

    Raises:
        ConfigError: the words of clips are asked for, and what reads them is missing.
    """
    settings = settings or EngineSection()
    if settings.answer_format is not None:
        processor = processor.with_answer_format(AnswerFormat.spelled(settings.answer_format))
    encoder = Encoder(
        model,
        processor,
        cache=_cache(settings) if keeps else None,
        batch_size=settings.batch_size,
        num_workers=settings.num_workers,
        num_frames=settings.num_frames or processor.num_frames,
        modality=settings.modality,
        read_text=text_field(settings),
    )
    generator = Generator(model, processor, max_prompts=settings.batch_size, kv_bytes=settings.kv_bytes)
    return Engine(model, processor, encoder, generator, Scorer(model, processor, batch_size=settings.batch_size))


def build_reader(
    model: str, settings: EngineSection, names: Mapping[Side, str] | None = None, *, keeps: bool = True
) -> ClipReader:
    """Build the half of an engine's encoder that decodes, without loading weights.

    Args:
        model: folder or hub id of the checkpoint.
        settings: the engine's section of a configuration.
        names: what features are called in the cache, `FeatureNames.shared` of the engine; None looks none up.
        keeps: see `build_engine`.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ConfigError: see `build_engine`.
    """
    processor = read_checkpoint(model, video_pooling=settings.video_pooling).processor()
    return ClipReader(
        processor,
        settings.num_frames or processor.num_frames,
        settings.modality,
        _cache(settings) if keeps else None,
        None if names is None else FeatureNames(names, shared_file_hashes()),
        text_field(settings),
    )


def _cache(settings: EngineSection) -> FeatureCache:
    folder = settings.cache_dir or Path(os.environ.get("R1OMNI_CACHE", "~/.cache/r1omni")).expanduser() / "features"
    return FeatureCache(folder, settings.cache_bytes)
