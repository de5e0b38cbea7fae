"""Which clips of a run a report shows: answered rightly, and wrongly, with the highest probability of their answer.

Probabilities cost a pass over the prompt and what was written, not a second generation; a long run is looked at through
an even sample. Answers outside the label set have no probability: they follow the others among the worst. The choice is
kept in `clips.json` with a hash of the predictions, so that a report can be made again without the model.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.runs.files import write_json
from r1omni.scoring.prediction import Prediction

Likelihood = Callable[[Sequence[Clip], Sequence[str]], Sequence[dict[str, float] | MediaError]]
"""The probability of every label, given each clip and what was written of it."""

MAX_LOOKED_AT = 128
"""Right and wrong answers each, of which the picks are taken."""


@dataclass(frozen=True)
class Pick:
    """A clip to show."""

    id: str
    side: Literal["best", "worst"]
    probability: float | None
    """Of the answer among the labels; None outside the label set."""


def pick_clips(
    clips: Sequence[Clip], predictions: Sequence[Prediction], likelihood: Likelihood, count: int
) -> list[Pick]:
    """Choose the clips.

    Args:
        clips: the manifest.
        predictions: one per clip, in the same order.
        likelihood: asks the model.
        count: clips of each side.
    """
    picks: list[Pick] = []
    for side in ("best", "worst"):
        members = [
            (clip, prediction)
            for clip, prediction in zip(clips, predictions, strict=True)
            if prediction.text is not None
            and prediction.gold is not None
            and (prediction.normalised == prediction.gold) == (side == "best")
        ]
        step = max(1, -(-len(members) // MAX_LOOKED_AT))
        looked_at = members[::step]
        chances = likelihood([clip for clip, _ in looked_at], [said.text or "" for _, said in looked_at])
        ranked = [
            Pick(clip.id, side, None if isinstance(chance, MediaError) else chance.get(said.normalised or ""))
            for (clip, said), chance in zip(looked_at, chances, strict=True)
        ]
        picks += sorted(ranked, key=lambda pick: -1.0 if pick.probability is None else pick.probability, reverse=True)[
            :count
        ]
    return picks


def keep_picks(
    folder: Path,
    clips: Sequence[Clip],
    predictions: Sequence[Prediction],
    likelihood: Likelihood,
    count: int,
    labels: Sequence[str],
) -> None:
    """Write `clips.json`, unless it holds the same choice already.

    Args:
        folder: the run folder.
        clips: see `pick_clips`.
        predictions: see `pick_clips`.
        likelihood: see `pick_clips`.
        count: see `pick_clips`.
        labels: the label set that the probabilities are over.
    """
    path = folder / "clips.json"
    basis = {"count": count, "labels": list(labels), "predictions": _hash(folder)}
    if path.exists() and {**json.loads(path.read_bytes()), "clips": None} == {**basis, "clips": None}:
        return
    picks = pick_clips(clips, predictions, likelihood, count)
    write_json(path, {**basis, "clips": [asdict(pick) for pick in picks]}, indent=2)


def read_picks(folder: Path) -> list[Pick]:
    """Return the choice of a run folder; none where it was not made, or made of other predictions or labels.

    Args:
        folder: the run folder.
    """
    path = folder / "clips.json"
    kept = json.loads(path.read_bytes()) if path.exists() else {}
    if not kept or kept["predictions"] != _hash(folder):
        return []
    scores = json.loads((folder / "scores.json").read_bytes())
    is_current = kept["labels"] == scores.get("confusion", {}).get("rows")
    return [Pick(**pick) for pick in kept["clips"]] if is_current else []


def _hash(folder: Path) -> str:
    return hashlib.sha256((folder / "predictions.jsonl").read_bytes()).hexdigest()
