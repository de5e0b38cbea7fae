import json
from pathlib import Path

import pytest

from r1omni.core.errors import ConfigError
from r1omni.core.instruction import format_answer, parse_answer
from r1omni.core.labels import DFEW_LABELS, MAFW_LABELS, RAVDESS_LABELS
from r1omni.scoring.grade import grade
from r1omni.scoring.rewards import PAPER_REWARDS, REWARDS, accuracy_reward, format_reward

GOLDEN = Path(__file__).parents[1] / "golden" / "small" / "rewards.json"


def test_answer_is_compared_stripped_and_lower_cased():
    score = grade(parse_answer("<think>a smile</think>\n<answer> Happy\n</answer>"), "happy", DFEW_LABELS)
    assert score.correct and not score.out_of_vocabulary and score.well_formed and score.normalised == "happy"


def test_answer_outside_the_label_set_is_a_miss_and_counted():
    score = grade(parse_answer("<think>a</think><answer>anxious</answer>"), "fear", DFEW_LABELS)
    assert not score.correct and score.out_of_vocabulary and score.normalised == "anxious"


def test_label_only_answer_is_graded_but_not_well_formed():
    score = grade(parse_answer("Sad"), "sad", DFEW_LABELS)
    assert score.correct and not score.well_formed


def test_missing_answer_is_out_of_vocabulary():
    score = grade(parse_answer("<think>a</think><answer></answer>"), "sad", DFEW_LABELS)
    assert not score.correct and score.out_of_vocabulary and score.normalised is None


def test_synonym_counts_only_under_the_synonym_normaliser():
    answer = parse_answer("<think>a</think><answer>Happiness.</answer>")
    assert not grade(answer, "happy", DFEW_LABELS, "exact").correct
    assert grade(answer, "happy", DFEW_LABELS, "synonym").correct


def test_gold_outside_the_label_set_is_refused():
    with pytest.raises(ConfigError, match="calm"):
        grade(parse_answer("calm"), "calm", DFEW_LABELS)


@pytest.mark.parametrize(
    ("text", "accuracy", "form"),
    [
        ("<think>a</think>\n<answer>angry</answer>", 1, 1),
        ("  <think>a</think> <answer>angry</answer>\n", 1, 1),
        ("<answer>angry</answer>", 1, 0),
        ("<think></think><answer>angry</answer>", 1, 0),
        ("<think>a</think><answer></answer>", 0, 0),
        ("<think>a</think>and<answer>angry</answer>", 1, 0),
        ("<think>a</think><answer>sad</answer><answer>angry</answer>", 0, 0),
        ("<think>a</think><answer>angry</answer><think>b</think><answer>angry</answer>", 0, 0),
        ("<think><think>a</think></think><answer>angry</answer>", 1, 0),
        ("<think>a<answer>angry</answer></think><answer>angry</answer>", 0, 0),
        ("<answer>angry</answer><think>a</think>", 1, 0),
        ("<think>a</think><answer>happy sad angry</answer>", 0, 1),
        ("", 0, 0),
    ],
)
def test_rewards_of_tricky_outputs(text, accuracy, form):
    answer = parse_answer(text)
    assert accuracy_reward(answer, "angry", DFEW_LABELS) == accuracy
    assert format_reward(answer, "angry", DFEW_LABELS) == form


@pytest.mark.parametrize("labels", [DFEW_LABELS, MAFW_LABELS, RAVDESS_LABELS])
def test_gold_answer_of_every_class_earns_every_reward(labels):
    for label in labels:
        answer = parse_answer(format_answer("reasons", label))
        assert {name: REWARDS[name](answer, label, labels, None) for name in PAPER_REWARDS} == {
            "accuracy": 1,
            "format": 1,
        }


def test_rewards_agree_with_the_published_ones_except_where_documented():
    stricter_format = {"<think></think><answer></answer>"}
    differs = {"accuracy": [], "format": []}
    for case in json.loads(GOLDEN.read_text())["cases"]:
        if "angry" not in case["solution"]:
            continue  # numbers, no emotions
        answer = parse_answer(case["completion"])
        for name in PAPER_REWARDS:
            if REWARDS[name](answer, "angry", DFEW_LABELS, None) != case[name]:
                differs[name].append(case["completion"])
    # Lower-casing is the paper's text. The format differs where it is stricter (empty or repeated parts) and where it
    # forgives white space around the whole.
    assert differs["accuracy"] == ["<think>a</think>\n<answer>Angry</answer>"]
    assert set(differs["format"]) == stricter_format | {
        "<think>a</think>\n<answer>angry</answer> ",
        " <think>a</think>\n<answer>angry</answer>",
        "<think>a</think><answer>sad</answer><answer>angry</answer>",
        "<think>a</think><answer>sad</answer> <think>b</think><answer>angry</answer>",
    }


def test_gold_labels_are_normalised_like_answers():
    answer = parse_answer("<think>He shouts.</think><answer>Angry</answer>")
    assert grade(answer, " Angry", ("Angry", "Sad")).correct
    assert grade(answer, "ANGRY", ("angry", "sad")).correct
    assert not grade(answer, "Sad", ("Angry", "Sad")).out_of_vocabulary
