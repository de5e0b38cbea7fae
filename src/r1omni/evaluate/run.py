"""One evaluation run: manifest -> predictions.jsonl -> scores.json, top to bottom.

A run folder holds
    evaluation.json     what was asked of whom: the identity a resumed run must share
    predictions.jsonl   appended and flushed per batch; in the manifest's order when the run ends
    timing.jsonl        seconds per batch, apart from the predictions so that these compare byte for byte
    scores.json         written last: its presence says that the run is complete
    clips.json          which clips a report shows, where they were picked
A shard (i, n) takes every n-th clip and appends to its own file; whichever shard ends last writes the common ones.

The model comes in as a callable, so that this room knows nothing of engines.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, ManifestError, MediaError
from r1omni.evaluate.predictions import (
    Prediction,
    in_order,
    predict_from,
    read_predictions,
    to_line,
)
from r1omni.evaluate.scores import check_field, closed_set_scores, open_set_scores, scores_by_group
from r1omni.runs.files import repair, write_text
from r1omni.scoring.normalise import NormaliserName, normalise

Generate = Callable[[list[Clip]], Sequence[str | MediaError]]
"""One text, or the reason why there is none, per clip."""


def evaluate(
    generate: Generate,
    clips: Sequence[Clip],
    labels: Sequence[str] | None,
    *,
    out_dir: Path | str,
    normaliser: NormaliserName | str = "exact",
    batch_size: int = 32,
    resume: bool = True,
    manifest_hash: str | None = None,
    instruction: str | None = None,
    model: str | None = None,
    facts: dict[str, Any] | None = None,
    group_by: Sequence[str] = (),
    shard: tuple[int, int] = (0, 1),
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any] | None:
    """Answer every clip, record it, and score the run.

    Args:
        generate: gives one text or `MediaError` per clip of a batch.
        clips: the manifest.
        labels: the label set; None scores sets of words against `Clip.labels` (open vocabulary).
        out_dir: the run folder; made where it is missing.
        normaliser: what is done to the answers; a finished run asked again with another one is graded anew without
            generating.
        batch_size: clips per call of `generate`; does not change what is written.
        resume: go on where an earlier run stopped; False starts over.
        manifest_hash: of the manifest; part of the run's identity.
        instruction: what the model was asked; part of the run's identity.
        model: name or fingerprint of the model; part of the run's identity.
        facts: anything else to keep in evaluation.json (versions, seed); not part of the identity.
        group_by: manifest fields to score by.
        shard: (index, count): take clips index, index + count, ... only.
        on_progress: called with (clips done, clips in this shard) after every batch.

    Returns:
        The content of scores.json; None while other shards are still at work.

    Raises:
        ConfigError: a gold label outside the label set, a shard that is none, a field to group by that no clip has, or
            a folder that holds another run.
        ManifestError: an id that stands twice.
    """
    _check(clips, labels, normaliser, batch_size, shard)
    for field in group_by:
        check_field(clips, field)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    identity = {
        "manifest_hash": manifest_hash,
        "clips_hash": _clips_hash(clips),
        "instruction": instruction,
        "model": model,
        "num_clips": len(clips),
    }
    path = folder / _predictions_name(shard)
    if not resume:
        _start_over(folder, shard)
    _claim(folder, identity, facts or {})

    mine = list(clips[shard[0] :: shard[1]])
    repair(path)
    done = {prediction.id for prediction in _recorded(folder)}
    pending = [clip for clip in mine if clip.id not in done]
    num_done = len(mine) - len(pending)
    with path.open("a", encoding="utf-8") as file, (folder / "timing.jsonl").open("a", encoding="utf-8") as timing:
        for first in range(0, len(pending), batch_size):
            batch = pending[first : first + batch_size]
            started_s = time.perf_counter()
            outcomes = generate(batch)
            seconds = time.perf_counter() - started_s
            if len(outcomes) != len(batch):
                raise ConfigError(f"`generate` gave {len(outcomes)} answers for {len(batch)} clips; expected one each.")
            fresh = [
                predict_from(clip, outcome, normaliser, labels) for clip, outcome in zip(batch, outcomes, strict=True)
            ]
            file.write("".join(map(to_line, fresh)))
            file.flush()
            timing.write(json.dumps({"shard": shard[0], "num_clips": len(batch), "seconds": round(seconds, 4)}) + "\n")
            timing.flush()
            num_done += len(batch)
            if on_progress is not None:
                on_progress(num_done, len(mine))
    return _finish(folder, clips, labels, normaliser, group_by)


def _check(
    clips: Sequence[Clip],
    labels: Sequence[str] | None,
    normaliser: NormaliserName,
    batch_size: int,
    shard: tuple[int, int],
) -> None:
    normalise(None, normaliser)  # raises on an unknown name before anything is generated
    index, count = shard
    if not 0 <= index < count:
        raise ConfigError(f"Shard {index} of {count} is none; expected an index from 0 to count - 1.")
    if batch_size < 1:
        raise ConfigError(f"Batch size {batch_size} is too small; expected 1 or more.")
    ids = [clip.id for clip in clips]
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ManifestError(f"Clip id {twice!r} stands twice in the manifest; expected every id once. Rename one.")
    if labels is not None:
        strangers = sorted({clip.label for clip in clips if clip.label is not None} - set(labels))
        if strangers:
            raise ConfigError(
                f"Gold labels {', '.join(strangers)} are not in the label set ({', '.join(labels)}); "
                "choose the corpus's own labels or mend the manifest."
            )


def _clips_hash(clips: Sequence[Clip]) -> str:
    content = json.dumps([[clip.id, clip.label, list(clip.labels), clip.start_s, clip.stop_s] for clip in clips])
    return hashlib.sha256(content.encode()).hexdigest()


def _predictions_name(shard: tuple[int, int]) -> str:
    index, count = shard
    return "predictions.jsonl" if count == 1 else f"predictions.{index}-of-{count}.jsonl"


def _start_over(folder: Path, shard: tuple[int, int]) -> None:
    if shard[1] > 1:
        raise ConfigError(
            f"Shards cannot start over, since one would delete what another wrote; delete {folder} first."
        )
    for pattern in ("predictions*.jsonl", "timing.jsonl", "evaluation.json", "scores.json", "clips.json"):
        for path in folder.glob(pattern):
            path.unlink()


def _claim(folder: Path, identity: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write evaluation.json, or refuse a folder whose run asked something else."""
    path = folder / "evaluation.json"
    if path.exists():
        try:
            known = json.loads(path.read_bytes())
        except ValueError as error:
            raise ConfigError(f"{path}: not JSON ({error}); delete the folder or give another --out.") from error
        differing = [name for name, value in identity.items() if known.get(name) != value]
        if differing:
            name = differing[0]
            raise ConfigError(
                f"{folder} holds another run: its {name} is {known.get(name)!r}, this one's is {identity[name]!r}. "
                "Give another --out, or start over with --no-resume."
            )
    write_text(path, json.dumps(identity | {"facts": facts}, indent=2, ensure_ascii=False) + "\n")


