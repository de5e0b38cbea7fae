"""Run folders -> one report: the runs side by side, paired comparisons, the mean over folds, the picked clips.

Everything comes from the folders; the manifest is read again for the picked clips alone. No model is loaded.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, ManifestError, MediaError
from r1omni.core.probability_text import probability_text
from r1omni.datasets.manifest import read_manifest
from r1omni.evaluate.explanation_scores import read_explained
from r1omni.evaluate.picks import Pick, read_picks
from r1omni.evaluate.predictions import read_predictions
from r1omni.evaluate.scores import compare, fold_summary
from r1omni.media.decode import load_clip
from r1omni.report.clip_card import ClipCard, ModelAnswer
from r1omni.report.curves import training_charts
from r1omni.report.page import RunView, evaluation_report
from r1omni.runs.files import read_rows, write_text
from r1omni.runs.run_folder import read_record
from r1omni.scoring.prediction import Prediction

FRAMES_SHOWN = 6
SOUND_SHOWN_S = 30.0
"""Longer sound is cut in the page; the model heard no more either."""
MAX_COMPARED = 5
"""Runs of one corpus; of more, only the first is compared with each other one."""

_NO_NAMES = frozenset({"model", "merged", "checkpoint"})
"""Folder names that say nothing of the model in them."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    folder: Path
    model: str
    """A short name."""
    corpus: str
    """Without its fold."""
    fold: int | None
    split: str | None
    record: dict[str, Any]
    """Its `run.json`."""
    scores: dict[str, Any]

    @property
    def part(self) -> str:
        """The corpus with what was taken of it, as it should be cited."""
        fold = "" if self.fold is None else f" fold {self.fold}"
        return f"{self.corpus}{fold}" + ("" if self.split is None else f" {self.split}")


def read_run(folder: Path) -> Run:
    """Read a finished run.

    Args:
        folder: what `r1omni evaluate --out` wrote.

    Raises:
        ConfigError: it is no run folder, or the run has not ended.
    """
    record = read_record(folder)
    try:
        scores = json.loads((folder / "scores.json").read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{folder}: found no {Path(error.filename or '').name}; expected the folder of a finished run; run "
            f"`r1omni evaluate --out {folder}` to its end"
        ) from error
    facts = record["facts"]
    return Run(
        folder=folder,
        model=_short(facts.get("model") or folder.name),
        corpus=facts.get("corpus") or folder.name,
        fold=facts.get("fold"),
        split=facts.get("split"),
        record=record,
        scores=scores,
    )


def side_by_side(folders: Sequence[Path], trainings: Sequence[Path] = ()) -> tuple[str, dict[str, Any]]:
    """Lay out runs in one page.

    Args:
        folders: run folders; the order is kept.
        trainings: run folders of trainings, whose learning curves are shown.

    Returns:
        The page, and its figures as plain data: `runs`, `comparisons` and `folds`.

    Raises:
        ConfigError: a folder holds no finished run, or no training.
    """
    runs = [read_run(folder) for folder in folders]
    names = _distinct_names(runs)
    comparisons, folds = _comparisons(runs, names), _fold_means(runs)
    views = []
    for run, name in zip(runs, names, strict=True):
        best, worst = _cards(run, name)
        views.append(RunView(name, run.part, run.scores, best, worst))
    facts = {f"{name} on {run.part}": _described(run) for run, name in zip(runs, names, strict=True)}
    curves = training_charts({folder.name: _read_metrics(folder) for folder in trainings})
    page = evaluation_report(views, comparisons=comparisons, folds=folds, curves=curves, facts=facts)
    figures = {
        "runs": [
            {"model": name, "corpus": run.part, "folder": str(run.folder), "scores": run.scores}
            for run, name in zip(runs, names, strict=True)
        ],
        "comparisons": comparisons,
        "folds": folds,
    }
    return page, figures


def write_report(folders: Sequence[Path], out: Path, trainings: Sequence[Path] = ()) -> dict[str, Any]:
    """Write the page of run folders and return its figures.

    Args:
        folders: see `side_by_side`.
        out: the page.
        trainings: see `side_by_side`.
    """
    page, figures = side_by_side(folders, trainings)
    write_text(out, page)
    return figures


