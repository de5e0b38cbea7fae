"""One evaluation run: manifest -> predictions.jsonl -> scores.json, top to bottom.

A run folder holds
    run.json            what was asked of which weights over which clips: any other run is refused
    predictions.jsonl   appended and flushed per clip; in the manifest's order when the run ends
    timing.jsonl        seconds since the answer before, apart from the predictions so that these compare byte for byte
    scores.json         written last: its presence says that the run is complete
    clips.json          which clips a report shows, where they were picked
    evidence.jsonl, explanations.jsonl   what was measured in the clips, and what is known of the reasons, where asked
    probabilities.jsonl                  how likely each label was after the reasons, where asked
A shard (i, n) takes every n-th clip and appends to its own file; whichever shard ends last writes the common ones.

How answers are graded (normaliser, label set, groups, the format they are read in) is not part of the run: texts are
kept, and every call grades them anew. The model comes in as a callable, so that this module knows nothing of engines.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, ManifestError, MediaError
from r1omni.evaluate.answer_probabilities import calibration_scores, read_probabilities
from r1omni.evaluate.explanation_scores import explanation_scores, read_explained
from r1omni.evaluate.predictions import in_order, read_predictions, to_line
from r1omni.evaluate.scores import check_field, closed_set_scores, open_set_scores, scores_by_group
from r1omni.runs.files import append_lines, append_rows, repair, write_json, write_text
from r1omni.runs.run_folder import RunFolder
from r1omni.scoring.explained_answer import ExplainedAnswer
from r1omni.scoring.normalise import NormaliserName, exact
from r1omni.scoring.prediction import Prediction, Said, predict_from

Answer = Callable[[Sequence[Clip]], Iterable[Said | str | MediaError]]
"""What was said, or the error, per clip, in the clips' order; read one by one, so it may be lazy."""

CONTENT = (
    "predictions*.jsonl",
    "timing.jsonl",
    "scores.json",
    "clips.json",
    "explanations.jsonl",
    "evidence.jsonl",
    "probabilities.jsonl",
)
"""What a run writes beside its record."""


@dataclass(frozen=True)
class Grading:
    """How answers become figures; another grading of the same run needs no model."""

    labels: tuple[str, ...] | None
    """The label set; None scores sets of words against `Clip.labels` (open vocabulary)."""
    normaliser: NormaliserName = "exact"
    """What is done to an answer before it is compared."""
    group_by: tuple[str, ...] = ()
    """Manifest fields to score by."""
    answer_format: AnswerFormat = PAPER_FORMAT
    """The tagged parts that answers are read in."""


def evaluate(
    answer: Answer,
    clips: Sequence[Clip],
    grading: Grading,
    *,
    out_dir: Path | str,
    identity: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    resume: bool = True,
    shard: tuple[int, int] = (0, 1),
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any] | None:
    """Answer every clip, record it, and score the run.

    Args:
        answer: gives one text, or `MediaError`, per clip; called once, with the clips that are not answered yet.
        clips: the manifest.
        grading: how the answers are scored.
        out_dir: the run folder; made where it is missing.
        identity: everything beside the clips that could change an answer: weights, modality, limits, instruction.
        facts: anything else to keep in run.json (versions, seed); never compared.
        resume: go on where an earlier run stopped; False starts over.
        shard: (index, count): take clips index, index + count, ... only.
        on_progress: called with (clips done, clips in this shard) after every clip.

    Returns:
        The content of scores.json; None while other shards are still at work.

    Raises:
        ConfigError: a gold label outside the label set, a shard index that is out of range, a field to group by that no
            clip has, or a folder that holds another run.
        ManifestError: a duplicate id.
    """
    if grading.labels is not None:
        grading = replace(grading, labels=tuple(map(exact, grading.labels)))
    _check(clips, grading, shard)
    folder = RunFolder(Path(out_dir), "evaluation", {**(identity or {}), **_identity_of(clips)}, facts or {})
    if not resume:
        if shard[1] > 1:
            raise ConfigError(
                f"Shards cannot start over, since one would delete what another wrote; delete {out_dir} first."
            )
        folder.start_over(CONTENT)
    folder.claim()

    mine = list(clips[shard[0] :: shard[1]])
    path = folder.path / _predictions_name(shard)
    repair(path)
    done = {prediction.id for prediction in _recorded(folder.path)}
    pending = [clip for clip in mine if clip.id not in done]
    num_done = len(mine) - len(pending)
    started_s = time.perf_counter()
    for clip, outcome in _paired(pending, answer):
        said = predict_from(clip, outcome, grading.normaliser, grading.labels, grading.answer_format)
        append_lines(path, [to_line(said)])
        now_s = time.perf_counter()
        append_rows(folder.path / "timing.jsonl", [{"id": clip.id, "seconds": round(now_s - started_s, 4)}])
        started_s = now_s
        num_done += 1
        if on_progress is not None:
            on_progress(num_done, len(mine))
    return _finish(folder.path, clips, grading)


