"""The cues of a synthetic clip as evidence: a claim holds exactly where the manifest says so."""

from pathlib import Path

import numpy as np
import pytest

from r1omni.core.clip import Clip
from r1omni.core.evidence import EVIDENCE_NAMES, Evidence
from r1omni.scoring.claim_grading import grade_claims
from r1omni.scoring.claims import read_reasons
from r1omni.synth.cue_evidence import cue_evidence
from r1omni.synth.words import describe
from r1omni.synth.world import CHANNELS, CUE_VALUES, Channel, Cues, random_cues

UNMARKED: Cues = {channel: values[0] for channel, values in CUE_VALUES.items()}


def evidence_of(cues: Cues) -> Evidence:
    evidence = cue_evidence(Clip(id="0", path=Path("0.mp4"), meta={"cues": cues}))
    assert evidence is not None
    return evidence


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_claim_holds_exactly_where_the_manifest_says_so(channel: Channel) -> None:
    for true in CUE_VALUES[channel]:
        evidence = evidence_of({**UNMARKED, channel: true})
        for claimed in CUE_VALUES[channel]:
            claims = read_reasons(describe({channel: claimed})).claims
            states = [graded.state for graded in grade_claims(claims, evidence)]
            assert states == ["supported" if claimed == true else "contradicted"], (true, claimed)


def test_the_state_of_a_claim_does_not_depend_on_the_other_channels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        cues, claimed = random_cues(rng), random_cues(rng)
        states = [graded.state for graded in grade_claims(read_reasons(describe(claimed)).claims, evidence_of(cues))]
        right = ["supported" if cues[channel] == claimed[channel] else "contradicted" for channel in CHANNELS]
        assert states == right, (cues, claimed)


@pytest.mark.parametrize("cues", [UNMARKED, {**UNMARKED, "mouth": "smirking"}])
def test_what_a_manifest_does_not_say_is_listed_and_nothing_else(cues: Cues) -> None:
    evidence = evidence_of(cues)
    assert {item.band for item in evidence.items} <= {None, *(b for row in EVIDENCE_NAMES.values() for b in row.bands)}
    known = {item.name for item in evidence.items}
    unmeasured = {missing.name for missing in evidence.unmeasured}
    assert not known & unmeasured
    assert set(EVIDENCE_NAMES) - known - unmeasured == {"subtitle", "mark"}  # the manifest says that there are none
    assert {"laughter", "crying", "sigh", "tears", "hands", "body_movement", "gaze_horizontal"} <= unmeasured


def test_raised_corners_of_a_drawn_mouth_are_fair_words_for_a_smile_and_a_smirk() -> None:
    for mouth, state in (("smiling", "supported"), ("smirking", "supported"), ("drooping", "contradicted")):
        claims = read_reasons("In the video, the corners of the mouth are raised.").claims
        assert [graded.state for graded in grade_claims(claims, evidence_of({**UNMARKED, "mouth": mouth}))] == [state]


def test_a_quotation_is_compared_with_the_words_in_the_picture_or_in_the_sound() -> None:
    clip = Clip(id="0", path=Path("0.mp4"), subtitle="Get out of here.", meta={"cues": UNMARKED, "subtitled": True})
    evidence = cue_evidence(clip)
    assert evidence is not None
    claims = read_reasons('The subtitle reads "Get out of here".').claims
    for given in (evidence, evidence.without("sound"), evidence.without("pictures")):
        assert [graded.state for graded in grade_claims(claims, given)] == ["supported"]


def test_claims_about_a_side_that_was_taken_away_are_contradicted() -> None:
    claims = read_reasons(describe(UNMARKED)).claims
    states = {g.claim.side: g.state for g in grade_claims(claims, evidence_of(UNMARKED).without("sound"))}
    assert states == {"pictures": "supported", "sound": "contradicted", "text": "supported"}


def test_a_file_that_lacks_a_side_by_its_manifest_has_no_evidence_of_it() -> None:
    whole = evidence_of(UNMARKED)
    for modality, side in (("video", "sound"), ("audio", "pictures")):
        clip = Clip(id="0", path=Path("0.mp4"), meta={"cues": UNMARKED, "modality": modality})
        assert cue_evidence(clip) == whole.without(side)


def test_a_clip_without_cues_has_no_evidence() -> None:
    assert cue_evidence(Clip(id="0", path=Path("0.mp4"))) is None
