import pytest

from r1omni.core.labels import EMOTIONS
from r1omni.scoring.open_vocabulary import HitRate, SetScore, group_of, hit_rate, set_scores, split_words


def test_words_are_split_at_commas_and_conjunctions():
    assert split_words("Happy, surprised and moved; happy.") == ("happy", "surprised", "moved")
    assert split_words("高兴、惊讶") == ("高兴", "惊讶")
    assert split_words(None) == ()


@pytest.mark.parametrize("name", EMOTIONS)
def test_every_class_name_is_a_family_of_its_own(name):
    assert group_of(name, "family") == name


def test_word_outside_the_wheel_is_its_own_group():
    assert group_of("nostalgic") == "nostalgic"


def test_set_scores_by_hand():
    golds = [["happy", "surprised"], ["angry"], ["sad", "worried"]]
    predictions = [["joyful", "excited"], ["furious", "nostalgic"], []]
    # Sectors. Clip 1: P {joy}, G {joy, surprise}: 1, 1/2. Clip 2: P {anger, nostalgic}, G {anger}: 1/2, 1.
    # Clip 3: 0, 0.
    precision, recall = (1 + 1 / 2 + 0) / 3, (1 / 2 + 1 + 0) / 3
    expected = SetScore(precision, recall, 0.5, 3, 0, 1)  # F1 = 2 x .5 x .5 / (.5 + .5)
    assert set_scores(golds, predictions) == expected


def test_families_are_finer_than_sectors():
    assert set_scores([["annoyed"]], [["angry"]], "sector").f1 == 1.0
    assert set_scores([["annoyed"]], [["angry"]], "family").f1 == 0.0


def test_clip_without_gold_words_is_left_out_and_counted():
    score = set_scores([[], ["sad"]], [["happy"], ["sad"]])
    assert (score.f1, score.num_clips, score.num_without_gold) == (1.0, 1, 1)
    assert set_scores([], []) == SetScore(None, None, None, 0, 0, 0)


def test_hit_rate_is_reported_with_the_number_of_words_given():
    assert hit_rate(["happy", "sad"], [["joy", "fear", "love"], ["angry"]]) == HitRate(1 / 2, 2.0, 2)
    assert hit_rate([], []) == HitRate(None, None, 0)