def _check(clips: Sequence[Clip], grading: Grading, shard: tuple[int, int]) -> None:
    index, count = shard
    if not 0 <= index < count:
        raise ConfigError(f"Shard index {index} is out of range for {count} shards; expected 0 to {count - 1}.")
    ids: set[str] = set()
    for clip in clips:
        if clip.id in ids:
            raise ManifestError(f"Duplicate clip id {clip.id!r} in the manifest; rename one of the clips.")
        ids.add(clip.id)
    if grading.labels is not None:
        strangers = sorted({exact(clip.label) for clip in clips if clip.label is not None} - set(grading.labels))
        if strangers:
            raise ConfigError(
                f"Gold labels {', '.join(strangers)} are not in the label set ({', '.join(grading.labels)}); "
                "evaluate with the corpus's own labels (--labels manifest) or fix the manifest."
            )
    for name in grading.group_by:
        check_field(clips, name)


def _identity_of(clips: Sequence[Clip]) -> dict[str, Any]:
    content = json.dumps([[clip.id, clip.label, list(clip.labels), clip.start_s, clip.stop_s] for clip in clips])
    return {"num_clips": len(clips), "clips": hashlib.sha256(content.encode()).hexdigest()}


def _predictions_name(shard: tuple[int, int]) -> str:
    index, count = shard
    return "predictions.jsonl" if count == 1 else f"predictions.{index}-of-{count}.jsonl"


def _paired(pending: Sequence[Clip], answer: Answer) -> Iterable[tuple[Clip, Said | str | MediaError]]:
    """Pair clips with their answers as these come; a model that gives too few or too many is refused."""
    if not pending:
        return
    outcomes, nothing = iter(answer(pending)), object()
    try:
        for number, clip in enumerate(pending):
            outcome = next(outcomes, nothing)
            if not isinstance(outcome, Said | str | MediaError):
                raise ConfigError(f"`answer` gave {number} answers for {len(pending)} clips; expected one each.")
            yield clip, outcome
        if next(outcomes, nothing) is not nothing:
            raise ConfigError(f"`answer` gave more than {len(pending)} answers for as many clips; expected one each.")
    finally:
        # A generator may own threads and a model; it ends with the run, also where the run is broken off.
        if (close := getattr(outcomes, "close", None)) is not None:
            close()


def _recorded(folder: Path) -> list[Prediction]:
    """What this run, its other shards, or an earlier run with another number of shards wrote."""
    return [line for path in sorted(folder.glob("predictions*.jsonl")) for line in read_predictions(path)]


def score_again(folder: Path, clips: Sequence[Clip], grading: Grading) -> dict[str, Any] | None:
    """Write scores.json of a run whose explanations or probabilities have changed; None while a clip is missing.

    Args:
        folder: the run folder.
        clips: the manifest.
        grading: how the answers are scored.
    """
    if grading.labels is not None:
        grading = replace(grading, labels=tuple(map(exact, grading.labels)))
    return _finish(folder, clips, grading)


def _finish(folder: Path, clips: Sequence[Clip], grading: Grading) -> dict[str, Any] | None:
    """Join the shards, put the lines in order and score them; None while a clip is missing."""
    ordered = in_order(clips, _recorded(folder), grading.normaliser, grading.labels, grading.answer_format)
    if ordered is None:
        return None
    write_text(folder / "predictions.jsonl", "".join(f"{to_line(prediction)}\n" for prediction in ordered))
    chances = {} if grading.labels is None else read_probabilities(folder, ordered, grading.labels)
    scores = score(clips, ordered, grading, read_explained(folder, ordered), chances)
    write_json(folder / "scores.json", scores, indent=2)
    return scores


def score(
    clips: Sequence[Clip],
    predictions: Sequence[Prediction],
    grading: Grading,
    explained: Sequence[ExplainedAnswer] = (),
    probabilities: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """Score predictions that are in the manifest's order.

    Args:
        clips: the manifest.
        predictions: one per clip, in the same order.
        grading: the label set, the name of what was done to the answers, and the fields to score by.
        explained: what is known of the reasons of any of the answers.
        probabilities: of the labels after any of the answers, by the clip's id.
    """
    labels = grading.labels
    scores = (
        open_set_scores(clips, predictions)
        if labels is None
        else closed_set_scores(predictions, labels, grading.normaliser)
    )
    reasons = explanation_scores(predictions, explained)
    if reasons is not None and labels is not None:
        scores["explanations"] = reasons
    calibration = calibration_scores(predictions, probabilities or {})
    if calibration is not None:
        scores["calibration"] = calibration
    if grading.group_by:
        scores["groups"] = {name: scores_by_group(clips, predictions, name) for name in grading.group_by}
    return scores
