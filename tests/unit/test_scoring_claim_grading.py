"""Claims against evidence: supported, contradicted or unverifiable, and by which item."""

import pytest

from r1omni.core.evidence import EVIDENCE_NAMES, Evidence, EvidenceItem, Unmeasured
from r1omni.scoring.claim_grading import _RULES, grade_claims
from r1omni.scoring.claims import read_reasons


def _item(name, value, band=None, near=None, phase="clip"):
    row = EVIDENCE_NAMES[name]
    return EvidenceItem(name, row.side, value, row.unit, 0.0, 4.0, None, "a test", band, near, phase)


def _evidence(*items, has_pictures=True, has_sound=True, unmeasured=()):
    return Evidence(has_pictures, has_sound, 4.0, items, unmeasured)


def _states(text, evidence):
    return [graded.state for graded in grade_claims(read_reasons(text).claims, evidence)]


def test_the_band_of_the_item_decides_and_is_returned():
    loud = _item("loudness_db", -15.0, "loud")
    (graded,) = grade_claims(read_reasons("In the audio, the voice is loud.").claims, _evidence(loud))
    assert (graded.state, graded.item) == ("supported", loud)
    assert _states("In the audio, the voice is soft.", _evidence(loud)) == ["contradicted"]


def test_near_a_threshold_both_words_are_fair():
    evidence = _evidence(_item("loudness_db", -20.5, "moderate", "loud"))
    assert _states("The volume is loud. The volume is moderate. The volume is low.", evidence) == [
        "supported",
        "supported",
        "contradicted",
    ]
    assert _states("The volume is not loud.", evidence) == ["supported"]


def test_a_denial_is_supported_by_the_opposite():
    raised, level = _item("mouth_corners", 0.1, "raised"), _item("mouth_corners", 0.0, "level")
    assert _states("There is no smile on her face.", _evidence(level)) == ["supported"]
    assert _states("There is no smile on her face.", _evidence(raised)) == ["contradicted"]


def test_a_side_that_the_clip_lacks_contradicts_every_claim_about_it():
    mute = _evidence(has_sound=False)
    assert _states("In the audio, the voice trembles. She smiles.", mute) == ["contradicted", "unverifiable"]
    assert _states("In the audio, no laughter can be heard.", mute) == ["contradicted"]
    assert _states("In the audio, the man does not speak.", mute) == ["supported"]
    assert _states("He smiles.", _evidence(has_pictures=False)) == ["contradicted"]


def test_a_voice_where_nobody_speaks_is_contradicted():
    silent = _evidence(_item("digital_silence", True), _item("speech_share", 0.0, "none"))
    assert _states("In the audio, the tone is calm and the pace is fast.", silent) == ["contradicted", "contradicted"]
    assert _states("In the audio, the man remains silent.", silent) == ["supported"]
    nobody = _evidence(_item("speech_share", 0.0, "none"))
    assert _states("In the audio, the pitch is high. She sighs.", nobody) == ["contradicted", "unverifiable"]


def test_what_nothing_measures_is_unverifiable_with_the_reason():
    missing = Unmeasured("eye_opening", "pictures", "No face was found.")
    claims = read_reasons("Her eyes are wide, and he clenches his fists.").claims
    eyes, hands = grade_claims(claims, _evidence(unmeasured=(missing,)))
    assert (eyes.state, eyes.reason) == ("unverifiable", "No face was found.")
    assert (hands.state, hands.item) == ("unverifiable", None)


def test_a_place_in_time_is_checked_in_its_half():
    evidence = _evidence(
        _item("mouth_corners", 0.0, "level"),
        _item("mouth_corners", 0.1, "raised", phase="first"),
        _item("mouth_corners", -0.1, "drooping", phase="then"),
    )
    assert _states("At the beginning, she smiles.", evidence) == ["supported"]
    assert _states("At the end, she smiles.", evidence) == ["contradicted"]
    assert _states("She smiles.", evidence) == ["supported"]
    assert _states("She smiles throughout the video.", evidence) == ["contradicted"]
    assert _states("She does not smile.", evidence) == ["contradicted"]


def test_quotations_are_compared_with_the_subtitle_first_and_the_transcript_second():
    subtitle, transcript = _item("subtitle", "YOU L1ED TO ME"), _item("transcript", "get out of my house")
    both = _evidence(subtitle, transcript)
    text = 'The subtitle reads "You lied to me". He says "Get out of my house". He says "I love you so much".'
    first, second, third = grade_claims(read_reasons(text).claims, both)
    # one wrong character of the eleven of "youl1edtome"
    assert first.state == "supported" and first.item == subtitle and first.error_rate == pytest.approx(1 / 11)
    assert second.state == "supported" and second.item == transcript
    assert third.state == "contradicted" and third.error_rate is not None and third.error_rate > 0.5
    assert _states('The subtitle reads "You lied to me".', _evidence()) == ["unverifiable"]


def test_a_quotation_where_nothing_is_written_and_nobody_speaks_is_contradicted():
    text = 'The subtitle reads "You lied to me".'
    nobody = _item("speech_share", 0.0, "none")
    unread = Unmeasured("subtitle", "text", "Subtitles were not asked for.")
    assert _states(text, _evidence(nobody)) == ["contradicted"]
    assert _states(text, _evidence(has_sound=False)) == ["contradicted"]
    assert _states(text, _evidence(nobody, unmeasured=(unread,))) == ["unverifiable"]
    assert _states(text, _evidence(_item("speech_share", 0.6, "most"))) == ["unverifiable"]


def test_a_quotation_over_two_subtitles_is_compared_with_both():
    evidence = _evidence(_item("subtitle", "I told you"), _item("subtitle", "not to come back"))
    assert _states('The subtitle reads "I told you not to come back".', evidence) == ["supported"]


def test_a_faster_pace_is_measured_between_the_halves():
    evidence = _evidence(
        _item("speech_rate", 3.0, "slow", phase="first"), _item("speech_rate", 5.0, "normal", phase="then")
    )
    assert _states("In the audio, the pace of speech quickens.", evidence) == ["supported"]
    assert _states("In the audio, the speech slows down.", evidence) == ["contradicted"]


def test_every_rule_names_items_and_bands_that_exist():
    for checks in _RULES.values():
        for check in checks:
            bands = set(EVIDENCE_NAMES[check.name].bands) or {"yes", "no"}
            assert check.supports | (check.contradicts or set()) <= bands, check
