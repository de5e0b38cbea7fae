"""What a model card says follows from the files of the run and of its evaluations."""

import json
from dataclasses import replace
from pathlib import Path

import yaml

from r1omni.core.clip import Clip
from r1omni.datasets.dataset_card import dataset_card
from r1omni.datasets.manifest import manifest_hash, write_manifest
from r1omni.report.model_card import CardFigures, CardModel, CardTraining, model_card

MODEL = CardModel("faces", "cc-by-nc-4.0", 1_234_567, 8, 30.0, "think,answer", "none", "ab" * 32, "StarJiaxing/Base")
SCORES = {
    "normaliser": "exact",
    "normaliser_rule": "lower-case, stripped",
    "num_scored": 560,
    "num_errors": 2,
    "war": 72.68,
    "uar": 70.04,
    "war_interval": [69.1, 76.3],
    "uar_interval": None,
    "oov_rate": 4.0,
    "format_rate": 100.0,
    "recall": {"angry": 81.25, "fear": None},
}


def head(card: str) -> dict[str, object]:
    return yaml.safe_load(card.split("---\n")[1])


def test_figures_stand_with_interval_counts_and_normaliser():
    card = model_card(MODEL, None, [CardFigures("dfew", SCORES, fold=1)])
    assert "| dfew, fold 1 | 560 | 2 | 72.7 (69.1 to 76.3) | 70.0 | 4.0 | 100.0 | exact |" in card
    assert "- Normaliser `exact`, rule `lower-case, stripped`." in card
    assert "- Recall on dfew, fold 1: angry 81.2, fear -." in card


def test_what_probabilities_were_calibrated_on_and_how_well_they_are_on_the_test_data():
    assert "- The probabilities of labels are not calibrated." in model_card(MODEL, None, [CardFigures("dfew", SCORES)])
    found = {"ece": 4.12, "num_bins": 15, "mean_confidence": 75.8, "accuracy": 73.6, "num_clips": 560}
    fitted = {"temperature": 3.992, "lapse_rate": 0.15, "num_clips": 1260, "label_errors": 0.2}
    card = model_card(
        replace(MODEL, calibration=fitted), None, [CardFigures("dfew", SCORES | {"calibration": found}, fold=1)]
    )
    assert (
        "- Probability of the likeliest label on dfew, fold 1: 75.8 on average, right in 73.6; expected calibration "
        "error 4.1."
    ) in card
    assert "(temperature 3.992, lapse rate 0.15) on 1,260 clips, 20 % of whose labels were taken as wrong." in card
    assert "not calibrated" not in card


def test_the_head_is_yaml_that_the_hub_reads():
    meta = head(model_card(MODEL, None, [CardFigures("dfew", SCORES, fold=1, manifest_sha256="cd" * 32)]))
    assert (meta["license"], meta["base_model"]) == ("cc-by-nc-4.0", "StarJiaxing/Base")
    (entry,) = meta["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "faces" and result["dataset"] == {"type": "cd" * 32, "name": "dfew, fold 1"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("war", 72.68), ("uar", 70.04)]


def test_a_metric_over_nothing_is_no_number():
    empty = SCORES | {"war": None, "uar": None, "war_interval": None, "num_scored": 0}
    card = model_card(MODEL, None, [CardFigures("dfew", empty)])
    assert "| dfew | 0 | 2 | - | - |" in card and "model-index" not in head(card)


def test_training_data_are_named_without_the_paths_of_the_machine():
    training = CardTraining("grpo", {"/home/me/private/dfew.jsonl": "ef" * 32}, {"beta": 0.04}, 3, {"torch": "2.13.0"})
    card = model_card(MODEL, training, [])
    assert "/home" not in card and "| dfew.jsonl | `efefefefefefefef` |" in card
    assert "RLVR by GRPO from StarJiaxing/Base, seed 3." in card and "| beta | 0.04 |" in card
    assert "Made with torch 2.13.0." in card and "No evaluation was given to this card." in card


def test_a_card_without_a_run_says_so_and_always_has_limits_and_use_policy():
    card = model_card(MODEL, None, [])
    assert "does not say how it was trained" in card
    assert "## Limits" in card and "## Use policy" in card and "article 5(1)(f)" in card and "@REVISION" in card


def test_a_dataset_card_counts_what_the_manifest_holds(tmp_path: Path):
    clips = [
        Clip(id=str(number), path=tmp_path / f"{number}.mp4", label=label, split="train", start_s=0.0, stop_s=2.0,
             meta={"language": "de"})
        for number, label in enumerate(("happy", "sad", "happy"))
    ]  # fmt: skip
    write_manifest(tmp_path / "faces.jsonl", clips)
    card = dataset_card(tmp_path / "faces.jsonl", licence="other")
    meta = head(card)
    assert (meta["license"], meta["language"], meta["size_categories"]) == ("other", ["de"], ["n<1K"])
    assert "3 clips in 3 files" in card and manifest_hash(tmp_path / "faces.jsonl") in card
    assert "| happy | 2 |" in card and "| sad | 1 |" in card and "| label | 3 |" in card
    assert "| subtitle" not in card and "Length: 2.0 to 2.0 s, median 2.0 s" in card
    assert str(tmp_path) not in card


def test_a_dataset_card_of_bare_clips_invents_nothing(tmp_path: Path):
    (tmp_path / "bare.jsonl").write_text(json.dumps({"id": "a", "path": "a.mp4"}) + "\n")
    card = dataset_card(tmp_path / "bare.jsonl", licence="other", name="Bare")
    assert "# Bare" in card and "The clips have no label, split or fold." in card
    assert "does not say how long the clips are" in card and "language" not in head(card)
