"""Manifests -> one run folder each -> one report: what every front door of evaluation calls.

A run's identity is fixed here (`run_identity`). Not part of it, because it changes no answer: the output folder,
resuming, shards, the batch size, workers and caches, the path or hub id by which the weights are reached, the path of
the manifest, and the machine with the number format it computes best in (rounding). Not part of it either: what only
grades (normaliser, label set, groups) and what a report shows; with windows the label set is, because it decides
between their answers. The files of the clips are not hashed: the manifest's bytes stand for them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from r1omni.config.evaluation_run import EvaluationConfig
from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.instruction import instruction_for
from r1omni.core.labels import LABEL_SETS, label_set
from r1omni.datasets.manifest import manifest_hash, read_manifest
from r1omni.evaluate.label_chances import label_chances, write_probabilities
from r1omni.evaluate.picks import keep_picks
from r1omni.evaluate.predictions import read_predictions
from r1omni.evaluate.run import Grading, evaluate, score_again
from r1omni.evaluate.side_by_side import write_report
from r1omni.infer.engine import Engine
from r1omni.infer.greedy_answers import greedy_outcomes, greedy_outcomes_in_windows
from r1omni.infer.text_field import text_field_identity
from r1omni.model.checkpoint_hash import checkpoint_identity
from r1omni.model.stored_answer_format import answer_format_of
from r1omni.runs.record import run_facts
from r1omni.scoring.prediction import Prediction, Said

OnProgress = Callable[[str, float], None]
"""Called with a manifest and the share of its clips that is answered."""

AnswerElsewhere = Callable[[Sequence[Clip], str, Sequence[str] | None], Iterator[Said | MediaError]]
"""Clips, instruction and label set to what `outcomes` gives, by other processes."""


@dataclass(frozen=True)
class _Part:
    """What is evaluated of one manifest, and where it goes."""

    manifest: Path
    clips: list[Clip]
    labels: tuple[str, ...] | None
    folder: Path


@runtime_checkable
class Explain(Protocol):
    """Explains the answers of a run and writes `explanations.jsonl`: `explain.explained_corpus.corpus_explainer`."""

    def __call__(
        self,
        engine: Callable[[], Engine],
        clips: Sequence[Clip],
        predictions: Sequence[Prediction],
        instruction: str,
        labels: Sequence[str],
        folder: Path,
        on_progress: Callable[[int, int], None],
    ) -> object:
        """Explain the answers.

        Args:
            engine: returns the engine over the model that answered.
            clips: each as it was read.
            predictions: one per clip.
            instruction: what was asked.
            labels: the label set.
            folder: of the run.
            on_progress: called with (answers explained, answers with reasons).
        """
        ...


def evaluate_manifests(
    run: EvaluationConfig,
    load: Callable[[], Engine],
    on_progress: OnProgress = lambda manifest, share: None,
    explain: Explain | None = None,
    elsewhere: AnswerElsewhere | None = None,
) -> dict[str, dict[str, Any] | None]:
    """Answer and score every manifest, and write the report once all are complete.

    Args:
        run: which model answers what.
        load: returns the engine over `run.model`; called only where answers or their probabilities are missing.
        on_progress: called with how far each manifest is.
        explain: explains the answers, where `run.explain` asks for it.
        elsewhere: answers the clips in the place of the engine; no clips are then picked for the report.

    Returns:
        Manifest -> its scores; None where other shards are still at work.

    Raises:
        ConfigError: nothing to evaluate in a manifest, no label to measure against, or a folder that holds another run.
        CheckpointError: the model cannot be read.
    """
    engine = cache(load)
    answer_format = answer_format_of(run.model, run.engine.answer_format)
    instruction = instruction_for(run.answers, answer_format)
    identity = run_identity(run, answer_format)
    parts = [_part_of(run, manifest) for manifest in run.data]
    results: dict[str, dict[str, Any] | None] = {}
    for part in parts:
        name, digest = str(part.manifest), manifest_hash(part.manifest)
        grading = Grading(part.labels, run.normaliser, run.group_by, answer_format)
        results[name] = evaluate(
            lambda clips, part=part: (
                outcomes(run, engine(), clips, instruction, part.labels)
                if elsewhere is None
                else elsewhere(clips, instruction, part.labels)
            ),
            part.clips,
            grading,
            out_dir=part.folder,
            identity=identity | {"manifest": digest} | _window_identity(run, part),
            facts=_facts(run, part, digest),
            resume=run.resume,
            shard=run.shard,
            on_progress=lambda done, total, name=name: on_progress(name, done / total),
        )
        if results[name] is not None and run.explain and explain is not None and part.labels is not None:
            said = read_predictions(part.folder / "predictions.jsonl")
            explain(
                engine,
                _as_answered(part.clips, said),
                said,
                instruction,
                part.labels,
                part.folder,
                lambda done, total, name=name: on_progress(f"{name}: reasons", done / total),
            )
            results[name] = score_again(part.folder, part.clips, grading)
        if results[name] is not None and run.probabilities and part.labels is not None:
            said = read_predictions(part.folder / "predictions.jsonl")
            write_probabilities(engine, part.clips, said, instruction, part.labels, part.folder)
            results[name] = score_again(part.folder, part.clips, grading)
        if results[name] is not None and run.shown and part.labels is not None and elsewhere is None:
            _pick(run, part.labels, part, engine, instruction)
    if all(scores is not None for scores in results.values()):
        write_report([part.folder for part in parts], run.out / "report.html")
    return results


def run_identity(run: EvaluationConfig, answer_format: AnswerFormat = PAPER_FORMAT) -> dict[str, Any]:
    """Return everything in a configuration that could change an answer; the manifest is added per run.

    Args:
        run: which model answers what.
        answer_format: the tagged parts of its answers; another one than the paper's is named.
    """
    return {
        **checkpoint_identity(run.model, video_pooling=run.engine.video_pooling),
        "modality": run.engine.modality,
        "num_frames": run.engine.num_frames,
        **text_field_identity(run.engine),
        "instruction": instruction_for(run.answers, answer_format),
        "max_new_tokens": run.max_new_tokens,
        "fold": run.fold,
        "split": run.split,
        **({} if answer_format == PAPER_FORMAT else {"answer_format": str(answer_format)}),
    }


def _window_identity(run: EvaluationConfig, part: _Part) -> dict[str, Any]:
    """With windows, the label set chooses between their answers: it is part of what was asked."""
    return {"windows": list(part.labels or ["open"])} if run.windows else {}


def outcomes(
    run: EvaluationConfig, engine: Engine, clips: Sequence[Clip], instruction: str, labels: Sequence[str] | None
) -> Iterator[Said | MediaError]:
    """Return what the model says of each clip, or why it cannot be read, in the clips' order.

    Args:
        run: which model answers what.
        engine: over that model.
        clips: any number.
        instruction: what is asked.
        labels: the label set; None for free words.
    """
    if run.windows:
        return greedy_outcomes_in_windows(engine, clips, instruction, run.max_new_tokens, labels)
    return greedy_outcomes(engine, clips, instruction, run.max_new_tokens)


def _part_of(run: EvaluationConfig, manifest: Path) -> _Part:
    every = read_manifest(manifest)
    clips = [
        clip
        for clip in every
        if (run.fold is None or clip.fold == run.fold) and (run.split is None or clip.split == run.split)
    ]
    if not clips:
        raise ConfigError(f"{manifest}: holds no clip of fold {run.fold}, split {run.split}; fix --fold or --split")
    folder = run.out if len(run.data) == 1 else run.out / manifest.parent.name / manifest.stem
    # The whole manifest's labels: one fold of a compound set need not hold all of its classes.
    return _Part(manifest, clips, _label_set(run.labels, every), folder)


def _label_set(choice: str, clips: list[Clip]) -> tuple[str, ...] | None:
    if choice == "open":
        return None
    if choice == "manifest":
        return tuple(sorted({clip.label for clip in clips if clip.label is not None}))
    return LABEL_SETS.get(choice) or label_set(clips)


def _facts(run: EvaluationConfig, part: _Part, digest: str) -> dict[str, Any]:
    return run_facts(manifest_hashes={str(part.manifest): digest}) | {
        "model": run.model,
        "manifest": str(part.manifest.resolve()),
        "corpus": ", ".join(sorted({clip.corpus or part.manifest.stem for clip in part.clips})),
        "fold": run.fold,
        "split": run.split,
    }


def _as_answered(clips: Sequence[Clip], said: Sequence[Prediction]) -> list[Clip]:
    """Return each clip as it was answered: of a long one the window that the answer is from."""
    answered = {
        prediction.id: prediction.windows[prediction.answer_window]
        for prediction in said
        if prediction.answer_window is not None and len(prediction.windows) > 1
    }
    return [
        replace(clip, start_s=answered[clip.id].start_s, stop_s=answered[clip.id].stop_s)
        if clip.id in answered
        else clip
        for clip in clips
    ]


def _pick(
    run: EvaluationConfig, labels: tuple[str, ...], part: _Part, engine: Callable[[], Engine], instruction: str
) -> None:
    said = read_predictions(part.folder / "predictions.jsonl")
    as_answered = {clip.id: clip for clip in _as_answered(part.clips, said)}

    def likelihood(clips: Sequence[Clip], texts: Sequence[str]) -> list[dict[str, float] | MediaError]:
        return label_chances(engine(), [as_answered[clip.id] for clip in clips], texts, instruction, labels)

    keep_picks(part.folder, part.clips, said, likelihood, run.shown, labels)
