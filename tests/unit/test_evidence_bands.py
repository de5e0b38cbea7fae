"""Bands: the border belongs to the upper band, and close to it both words are fair."""

import pytest

from r1omni.core.evidence import EVIDENCE_NAMES
from r1omni.evidence.bands import THRESHOLDS, find_band
from r1omni.evidence.item import all_unmeasured, make_item


@pytest.mark.parametrize("name", THRESHOLDS)
def test_thresholds_rise_lie_within_their_fair_range_and_match_the_bands(name: str):
    thresholds = THRESHOLDS[name]
    assert len(thresholds) == len(EVIDENCE_NAMES[name].bands) - 1
    assert all(t.fair_from <= t.value <= t.fair_to and t.source for t in thresholds)
    assert [t.value for t in thresholds] == sorted(t.value for t in thresholds)


@pytest.mark.parametrize(
    ("value", "band", "near"),
    [
        (2.0, "slow", None),
        (3.0, "slow", "normal"),
        (3.3, "normal", "slow"),
        (4.5, "normal", None),
        (5.5, "normal", "fast"),
        (7.0, "fast", None),
    ],
)
def test_a_speech_rate_gets_its_band_and_the_neighbour_where_it_is_close(value, band, near):
    assert find_band("speech_rate", value) == (band, near)


def test_a_name_without_bands_has_none():
    assert find_band("pitch_hz", 120.0) == (None, None)


def test_an_item_takes_side_and_unit_from_the_table():
    item = make_item("speech_rate", 7.00001, (0.0, 2.0), "nuclei", confidence=0.98765)
    assert (item.side, item.unit, item.value, item.confidence) == ("sound", "syllables/s", 7.0, 0.988)
    assert (item.band, item.near, item.phase) == ("fast", None, "clip")


def test_yes_or_no_and_text_have_no_band():
    assert make_item("subtitle", "7", (0.0, 2.0), "ocr").band is None
    assert make_item("digital_silence", True, (0.0, 2.0), "samples").band is None


def test_unmeasured_names_keep_their_side():
    assert [missing.side for missing in all_unmeasured(["pitch_hz", "face_count"], "Why.")] == ["sound", "pictures"]
