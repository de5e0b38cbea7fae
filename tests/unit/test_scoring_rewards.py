"""The rewards beyond the paper's: reasons that imply the answer, and reasons that are true of the clip."""

import pytest

from r1omni.core.evidence import Evidence, EvidenceItem
from r1omni.core.instruction import format_answer, parse_answer
from r1omni.core.labels import MAFW_LABELS
from r1omni.scoring.rewards import coherence_reward, grounding_reward


def item(name: str, side: str, band: str) -> EvidenceItem:
    return EvidenceItem(name, side, band, "cue", 0.0, 2.0, None, "a test", band=band)  # pyright: ignore[reportArgumentType]


EVIDENCE = Evidence(
    has_pictures=True,
    has_sound=True,
    duration_s=2.0,
    items=(
        item("brow_height", "pictures", "raised"),
        item("mouth_open", "pictures", "open"),
        item("loudness_db", "sound", "loud"),
    ),
)


def grounding(reasons: str, evidence: Evidence = EVIDENCE) -> float:
    return grounding_reward(parse_answer(format_answer(reasons, "fear")), "fear", MAFW_LABELS, evidence)


@pytest.mark.parametrize(
    ("reasons", "answer", "value"),
    [
        ("Her brows are raised. The person feels fear.", "fear", 1),
        ("Her brows are raised. The person feels fear.", "sad", 0),
        ("It is a room.", "sad", 0),
    ],
)
def test_coherence_is_earned_where_the_reasons_imply_the_answer(reasons: str, answer: str, value: float) -> None:
    parsed = parse_answer(format_answer(reasons, answer))
    assert coherence_reward(parsed, "happy", MAFW_LABELS) == value


def test_a_label_without_reasons_is_not_coherent() -> None:
    assert coherence_reward(parse_answer("fear"), "fear", MAFW_LABELS) == 0


@pytest.mark.parametrize(
    ("reasons", "net"),
    [
        ("Her brows are raised.", 1),
        ("Her brows are raised. The voice is loud.", 2),
        ("Her brows are raised. Her brows are raised.", 1),  # repeated
        ("Her brows are raised. The voice is soft.", -2),  # one right, one wrong, which costs three
        ("Her brows are lowered.", -3),
        ("Her brows are raised. Her head is tilted.", 1),  # nothing measures the head here
        ("Her mouth is not closed. Her brows are raised.", 1),  # a denial earns nothing
        ("Her brows are not raised. The voice is loud.", -2),  # a false denial costs
        ("It is a room.", 0),
    ],
)
def test_grounding_counts_right_claims_less_wrong_ones(reasons: str, net: int) -> None:
    assert grounding(reasons) == pytest.approx(0.5 + net / 18)


def test_a_side_that_was_taken_away_cannot_be_claimed() -> None:
    assert grounding("Her brows are raised. The voice is loud.", EVIDENCE.without("sound")) == pytest.approx(
        0.5 - 2 / 18
    )


def test_grounding_stays_between_0_and_1_and_is_0_without_reasons() -> None:
    wrong = "The voice is soft. Her brows are lowered. Her mouth is closed. The brows are level. No raised brows."
    assert grounding(wrong) == 0
    assert grounding_reward(parse_answer("fear"), "fear", MAFW_LABELS, EVIDENCE) == 0


def test_grounding_without_evidence_is_an_error() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        grounding_reward(parse_answer(format_answer("Her brows are raised.", "fear")), "fear", MAFW_LABELS, None)