def _recorded(folder: Path) -> list[Prediction]:
    """What this run, its other shards, or an earlier run with another number of shards wrote."""
    return [line for path in sorted(folder.glob("predictions*.jsonl")) for line in read_predictions(path)]


def _finish(
    folder: Path,
    clips: Sequence[Clip],
    labels: Sequence[str] | None,
    normaliser: NormaliserName,
    group_by: Sequence[str],
) -> dict[str, Any] | None:
    """Join the shards, put the lines in order and score them; None while a clip is missing."""
    ordered = in_order(clips, _recorded(folder), normaliser, labels)
    if ordered is None:
        return None
    write_text(folder / "predictions.jsonl", "".join(map(to_line, ordered)))
    scores = score(clips, ordered, labels, normaliser, group_by)
    write_text(folder / "scores.json", json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    return scores


def score(
    clips: Sequence[Clip],
    predictions: Sequence[Prediction],
    labels: Sequence[str] | None,
    normaliser: NormaliserName,
    group_by: Sequence[str] = (),
) -> dict[str, Any]:
    """Score predictions that are in the manifest's order.

    Args:
        clips: the manifest.
        predictions: one per clip, in the same order.
        labels: the label set; None scores sets of words.
        normaliser: the name of what was done to the answers.
        group_by: manifest fields to score by.
    """
    scores = (
        open_set_scores(clips, predictions) if labels is None else closed_set_scores(predictions, labels, normaliser)
    )
    if group_by:
        scores["groups"] = {field: scores_by_group(clips, predictions, field) for field in group_by}
    return scores
