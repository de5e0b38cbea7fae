"""What reasons imply, whether that is the answer, and the figures over a corpus: EEA, EPC, FCR, risk at coverage."""

import pytest

from r1omni.core.labels import DFEW_LABELS, EMOTIONS, MAFW_LABELS
from r1omni.scoring.coherence import (
    AnswerWithReasons,
    accuracy_by_agreement,
    area_under_risk,
    coherence_figures,
    reasons_fit,
    risk_coverage,
)
from r1omni.scoring.implied_emotion import CUE_VOTES, NEAREST, implied_emotion, label_of
from r1omni.scoring.wheel import SECTOR_OF
from r1omni.synth.words import conclude
from r1omni.synth.world import PATTERNS


def _implied(text, labels=MAFW_LABELS):
    return implied_emotion(text, labels).label


@pytest.mark.parametrize("emotion", PATTERNS)
def test_the_conclusion_of_a_made_corpus_is_read(emotion):
    implied = implied_emotion(f"In the video, raised brows, smiling mouth. {conclude(emotion)}", EMOTIONS)
    assert (implied.label, implied.source) == (emotion, "conclusion")


def test_the_last_conclusion_counts_and_its_characters_are_returned():
    text = "Based on the face, he is sad. Therefore, this sentence expresses his anger."
    implied = implied_emotion(text, MAFW_LABELS)
    assert implied.label == "angry"
    assert text[implied.start : implied.stop] == "anger"


def test_a_denied_emotion_is_none():
    assert _implied("Therefore, he is not angry but sad.") == "sad"
    assert _implied("She is never happy.") is None


def test_without_a_conclusion_words_and_cues_are_added_up():
    # smile 1 + laughter 1 = 2 for happy, nothing else
    assert _implied("In the video, she smiles. In the audio, laughter is heard.") == "happy"
    # raised brows .5 and an open mouth .5: 1 for surprise; wide eyes .5 more, and .5 for fear: 1.5 against .5
    assert _implied("Raised brows, wide eyes, open mouth.") == "surprise"
    # furrowed brows alone are half a word
    assert _implied("His brows are furrowed.") is None


def test_two_emotions_of_equal_weight_imply_neither():
    assert _implied("He is happy. He is sad.") is None


def test_words_about_the_voice_and_in_quotations_name_no_emotion():
    assert implied_emotion("In the audio, a calm tone.", EMOTIONS).label is None
    assert _implied('The subtitle reads "I am so happy and glad".') is None


def test_no_reasons_imply_nothing():
    assert _implied(None) is None
    assert _implied("") is None
    assert reasons_fit(None, "happy").agrees is None


def test_a_word_stands_for_the_nearest_label_of_the_set():
    assert label_of("anxiety", MAFW_LABELS) == "anxious"
    assert label_of("anxiety", DFEW_LABELS) == "fear"
    assert label_of("table", DFEW_LABELS) is None


def test_the_tables_name_families_and_emotions_that_exist():
    assert NEAREST.keys() <= SECTOR_OF.keys()
    assert {label for labels in NEAREST.values() for label in labels} <= set(EMOTIONS)
    assert {label for votes in CUE_VOTES.values() for label in votes} <= set(EMOTIONS)


def test_reasons_agree_with_an_answer_in_other_words():
    assert reasons_fit("The person feels anger.", "angry", MAFW_LABELS).agrees is True
    assert reasons_fit("The person feels angry.", "anger", MAFW_LABELS).agrees is True
    assert reasons_fit("The person feels angry.", "sad", MAFW_LABELS).agrees is False
    assert reasons_fit("The person feels angry.", None, MAFW_LABELS).agrees is None


ROWS = [
    AnswerWithReasons("happy", True, "happy", True),
    AnswerWithReasons("happy", False, "happy", False),
    AnswerWithReasons("sad", True, "happy", False),
    AnswerWithReasons(None, None, "happy", True),
    AnswerWithReasons("sad", True, None, False),
]


def test_figures_are_over_answers_whose_reasons_imply_an_emotion():
    figures = coherence_figures(ROWS)
    assert (figures["implied_rate"].count, figures["implied_rate"].total) == (4, 5)
    assert figures["eea"].value == pytest.approx(2 / 3)  # of three with e and a gold label, two are e = g
    assert figures["epc"].value == pytest.approx(3 / 4)
    assert figures["fcr"].value == pytest.approx(1 / 3)
    interval = figures["epc"].interval
    assert interval is not None and 0 <= interval.low <= 0.75 <= interval.high <= 1


def test_a_figure_over_nothing_is_none():
    figures = coherence_figures([AnswerWithReasons(None, None, "happy", True)])
    assert figures["epc"].value is None and figures["epc"].interval is None
    assert figures["implied_rate"].value == 0
    assert coherence_figures([])["implied_rate"].value is None


def test_accuracy_is_split_by_agreement():
    figures = accuracy_by_agreement(ROWS)
    assert (figures["agree"].count, figures["agree"].total) == (1, 2)
    assert (figures["disagree"].count, figures["disagree"].total) == (0, 1)
    assert (figures["unknown"].count, figures["unknown"].total) == (1, 1)


def test_risk_grows_with_coverage_by_confidence():
    points = risk_coverage([1.0, 1.0, 0.5, 0.0], [True, False, True, False])
    assert [(point.coverage, point.risk) for point in points] == [(0.5, 0.5), (0.75, pytest.approx(1 / 3)), (1.0, 0.5)]
    # .5 x .5 + .25 x 1/3 + .25 x .5
    assert area_under_risk(points) == pytest.approx(0.25 + 0.25 / 3 + 0.125)
    assert risk_coverage([], []) == [] and area_under_risk([]) is None


def test_a_thinned_curve_keeps_its_end():
    points = risk_coverage([float(-place) for place in range(101)], [True] * 101, max_points=10)
    assert len(points) <= 10 and points[-1].coverage == 1
