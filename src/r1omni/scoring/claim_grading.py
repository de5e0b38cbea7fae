"""Grades claims against what was measured in the clip: supported, contradicted or unverifiable, with the deciding item.

A claim about a side that the clip does not have is contradicted, and so is one about a voice where nobody speaks. What
nothing measures is unverifiable, never contradicted. An item near a threshold supports both of its bands. A claim
without a place in time is supported if it holds in the clip or in one half of it; a denial must hold in all of them.

Left out on purpose: thresholds (`evidence/` makes the bands), and whether a supported cue means what the text says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from r1omni.core.evidence import Evidence, EvidenceItem, EvidenceSide, Phase
from r1omni.scoring.claims import Claim, Place
from r1omni.scoring.quotations import best_match

State = Literal["supported", "contradicted", "unverifiable"]

CLAIM_RULES = 2
"""To be raised when other claims are read of some text, or are graded otherwise: explanations are then made anew."""
MAX_CHARACTER_ERRORS = 0.3
"""Error rate up to which a quotation is what was written or said: OCR and recognition misread that much."""
FAIR_SPEECH_RATE = 1.1
"""Ratio of the speech rates of the two halves from which the pace has changed."""


@dataclass(frozen=True)
class GradedClaim:
    """A claim and what the clip says to it."""

    claim: Claim
    state: State
    item: EvidenceItem | None
    """The measurement that decided; None where none did."""
    reason: str
    """Why, as one sentence."""
    error_rate: float | None = None
    """Of a quotation: character errors against the nearest subtitle or transcript; None of other claims."""
    is_side_absent: bool = False
    """Whether the clip lacks the side that the claim is about."""

    def to_json(self) -> dict[str, Any]:
        """Return the claim, its state and what decided as JSON values."""
        item = self.item
        return {
            **asdict(self.claim),
            "state": self.state,
            "reason": self.reason,
            "error_rate": self.error_rate,
            "is_side_absent": self.is_side_absent,
            "item": None if item is None else asdict(item),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "GradedClaim":
        """Read what `to_json` wrote.

        Args:
            record: the JSON object.
        """
        claim = Claim(**{field.name: record[field.name] for field in fields(Claim)})
        item = None if record["item"] is None else EvidenceItem(**record["item"])
        return cls(claim, record["state"], item, record["reason"], record["error_rate"], record["is_side_absent"])


@dataclass(frozen=True)
class _Check:
    """One measurement that a claim can be checked with."""

    name: str
    supports: frozenset[str]
    contradicts: frozenset[str] | None = None
    """None: every other band."""


def _checks(text: str) -> tuple[_Check, ...]:
    """Read "item=band|band!band|band; ...": the bands that support, then those that contradict (all others if none)."""
    found = []
    for part in text.split(";"):
        name, _, bands = part.strip().partition("=")
        supports, bang, contradicts = bands.partition("!")
        sets = [frozenset(names.split("|")) - {""} for names in (supports, contradicts)]
        found.append(_Check(name, sets[0], sets[1] if bang else None))
    return tuple(found)


_RULES: dict[tuple[str, str], tuple[_Check, ...]] = {
    (what, value): _checks(text)
    for what, values in {
        "smile": {
            "present": "mouth_shape=smiling; mouth_corners=raised",
            "smirk": "mouth_shape=smirking; mouth_asymmetry=one-sided",
        },
        "frown": {"present": "brow_gap=drawn together; brow_height=lowered"},
        "brows": {
            "raised": "brow_height=raised",
            "lowered": "brow_height=lowered",
            "slanted": "brow_slant=slanted",
            "level": "brow_slant=!slanted; brow_height=level",
        },
        "eyes": {
            "wide": "eye_opening=wide",
            "narrowed": "eye_opening=narrowed",
            "closed": "eye_opening=!wide",
            "crinkled": "cheek_raise=raised",
            "relaxed": "gaze_vertical=!down; cheek_raise=!raised; eye_opening=usual",
        },
        "gaze": {
            "down": "gaze_vertical=down",
            "up": "gaze_vertical=up",
            "sideways": "gaze_horizontal=left|right",
            "ahead": "gaze_horizontal=!left|right; gaze_vertical=ahead",
            "away": "gaze_horizontal=left|right!; gaze_vertical=down|up!; head_yaw=left|right!",
        },
        "mouth": {
            "open": "mouth_shape=open; mouth_open=open|wide",
            "closed": "mouth_shape=closed; mouth_open=closed",
            "pressed": "lip_press=pressed; mouth_open=!open|wide",
            "corners_up": "mouth_corners=raised",
            "corners_down": "mouth_shape=drooping; mouth_corners=drooping",
            "stretched": "mouth_shape=stretched; mouth_width=wide",
            "sneer": "nose_wrinkle=wrinkled",
        },
        "head": {
            "lowered": "head_pitch=down",
            "raised": "head_pitch=up",
            "tilted": "head_roll=left|right",
            "turned": "head_yaw=left|right",
            "nodding": "head_movement=!still",
            "shaking": "head_movement=!still",
            "forward": "lean=forward",
            "back": "lean=back",
            "still": "head_posture=still; head_movement=still",
            "restless": "head_movement=restless|moving",
        },
        "tears": {"present": "tears=yes"},
        "movement": {
            "leaning_forward": "lean=forward",
            "leaning_back": "lean=back",
            "still": "head_movement=still!restless",
            "restless": "head_movement=restless|moving",
        },
        "pitch": {
            "high": "pitch_semitones=high",
            "low": "pitch_semitones=low",
            "medium": "pitch_semitones=medium",
            "rising": "pitch_trend=rising",
            "falling": "pitch_trend=falling",
            "flat": "pitch_range_semitones=narrow",
            "varied": "pitch_range_semitones=wide",
        },
        "loudness": {
            "loud": "loudness_db=loud",
            "soft": "loudness_db=soft",
            "moderate": "loudness_db=moderate",
            "rising": "loudness_trend=rising",
            "falling": "loudness_trend=falling",
        },
        "pace": {"fast": "speech_rate=fast", "slow": "speech_rate=slow", "normal": "speech_rate=normal"},
        "pauses": {"present": "pause_share=some|many", "long": "longest_pause_s=long"},
        "steadiness": {"steady": "voice_tone=steady; tremor=steady", "trembling": "tremor=trembling"},
        "laughter": {"present": "laughter=yes"},
        "crying": {"present": "crying=yes"},
        "sighs": {"present": "sigh=yes"},
        "speech": {"present": "speech_share=some|most"},
        "topic": {word: f"topic={word}" for word in "plain kind hostile mournful alarming astonished".split()},
    }.items()
    for value, text in values.items()
}
"""(what, value) -> the measurements that can decide, the better one first; what is not here is unverifiable.

