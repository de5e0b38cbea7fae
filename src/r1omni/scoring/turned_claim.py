"""Turns one claim of a text round: the same sentence with the opposite cue, to see whether the answer depends on it."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from r1omni.scoring.claims import Claim

_PAIRS = (
    "raised lowered|raises lowers|raise lower|raising lowering|high low|higher lower|loud soft|louder softer|"
    "loudly softly|fast slow|faster slower|quick slow|quickly slowly|rapid slow|rapidly slowly|steady trembling|"
    "calm trembling|lively flat|wide narrowed|widened narrowed|widens narrows|widen narrow|open closed|opens closes|"
    "opened closed|opening closing|smiling drooping|smile frown|smiles frowns|smiled frowned|up down|upwards downwards|"
    "rising falling|rises falls|increases decreases|forward back|forwards backwards|nods shakes|nodding shaking|"
    "laughs sobs|laughter sobbing|laugh sob|laughing sobbing|shouts whispers|shouting whispering|shout whisper|"
    "still restless|kind hostile|big small|large small|present absent"
)
_ONE_WAY = (
    "furrowed raised|knitted raised|knits raises|squints widens|squint widen|crinkled narrowed|downcast wide|"
    "relaxed wide|level raised|slanted lowered|pressed open|presses opens|stretched closed|sneering smiling|"
    "smirking drooping|grin frown|grins frowns|grinning frowning|bowed raised|tilted bowed|medium high|moderate loud|"
    "normal fast|quiet loud|quietly loudly|deep high|hurried slow|shaky steady|choked steady|monotonous lively|"
    "mournful kind|alarming kind|astonished plain|plain hostile|sobs laughs|sighs laughs|tears smiles|crying laughing|"
    "cries laughs|lowers raises|clenched open|round narrowed"
)
_OPPOSITES: dict[str, str] = {}
for _pair in _PAIRS.split("|"):
    _one, _other = _pair.split()
    _OPPOSITES.setdefault(_one, _other)
    _OPPOSITES.setdefault(_other, _one)
_OPPOSITES |= {one: other for one, other in (pair.split() for pair in _ONE_WAY.split("|"))}
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class TurnedClaim:
    """One word replaced by its opposite."""

    start: int
    """First character of the word."""
    stop: int
    """End (exclusive)."""
    word: str
    """What takes its place."""

    def apply(self, text: str) -> str:
        """Return the text with the word replaced.

        Args:
            text: what the claim was read from.
        """
        return text[: self.start] + self.word + text[self.stop :]


def turn_round(text: str, claims: Sequence[Claim]) -> TurnedClaim | None:
    """Choose a claim of a text and turn it round; None where no claim has a word with an opposite.

    Which of several claims is turned depends on the text alone, so that the choice is spread over texts and repeats.

    Args:
        text: what the claims were read from.
        claims: its claims.
    """
    found = [turned for claim in claims if (turned := _turned(text, claim)) is not None]
    return found[zlib.crc32(text.encode()) % len(found)] if found else None


def _turned(text: str, claim: Claim) -> TurnedClaim | None:
    if claim.what == "quotation":
        return None
    for match in _WORD.finditer(text, claim.start, claim.stop):
        other = _OPPOSITES.get(match[0].lower())
        if other is not None:
            return TurnedClaim(*match.span(), other.capitalize() if match[0][0].isupper() else other)
    return None
