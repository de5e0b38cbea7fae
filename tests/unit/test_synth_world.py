"""Emotions as combinations of cues, and the words for them."""

import math

import numpy as np
import pytest

from r1omni.core.labels import DFEW_LABELS, MAFW_LABELS
from r1omni.synth.words import FIXED_SENTENCES, SENTENCES, conclude, describe, false_claims, read_claims, reason
from r1omni.synth.world import (
    CHANNELS,
    CONFUSIONS,
    CUE_VALUES,
    PATTERNS,
    Noise,
    crowd_label,
    express,
    log_likelihoods,
    random_cues,
)


def test_every_pattern_uses_known_values_and_no_two_are_equal() -> None:
    patterns = [pattern for group in PATTERNS.values() for pattern in group]
    assert all(pattern[channel] in CUE_VALUES[channel] for pattern in patterns for channel in CHANNELS)
    assert len({tuple(pattern.values()) for pattern in patterns}) == len(patterns)


def test_no_single_cue_gives_an_emotion_away() -> None:
    for emotion, patterns in PATTERNS.items():
        others = [pattern for name, group in PATTERNS.items() if name != emotion for pattern in group]
        for channel in CHANNELS:
            shared = {pattern[channel] for pattern in others}
            alone = [pattern[channel] for pattern in patterns if pattern[channel] not in shared]
            assert len(alone) < len(patterns), f"{channel} alone tells {emotion}"


@pytest.mark.parametrize(
    ("first", "second", "channels"),
    [
        (("fear", 2), ("helpless", 1), {"brows", "words", "head"}),
        (("neutral", 0), ("calm", 0), {"brows", "eyes", "mouth", "head"}),
        (("surprise", 0), ("fear", 1), {"brows", "eyes", "mouth", "head", "pitch", "volume", "pace"}),
    ],
)
def test_neighbours_share_a_channel(first: tuple, second: tuple, channels: set[str]) -> None:
    a, b = PATTERNS[first[0]][first[1]], PATTERNS[second[0]][second[1]]
    same = {channel for channel in CHANNELS if a[channel] == b[channel]}
    assert same & channels, "they differ everywhere"


def test_without_noise_a_clip_shows_a_pattern() -> None:
    rng = np.random.default_rng(0)
    assert all(express("fear", rng, Noise(cue=0.0)) in PATTERNS["fear"] for _ in range(20))


def test_cue_noise_is_as_stated() -> None:
    rng, changed, total = np.random.default_rng(1), 0, 0
    for _ in range(2000):
        cues = express("neutral", rng, Noise(cue=0.25))
        changed += cues["brows"] != "level"
        total += 1
    # Replaced by one of four values evenly, one of which is the same: 0.25 * 3/4 = 0.1875; deviation 0.009.
    assert changed / total == pytest.approx(0.1875, abs=0.03)


def test_a_crowd_errs_as_often_as_stated_and_only_with_neighbours() -> None:
    rng = np.random.default_rng(2)
    labels = [crowd_label("angry", DFEW_LABELS, rng, Noise(label=0.2)) for _ in range(2000)]
    assert sum(label != "angry" for label in labels) / 2000 == pytest.approx(0.2, abs=0.03)
    assert set(labels) <= {"angry", *CONFUSIONS["angry"]}


def test_the_optimal_reader_follows_bayes() -> None:
    # One cue, no reading error, no noise but 0.25: brows "level" in all three patterns of neutral, wrong by 0.25.
    scores = log_likelihoods({"brows": "level"}, ("neutral", "angry"), Noise(cue=0.25))
    assert scores["neutral"] == pytest.approx(math.log(0.25 / 4 + 0.75))
    assert scores["angry"] == pytest.approx(math.log(0.25 / 4))


def test_claims_read_back_what_was_described() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        cues = random_cues(rng)
        assert read_claims(describe(cues)) == cues


def test_a_description_names_its_places_in_order() -> None:
    cues = dict(PATTERNS["happy"][0])
    assert describe(cues) == (
        "In the video, level brows, crinkled eyes, smiling mouth, still head. "
        "In the audio, high pitch, moderate volume, normal pace, lively tone. In the text, kind words."
    )
    assert describe({"pitch": "low"}) == "In the audio, low pitch."


def test_false_claims_are_counted_against_the_clip() -> None:
    cues = dict(PATTERNS["happy"][0])
    text = "In the video, raised brows, crinkled eyes. In the audio, low pitch. The person feels happy."
    assert false_claims(text, cues) == (2, 3)
    assert false_claims("The person feels happy.", cues) == (0, 0)


def test_thorough_annotators_name_every_cue_and_brief_ones_two_or_three() -> None:
    rng = np.random.default_rng(4)
    cues = dict(PATTERNS["sad"][0])
    assert len(read_claims(reason(cues, "sad", rng, thorough_share=1.0))) == len(CHANNELS)
    brief = {len(read_claims(reason(cues, "sad", rng, thorough_share=0.0))) for _ in range(40)}
    assert brief == {2, 3}
    assert reason(cues, "sad", rng, thorough_share=0.0).endswith(conclude("sad"))


def test_words_and_labels_cover_each_other() -> None:
    assert set(SENTENCES) == set(CUE_VALUES["words"])
    assert len(FIXED_SENTENCES) == 2
    assert set(MAFW_LABELS) <= set(PATTERNS)
