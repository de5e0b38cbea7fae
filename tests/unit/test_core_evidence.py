"""The record of what was measured, and the table of names that it may use."""

import json

import pytest

from r1omni.core.evidence import EVIDENCE_NAMES, Evidence, EvidenceItem, Unmeasured, names_of

PITCH = EvidenceItem("pitch_hz", "sound", 120.5, "Hz", 0.2, 3.0, 0.9, "autocorrelation")
HIGH = EvidenceItem(
    "pitch_semitones", "sound", 14.0, "semitones re 100 Hz", 0.2, 3.0, 0.9, "autocorrelation", "high", "medium"
)
LATER = EvidenceItem("mouth_open", "pictures", 0.2, "eye distances", 1.5, 3.0, None, "mesh", "open", phase="then")
TITLE = EvidenceItem("subtitle", "text", "Get out of here.", "", 0.0, 2.0, 0.98, "rapidocr")
HEARD = EvidenceItem("transcript", "text", "get out", "", 0.0, 2.0, None, "whisper")
EVIDENCE = Evidence(
    True, True, 3.0, (PITCH, HIGH, LATER, TITLE, HEARD), (Unmeasured("tremor", "sound", "The voice lasts 0.3 s."),)
)


def test_a_record_is_the_same_after_writing_and_reading():
    line = json.dumps({"id": "clip-1"} | EVIDENCE.to_json())
    assert Evidence.from_json(json.loads(line)) == EVIDENCE


def test_an_item_is_found_by_name_and_phase():
    assert EVIDENCE.find("pitch_semitones") is HIGH
    assert EVIDENCE.find("mouth_open") is None
    assert EVIDENCE.find("mouth_open", "then") is LATER
    assert EVIDENCE.why_not("tremor") == "The voice lasts 0.3 s."
    assert EVIDENCE.why_not("pitch_hz") is None


def test_without_sound_nothing_that_was_heard_is_left():
    deaf = EVIDENCE.without("sound")
    assert (deaf.has_sound, deaf.has_pictures) == (False, True)
    assert deaf.items == (LATER, TITLE) and deaf.unmeasured == ()


def test_without_pictures_subtitles_go_and_the_transcript_stays():
    blind = EVIDENCE.without("pictures")
    assert (blind.has_sound, blind.has_pictures) == (True, False)
    assert blind.items == (PITCH, HIGH, HEARD)


def test_an_unknown_name_is_refused():
    record = EVIDENCE.to_json()
    record["items"][0]["name"] = "aura"
    with pytest.raises(ValueError, match="'aura'"):
        Evidence.from_json(record)


def test_a_record_without_items_is_refused_with_what_is_missing():
    with pytest.raises(ValueError, match="items"):
        Evidence.from_json({"has_pictures": True, "has_sound": True, "duration_s": 1.0})


def test_every_name_belongs_to_one_side():
    assert [*names_of("sound"), *names_of("text"), *names_of("pictures")] == list(EVIDENCE_NAMES)
