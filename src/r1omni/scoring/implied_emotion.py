"""The emotion that reasons alone imply, read by rules: reader 1 of coherence.

    1. an explicit conclusion: the last sentence that concludes ("therefore", "the person feels") and names an emotion
    2. otherwise the emotion words of the text and the patterns of its cues, added up

Denied words count for nothing, weakened ones for half; words inside quotations, and words that claim something of the
voice ("a calm tone"), are no emotion words. Where no emotion leads, they imply none: None, never a default.

Left out on purpose: whose emotion it is. "Faced with her angry father" counts as anger.
Source of the cue patterns: Ekman and Friesen, EMFACS (1983); Cordaro et al. (Emotion, 2018); Juslin and Laukka
(Psychological Bulletin, 2003). They were fixed before any result was seen.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from r1omni.scoring.claim_scope import DEGREE, SENTENCE_END, hedge_of, is_denied
from r1omni.scoring.claims import Reasons, read_reasons
from r1omni.scoring.quotations import find_quotations
from r1omni.scoring.wheel import FAMILY_OF

Source = Literal["conclusion", "words and cues"]

_WHO = "person|character|man|woman|boy|girl|lady|gentleman|child|speaker|he|she"
_CONCLUDES = re.compile(
    r"\b(?:therefore|thus|hence|consequently|overall|based on|combin(?:ing|ed)|concluded?|conclusion|all in all|"
    r"in (?:summary|conclusion|short)|to sum up|taken together|is feeling|feelings? of|"
    r"(?:it|this|that) can be (?:inferred|concluded|judged|seen)|(?:we|i) (?:can )?(?:infer|conclude|judge)|"
    rf"(?:{_WHO}) (?:\w+ )?feels?|emotion(?:al state)? (?:is|of|that|conveyed)|(?:mood|state) (?:is|of)|"
    r"(?:sentence|tone|face|this|which) (?:\w+ )?(?:expresses|conveys|shows|reveals|indicates)|"
    r"in an? [\w\s-]{1,30} (?:mood|state))\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
_HEDGED_WEIGHT = 0.5
_LEAD = 0.5
"""By how much the first emotion must lead the second, in words."""
_MIN_TOTAL = 1.0
"""What an emotion needs at least: one plain word, or cues that add up to as much."""

NEAREST: dict[str, tuple[str, ...]] = {
    "amused": ("happy",),
    "excited": ("happy",),
    "content": ("happy",),
    "relieved": ("happy", "calm"),
    "annoyed": ("angry",),
    "frustrated": ("angry",),
    "resentful": ("angry",),
    "shocked": ("surprise",),
    "nervous": ("anxious", "worried", "fear"),
    "anxious": ("worried", "fear"),
    "worried": ("anxious", "fear"),
    "depressed": ("sad",),
    "hurt": ("sad",),
    "lonely": ("sad",),
    "disappointed": ("sad",),
    "helpless": ("sad",),
    "mocking": ("contemptuous",),
    "contemptuous": ("disgust",),
    "calm": ("neutral",),
}
"""Family of words -> the labels that it stands for where the label set lacks the family itself, the nearest first."""

CUE_VOTES: dict[tuple[str, str], dict[str, float]] = {
    ("smile", "present"): {"happy": 1.0},
    ("smile", "smirk"): {"contemptuous": 1.0},
    ("eyes", "crinkled"): {"happy": 0.5},
    ("laughter", "present"): {"happy": 1.0},
    ("tears", "present"): {"sad": 1.0},
    ("crying", "present"): {"sad": 1.0},
    ("mouth", "corners_up"): {"happy": 0.5},
    ("mouth", "corners_down"): {"sad": 0.5, "disappointed": 0.5},
    ("mouth", "open"): {"surprise": 0.5},
    ("mouth", "stretched"): {"fear": 0.5},
    ("mouth", "pressed"): {"angry": 0.5, "anxious": 0.25},
    ("mouth", "sneer"): {"disgust": 0.75, "contemptuous": 0.5},
    ("mouth", "trembling"): {"sad": 0.5},
    ("brows", "slanted"): {"sad": 0.5, "fear": 0.5, "anxious": 0.5},
    ("brows", "lowered"): {"angry": 0.5, "disgust": 0.25},
    ("brows", "raised"): {"surprise": 0.5},
    ("frown", "present"): {"angry": 0.5, "anxious": 0.25},
    ("eyes", "wide"): {"surprise": 0.5, "fear": 0.5},
    ("gaze", "down"): {"sad": 0.5, "disappointed": 0.25},
    ("head", "lowered"): {"sad": 0.5, "disappointed": 0.5},
    ("head", "back"): {"disgust": 0.25},
    ("head", "restless"): {"anxious": 0.5},
    ("movement", "restless"): {"anxious": 0.5},
    ("movement", "trembling"): {"fear": 0.5},
    ("hands", "clenched"): {"angry": 0.5},
    ("loudness", "loud"): {"angry": 0.5},
    ("loudness", "soft"): {"sad": 0.25},
    ("pitch", "high"): {"surprise": 0.25, "fear": 0.25},
    ("pitch", "low"): {"sad": 0.25},
    ("pace", "slow"): {"sad": 0.25},
    ("steadiness", "trembling"): {"fear": 0.5, "sad": 0.25},
    ("sighs", "present"): {"sad": 0.5, "helpless": 0.5},
    ("topic", "kind"): {"happy": 0.5},
    ("topic", "hostile"): {"angry": 0.5},
    ("topic", "mournful"): {"sad": 0.5},
    ("topic", "alarming"): {"fear": 0.5},
    ("topic", "astonished"): {"surprise": 0.75},
}
"""(what, value) of a claim -> how much it speaks for each emotion; a plain emotion word is 1."""


@dataclass(frozen=True)
class ImpliedEmotion:
    """What reasons alone imply."""

    label: str | None
    """One of the label set; None where they imply none."""
    source: Source | None
    """How it was read; None where nothing is implied."""
    start: int | None = None
    """First character of the words that name it; None where cues alone imply it."""
    stop: int | None = None
    """End (exclusive) of these words."""


NOTHING_IMPLIED = ImpliedEmotion(None, None)


@dataclass(frozen=True)
class _Mention:
    label: str
    weight: float
    start: int
    stop: int


def implied_emotion(reasoning: str | None, labels: Sequence[str]) -> ImpliedEmotion:
    """Read the emotion that reasons imply.

    Args:
        reasoning: the text between the think tags; None where there are no reasons.
        labels: the label set.
    """
    return _implied(reasoning, tuple(labels)) if reasoning else NOTHING_IMPLIED


@lru_cache(maxsize=4096)
def _implied(reasoning: str, labels: tuple[str, ...]) -> ImpliedEmotion:
    reasons = read_reasons(reasoning)
    mentions, concluded = _mentions(reasoning, reasons, labels)
    totals: Counter[str] = Counter()
    for mention in mentions:
        totals[mention.label] += mention.weight  # pyright: ignore[reportArgumentType]
    if concluded:
        # Of several emotions in one conclusion the one that the whole text names most, then the first.
        best = max(concluded, key=lambda mention: (totals[mention.label], -mention.start))
        return ImpliedEmotion(best.label, "conclusion", best.start, best.stop)
    for claim in reasons.claims:
        if claim.polarity == "positive":
            for label, vote in CUE_VOTES.get((claim.what, claim.value), {}).items():
                if label in labels:
                    totals[label] += vote * (_HEDGED_WEIGHT if claim.hedge else 1)  # pyright: ignore[reportArgumentType]
    ranked = totals.most_common(2)
    if not ranked or ranked[0][1] < _MIN_TOTAL or (len(ranked) > 1 and ranked[0][1] - ranked[1][1] < _LEAD):
        return NOTHING_IMPLIED
    label = ranked[0][0]
    named = next((mention for mention in mentions if mention.label == label), None)
    return ImpliedEmotion(
        label, "words and cues", None if named is None else named.start, None if named is None else named.stop
    )


def _mentions(text: str, reasons: Reasons, labels: tuple[str, ...]) -> tuple[list[_Mention], list[_Mention]]:
    """Return every emotion that a text names, and those that its last concluding sentence names."""
    taken = [(claim.start, claim.stop) for claim in reasons.claims]
    taken += [(quotation.start, quotation.stop) for quotation in find_quotations(text)]
    found: list[_Mention] = []
    concluded: list[_Mention] = []
    start = 0
    for stop in [*(match.end() for match in SENTENCE_END.finditer(text)), len(text)]:
        sentence = text[start:stop]
        inside = list(_named_in(sentence, start, taken, labels))
        found += inside
        if inside and _CONCLUDES.search(sentence):
            concluded = inside
        start = stop
    return found, concluded


def _named_in(sentence: str, offset: int, taken: list[tuple[int, int]], labels: tuple[str, ...]) -> list[_Mention]:
    found = []
    for match in _WORD.finditer(sentence):
        start, stop = match.span()
        label = label_of(match[0], labels)
        if label is None or any(first < offset + stop and offset + start < last for first, last in taken):
            continue
        if is_denied(sentence, start, stop, start):
            continue
        hedge = hedge_of(sentence, start, stop)
        weight = _HEDGED_WEIGHT if hedge and not DEGREE.fullmatch(hedge) else 1.0
        found.append(_Mention(label, weight, offset + start, offset + stop))
    return found


def label_of(word: str, labels: Sequence[str]) -> str | None:
    """Return the label that an emotion word stands for in a label set; None for any other word.

    Args:
        word: one word, in any case.
        labels: the label set.
    """
    family = FAMILY_OF.get(word.lower())
    if family is None:
        return None
    return next((label for label in (family, *NEAREST.get(family, ())) if label in labels), None)
