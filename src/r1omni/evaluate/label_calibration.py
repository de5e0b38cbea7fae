"""Calibrates label probabilities on held-out clips: answers, scores of the labels after them, two numbers.

The probability is of a label given the clip and the reasons that were written about it. As the answer follows from the
reasons, it says how sure the model is of its conclusion, not how sure it is that the reasons are right: how often they
are wrong is in the lapse rate, on average, and nothing tells answers with wrong reasons from others.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.instruction import instruction_for
from r1omni.core.labels import label_set
from r1omni.datasets.manifest import read_manifest
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features
from r1omni.infer.greedy_answers import greedy_outcomes
from r1omni.infer.prompt import Prompt
from r1omni.model.stored_calibration import writable_checkpoint, write_calibration
from r1omni.scoring.calibration import LabelCalibration, expected_calibration_error, fit_calibration
from r1omni.scoring.normalise import exact


@dataclass(frozen=True)
class ClipsOfLabelSet:
    """Clips with gold labels, and the label set that these are from."""

    clips: Sequence[Clip]
    labels: Sequence[str]


@dataclass(frozen=True)
class FittedCalibration:
    """A calibration, and what it does to the clips that it was fitted on; shares are fractions."""

    temperature: float
    lapse_rate: float
    num_clips: int
    num_errors: int
    """Clips that could not be read and are left out."""
    label_errors: float
    """Share of the gold labels that was taken as wrong."""
    accuracy: float
    """Share of clips whose likeliest label is the gold label."""
    mean_confidence_before: float
    """Of the likeliest label, before calibration."""
    mean_confidence: float
    """The same, calibrated."""
    ece_before: float | None
    """Expected calibration error against the gold labels, before calibration."""
    ece: float | None
    """The same, calibrated."""


def fit_on_clips(
    engine: Engine,
    groups: Sequence[ClipsOfLabelSet],
    instruction: str,
    max_tokens: int,
    label_errors: float = 0.0,
) -> FittedCalibration:
    """Answer labelled clips greedily and fit one calibration to all of them; the engine's own is left as it is.

    Args:
        engine: over the model.
        groups: clips by label set; those without a gold label are left out.
        instruction: what is asked.
        max_tokens: tokens of an answer.
        label_errors: share of the gold labels that is wrong, see `scoring.calibration`.

    Raises:
        ConfigError: no clip has a gold label or can be read, or a gold label is not in its label set.
    """
    scores: list[list[float]] = []
    golds: list[int] = []
    num_errors = 0
    for group in groups:
        labels = [exact(label) for label in group.labels]
        clips = [clip for clip in group.clips if clip.label is not None]
        strangers = sorted({exact(clip.label or "") for clip in clips} - set(labels))
        if strangers:
            raise ConfigError(f"Gold labels {', '.join(strangers)} are not in the label set ({', '.join(labels)}).")
        for clip, found in zip(clips, _scores(engine, clips, labels, instruction, max_tokens), strict=True):
            if found is None:
                num_errors += 1
                continue
            scores.append([found[label] for label in labels])
            golds.append(labels.index(exact(clip.label or "")))
    if not scores:
        raise ConfigError(f"Found no clip with a gold label that can be read ({num_errors} cannot); expected hundreds.")
    fitted = fit_calibration(scores, golds, label_errors=label_errors)
    right = [row.index(max(row)) == gold for row, gold in zip(scores, golds, strict=True)]
    before, after = ([max(used.probabilities(row)) for row in scores] for used in (LabelCalibration(), fitted))
    return FittedCalibration(
        temperature=fitted.temperature,
        lapse_rate=fitted.lapse_rate,
        num_clips=len(scores),
        num_errors=num_errors,
        label_errors=label_errors,
        accuracy=sum(right) / len(right),
        mean_confidence_before=sum(before) / len(before),
        mean_confidence=sum(after) / len(after),
        ece_before=expected_calibration_error(before, right),
        ece=expected_calibration_error(after, right),
    )


def _scores(
    engine: Engine, clips: Sequence[Clip], labels: Sequence[str], instruction: str, max_tokens: int
) -> list[dict[str, float] | None]:
    """Score the labels after each clip's greedy answer; None where a clip cannot be read."""
    rows: list[dict[str, float] | None] = []
    size = engine.scorer.batch_size
    outcomes = list(greedy_outcomes(engine, clips, instruction, max_tokens))
    for start in range(0, len(clips), size):
        said = outcomes[start : start + size]
        features = engine.encoder.features(clips[start : start + size])
        readable = [
            (Prompt.ask(instruction, entry), answer.text)
            for entry, answer in zip(features, said, strict=True)
            if isinstance(entry, Features) and not isinstance(answer, MediaError)
        ]
        scored = iter(engine.scorer.label_scores([row[0] for row in readable], [row[1] for row in readable], labels))
        rows += [
            next(scored) if isinstance(entry, Features) and not isinstance(answer, MediaError) else None
            for entry, answer in zip(features, said, strict=True)
        ]
    return rows


def calibrate_checkpoint(
    model: Path,
    manifests: Sequence[Path],
    load: Callable[[], Engine],
    *,
    split: str | None = None,
    answers: Literal["reasoning", "label"] = "reasoning",
    max_tokens: int = 512,
    label_errors: float = 0.0,
) -> FittedCalibration:
    """Calibrate a checkpoint's label probabilities on labelled clips, and keep the two numbers in its settings.

    Each manifest has the smallest label set that holds its gold labels.

    Args:
        model: a folder of ours; only its settings change.
        manifests: of clips that it was not trained on.
        load: returns the engine over it.
        split: only this split; None takes every clip.
        answers: what the model is asked for.
        max_tokens: tokens of an answer.
        label_errors: share of the gold labels that is wrong.

    Raises:
        CheckpointError: a calibration cannot be written there.
        ConfigError: see `fit_on_clips`; or a manifest holds no clip of the split.
    """
    writable_checkpoint(model)
    groups = []
    for manifest in manifests:
        every = read_manifest(manifest)
        clips = [clip for clip in every if split is None or clip.split == split]
        if not clips:
            raise ConfigError(f"{manifest}: holds no clip of split {split}; fix --split")
        groups.append(ClipsOfLabelSet(clips, label_set(every)))
    engine = load()
    instruction = instruction_for(answers, engine.answer_format)
    fitted = fit_on_clips(engine, groups, instruction, max_tokens, label_errors)
    write_calibration(model, fitted.temperature, fitted.lapse_rate, asdict(fitted))
    return fitted
