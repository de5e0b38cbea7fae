"""The run's report: table, curves, confusion matrices, and a dozen clips with every model's answer."""

import json
import platform
from pathlib import Path
from typing import Any

import torch
import transformers

from r1omni.core.clip import Clip
from r1omni.evaluate.predictions import read_predictions
from r1omni.evaluate.side_by_side import card
from r1omni.report.clip_card import ClipCard
from r1omni.report.confusion import Confusion
from r1omni.report.curves import training_charts
from r1omni.report.page import recipe_report
from r1omni.runs.run_folder import read_record
from r1omni.scoring.prediction import Prediction

CURVES = {
    "reward": "Reward",
    "accuracy": "Accuracy reward",
    "format": "Format reward",
    "kl": "KL to the cold start",
    "length": "Answer length, tokens",
}


def build_report(out: Path, models: list[str], tests: dict[str, list[Clip]], num_cards: int) -> str:
    """Build the page from the stages' files in the run's folder.

    Args:
        out: the run's folder.
        models: the models of the table, in its order.
        tests: corpus -> its test split, in the order of the predictions.
        num_cards: number of clips, spread over the corpora.
    """
    folder = out / "evaluations"
    confusions = [
        Confusion.from_scores(f"{model} on {corpus}", json.loads((folder / model / corpus / "scores.json").read_text()))
        for corpus in tests
        for model in ("label-sft", "r1-omni")
    ]
    cards = [
        shown
        for corpus, clips in tests.items()
        for shown in clip_cards(
            clips,
            {m: read_predictions(folder / m / corpus / "predictions.jsonl") for m in models},
            num_cards // len(tests),
        )
    ]
    stages = ("r1-omni", "label-sft", "cold-start", "base")
    rows = {stage: read_metrics(out / "stages" / stage / "metrics.jsonl") for stage in stages}
    charts = training_charts({"r1-omni": rows["r1-omni"]}, metrics=CURVES)
    charts += training_charts({stage: rows[stage] for stage in stages[1:]}, metrics={"loss": "Loss"})
    seconds = json.loads((out / "seconds.json").read_text())
    facts: dict[str, dict[str, Any]] = {
        "Times, seconds": {name: round(value, 1) for name, value in seconds.items()},
        "Settings": read_record(out)["identity"],
        "Versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "threads": torch.get_num_threads(),
        },
    }
    table = json.loads((out / "table.json").read_text())
    return recipe_report(table, curves=charts, confusions=confusions, clip_cards=cards, facts=facts)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the training lines of a stage's metrics.jsonl, without those of validation."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "validation" not in row]


def clip_cards(clips: list[Clip], predictions: dict[str, list[Prediction]], count: int) -> list[ClipCard]:
    """Return `count` clips spread evenly over a test split, whether or not the models answered them correctly."""
    chosen = range(0, len(clips), max(1, len(clips) // count))[:count]
    return [card(clips[index], [(model, rows[index]) for model, rows in predictions.items()]) for index in chosen]