def _read_metrics(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    if not path.exists():
        raise ConfigError(f"{folder}: found no {path.name}; expected a folder that `r1omni train` wrote")
    return [row for row in read_rows(path) if "validation" not in row]


def _short(model: str) -> str:
    parts = [part for part in Path(model).parts if part not in _NO_NAMES]
    return parts[-1] if parts else model


def _distinct_names(runs: Sequence[Run]) -> list[str]:
    """Return the models' names; where two runs over one part share theirs, their folders tell them apart."""
    keys = [(run.model, run.part) for run in runs]
    return [
        run.model if keys.count(key) == 1 else f"{run.model} ({run.folder.name})"
        for run, key in zip(runs, keys, strict=True)
    ]


def _comparisons(runs: Sequence[Run], names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for part in dict.fromkeys(run.part for run in runs):
        members = [(run, name) for run, name in zip(runs, names, strict=True) if run.part == part]
        members = [(run, name) for run, name in members if "war" in run.scores]
        pairs = (
            list(combinations(members, 2)) if len(members) <= MAX_COMPARED else [(members[0], m) for m in members[1:]]
        )
        for (run_a, a), (run_b, b) in pairs:
            said_a, said_b = (read_predictions(run.folder / "predictions.jsonl") for run in (run_a, run_b))
            known_a, known_b = (read_explained(run.folder, said) for run, said in ((run_a, said_a), (run_b, said_b)))
            rows.append({"a": a, "b": b, "corpus": part, **compare(said_a, said_b, known_a, known_b)})
    return rows


def _fold_means(runs: Sequence[Run]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], dict[int, Run]] = {}
    for run in runs:
        if run.fold is not None and "war" in run.scores:
            groups.setdefault((run.model, run.corpus), {})[run.fold] = run
    return [
        {
            "model": model,
            "corpus": corpus,
            "folds": sorted(by_fold),
            **fold_summary([by_fold[fold].scores for fold in sorted(by_fold)]),
        }
        for (model, corpus), by_fold in groups.items()
        if len(by_fold) > 1
    ]


def _described(run: Run) -> dict[str, Any]:
    identity, facts = run.record["identity"], run.record["facts"]
    known = {name: facts.get(name) for name in ("model", "manifest", "git_revision", "versions")} | identity
    return {name: value for name, value in known.items() if value is not None}


def _cards(run: Run, name: str) -> tuple[list[ClipCard], list[ClipCard]]:
    picks, manifest = read_picks(run.folder), run.record["facts"].get("manifest")
    if not picks or manifest is None:
        return [], []
    try:
        clips = {clip.id: clip for clip in read_manifest(manifest)}
    except ManifestError:
        # A run folder may have been carried away from its manifest: its figures stand without the clips.
        return [], []
    said = {prediction.id: prediction for prediction in read_predictions(run.folder / "predictions.jsonl")}
    shown = [(pick, card(clips[pick.id], [(name, said[pick.id])], _note(pick))) for pick in picks if pick.id in clips]
    sides = [[view for pick, view in shown if pick.side == side] for side in ("best", "worst")]
    return sides[0], sides[1]


def _note(pick: Pick) -> str:
    if pick.probability is None:
        return "The answer is outside the label set."
    return f"Probability of the answer among the labels: {probability_text(pick.probability)}"


def card(clip: Clip, said: Sequence[tuple[str, Prediction]], note: str | None = None) -> ClipCard:
    """Put a clip and what models said of it on a card; a clip that cannot be read any more has no pictures.

    Args:
        clip: the clip.
        said: (model, its prediction).
        note: a line under the subtitle.
    """
    try:
        media = load_clip(clip, num_frames=FRAMES_SHOWN, max_sound_s=SOUND_SHOWN_S)
    except MediaError as error:
        media, note = None, f"{note or ''} {error}".strip()
    answers = [
        ModelAnswer(
            model,
            prediction.answer,
            reasoning=prediction.reasoning,
            correct=None if prediction.gold is None else prediction.normalised == prediction.gold,
            error=prediction.error,
            text=prediction.text,
            implied=prediction.implied,
            reasons_agree=prediction.reasons_agree,
        )
        for model, prediction in said
    ]
    return ClipCard(
        clip.id,
        clip.corpus,
        clip.label,
        answers,
        frames=None if media is None else media.frames,
        frame_times_s=None if media is None else media.frame_times_s,
        waveform=None if media is None else media.waveform,
        sample_rate_hz=16000 if media is None else media.sample_rate_hz,
        subtitle=clip.subtitle,
        note=note,
    )
