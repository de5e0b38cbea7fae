"""The cues of a synthetic clip as evidence: a claim holds exactly where the manifest says so."""

from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.evidence import Evidence
from r1omni.scoring.claim_grading import grade_claims
from r1omni.scoring.claims import read_reasons
from r1omni.synth.cue_evidence import cue_evidence
from r1omni.synth.words import describe
from r1omni.synth.world import CHANNELS, CUE_VALUES, Channel, Cues

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


def test_claims_about_a_side_that_was_taken_away_are_contradicted() -> None:
    claims = read_reasons(describe(UNMARKED)).claims
    states = {g.claim.side: g.state for g in grade_claims(claims, evidence_of(UNMARKED).without("sound"))}
    assert states == {"pictures": "supported", "sound": "contradicted", "text": "supported"}


def test_a_clip_without_cues_has_no_evidence() -> None:
    assert cue_evidence(Clip(id="0", path=Path("0.mp4"))) is None