Where a manifest says which one of several shapes was drawn, that decides before any single measurement: a drawn mouth
that smiles is not the "closed mouth" of the made corpora, though its lips touch.
"""

_NEEDS_SPEECH = frozenset({"pitch", "loudness", "pace", "pauses", "steadiness"})
_PHASES: dict[Place | None, tuple[Phase, ...]] = {
    "beginning": ("first",),
    "later": ("then",),
    "end": ("then",),
    "middle": ("clip", "first", "then"),
    "throughout": ("clip", "first", "then"),
    None: ("clip", "first", "then"),
}


def grade_claims(claims: Sequence[Claim], evidence: Evidence) -> list[GradedClaim]:
    """Grade each claim, in their order.

    Args:
        claims: of one text.
        evidence: of its clip, or of the sides of it that the model was given.
    """
    return [grade_claim(claim, evidence) for claim in claims]


def grade_claim(claim: Claim, evidence: Evidence) -> GradedClaim:
    """Grade one claim.

    Args:
        claim: the claim.
        evidence: of its clip.
    """
    is_missing = not _has(evidence, claim.side)
    if is_missing and (claim.what, claim.polarity) == ("speech", "negative"):
        return GradedClaim(claim, "supported", None, "The clip has no sound, so nobody can be heard.")
    if is_missing:
        return GradedClaim(claim, "contradicted", None, f"The clip has no {claim.side}.", is_side_absent=True)
    if claim.what == "quotation":
        return _graded_quotation(claim, evidence)
    if claim.side == "sound":
        silence = _silence(claim, evidence)
        if silence is not None:
            return silence
    if claim.what == "pace" and claim.value in ("rising", "falling"):
        return _graded_pace_change(claim, evidence)
    for check in _RULES.get((claim.what, claim.value), ()):
        graded = _checked(claim, check, evidence)
        if graded is not None:
            return graded
    return GradedClaim(claim, "unverifiable", None, _why_unverifiable(claim, evidence))


def _has(evidence: Evidence, side: EvidenceSide) -> bool:
    if side == "text":
        return evidence.has_pictures or evidence.has_sound
    return evidence.has_pictures if side == "pictures" else evidence.has_sound


def _silence(claim: Claim, evidence: Evidence) -> GradedClaim | None:
    """Grade a claim about a voice where there is none; None where somebody may be speaking."""
    item = _mute_item(evidence)
    if item is None:
        return None
    is_silent = item.name == "digital_silence"
    found = "The sound is digital silence." if is_silent else "Nobody speaks."
    if claim.what == "speech" or claim.polarity == "negative":
        denied = claim.polarity == "negative"
        return GradedClaim(claim, "supported" if denied else "contradicted", item, found)
    if claim.what in _NEEDS_SPEECH or is_silent:
        return GradedClaim(claim, "contradicted", item, found)
    return None


def _mute_item(evidence: Evidence) -> EvidenceItem | None:
    """Return the item that says that nobody speaks; None where somebody may."""
    silent, speech = evidence.find("digital_silence"), evidence.find("speech_share")
    if silent is not None and silent.value is True:
        return silent
    return speech if speech is not None and speech.band == "none" and speech.near is None else None


def _checked(claim: Claim, check: _Check, evidence: Evidence) -> GradedClaim | None:
    """Grade a claim by one measurement; None where it does not decide."""
    items = [item for phase in _PHASES[claim.place] if (item := evidence.find(check.name, phase)) is not None]
    if not items and (whole := evidence.find(check.name)) is not None:
        items = [whole]
    verdicts = [(item, _verdict(check, _bands(item))) for item in items]
    wanted: Literal["yes", "no"] = "yes" if claim.polarity == "positive" else "no"
    needs_all = claim.polarity == "negative" or claim.place == "throughout"
    agreeing = [item for item, verdict in verdicts if wanted in verdict]
    opposing = [item for item, verdict in verdicts if verdict and wanted not in verdict]
    if agreeing and not (needs_all and opposing):
        return GradedClaim(claim, "supported", agreeing[0], _described(agreeing[0]))
    if opposing:
        return GradedClaim(claim, "contradicted", opposing[0], _described(opposing[0]))
    return None


def _bands(item: EvidenceItem) -> frozenset[str]:
    if isinstance(item.value, bool):
        return frozenset({"yes" if item.value else "no"})
    return frozenset(band for band in (item.band, item.near) if band is not None)


def _verdict(check: _Check, bands: Iterable[str]) -> frozenset[str]:
    """Return what the fair bands of an item say: `yes`, `no`, both near a threshold, or nothing."""
    found = set()
    for band in bands:
        if band in check.supports:
            found.add("yes")
        elif check.contradicts is None or band in check.contradicts:
            found.add("no")
    return frozenset(found)


def _described(item: EvidenceItem) -> str:
    value = f"{item.value:.3g}" if isinstance(item.value, float) else str(item.value)
    unit = "" if item.unit in ("", "cue") else f" {item.unit}"
    band = "" if item.band is None or item.band == value else f": {item.band}"
    near = "" if item.near is None else f", near {item.near}"
    return f"{item.name.replace('_', ' ')} is {value}{unit}{band}{near}."


def _why_unverifiable(claim: Claim, evidence: Evidence) -> str:
    checks = _RULES.get((claim.what, claim.value), ())
    reasons = [reason for check in checks if (reason := evidence.why_not(check.name)) is not None]
    if reasons:
        return reasons[-1]
    names = ", ".join(check.name for check in checks)
    return f"Not measured in this clip: {names}." if checks else "Nothing measures this."


def _graded_pace_change(claim: Claim, evidence: Evidence) -> GradedClaim:
    first, then = evidence.find("speech_rate", "first"), evidence.find("speech_rate", "then")
    rates = [item.value for item in (first, then) if item is not None and isinstance(item.value, float | int)]
    if then is None or len(rates) < 2 or min(rates) <= 0:
        return GradedClaim(claim, "unverifiable", None, "The speech rate of the two halves was not measured.")
    change = rates[1] / rates[0] if claim.value == "rising" else rates[0] / rates[1]
    holds = change >= FAIR_SPEECH_RATE
    state: State = "supported" if holds == (claim.polarity == "positive") else "contradicted"
    return GradedClaim(claim, state, then, f"Speech rate {rates[0]:.3g}, then {rates[1]:.3g} syllables/s.")


def _graded_quotation(claim: Claim, evidence: Evidence) -> GradedClaim:
    """Compare a quotation with the subtitles, and with the transcript where these do not fit."""
    best: tuple[float, EvidenceItem] | None = None
    for name in ("subtitle", "transcript"):
        items = evidence.all(name)
        if not items:
            continue
        whole = " ".join(str(item.value) for item in items)
        rate, item = min(((best_match(claim.value, str(item.value)), item) for item in items), key=lambda pair: pair[0])
        rate = min(rate, best_match(claim.value, whole))
        if best is None or rate < best[0]:
            best = rate, item
        if rate <= MAX_CHARACTER_ERRORS:
            break
    if best is None:
        silence = _mute_item(evidence)
        may_be_written = evidence.has_pictures and evidence.why_not("subtitle") is not None
        if not may_be_written and (silence is not None or not evidence.has_sound):
            state: State = "contradicted" if claim.polarity == "positive" else "supported"
            return GradedClaim(claim, state, silence, "Nothing is written in the pictures, and nobody speaks.")
        reason = evidence.why_not("subtitle") or evidence.why_not("transcript") or "No subtitle or transcript was read."
        return GradedClaim(claim, "unverifiable", None, reason)
    rate, item = best
    holds = rate <= MAX_CHARACTER_ERRORS
    state = "supported" if holds == (claim.polarity == "positive") else "contradicted"
    return GradedClaim(claim, state, item, f"Character error rate {rate:.2f} against the {item.name}.", rate)
