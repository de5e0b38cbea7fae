"""What surrounds a claim: negations, hedges, places in time, sections, abstentions, and how far each one reaches."""

import re
from typing import Literal

from r1omni.core.evidence import EvidenceSide
from r1omni.scoring.claim_lexicon import words
from r1omni.scoring.claim_phrases import SPEAKING

SENTENCE_END = re.compile(r"[.!?。！？]+(?:\s+|[\"”’')」]+\s+(?=[A-Z“\"]))|\n+")

NEGATION = words(
    r"no|not|never|without|neither|nor|none|nobody|cannot|hardly|barely|scarcely|lacks?|lacking|absence of|free of|"
    r"instead of|rather than|no longer|fails? to|nothing|stop~|ceas(?:es|ed)"
)
CONTRACTED_NOT = re.compile(r"n['’]t\b", re.IGNORECASE)
NO_NEGATION = words(r"not only|no doubt|not just|not merely|nothing but|no less")
"""Look like negations and are none."""
GONE = words(
    r"(?:gradually |slowly |suddenly |soon )?(?:has |have |had )?"
    r"(?:disappear(?:ed|s)|vanish(?:ed|es)|fad(?:ed|es)(?: away)?|ceas(?:ed|es)|stopp?(?:ed|s))"
)
"""After a claim: what was there is no longer there."""

DOUBT = words(
    r"may|might|could|perhaps|possibly|probably|likely|maybe|seems?|seemed|seemingly|appears?|appeared|apparently|"
    r"as if|as though|looks? (?:like|as if|as though)|presumably"
)
"""Weakens what follows it in its clause."""
DEGREE = words(r"slight(?:ly)?|somewhat|a little|a bit|faint(?:ly)?|subtl[ey]|a hint of|a trace of|vaguely|almost")
"""Weakens the claim that it stands in, or directly beside."""

BOUNDARY = re.compile(
    r"[,;:()]|\s[-–—]\s|\b(?:but|however|although|though|while|whereas|which|because|since|"
    r"so that|instead(?! of)|and then|who|"
    r"when|until|whether|(?<!as )if|suggest\w*|indicat\w*|show(?:s|ing)? that|express\w*|"
    r"convey\w*|reflect\w*|reveal\w*|impl(?:y|ies|ying))\b",
    re.IGNORECASE,
)
"""Ends the reach of a negation or a hedge."""

Place = Literal["beginning", "middle", "later", "end", "throughout"]

PLACES: tuple[tuple[Place, re.Pattern[str]], ...] = (
    (
        "throughout",
        words(
            r"throughout|all the time|the (?:whole|entire) time|from (?:beginning|"
            r"start) to (?:the )?end|from the beginning to the end|always|constantly|"
            r"the whole (?:video|clip|scene)"
        ),
    ),
    (
        "end",
        words(
            r"(?:at|towards?|near|in|by) the (?:very )?end|at last|in the last (?:one|shot|scene|"
            r"frames?|seconds?|part)|on the last \w+|finally|eventually|in the final \w+"
        ),
    ),
    (
        "middle",
        words(
            r"in the middle(?= of the (?:video|clip|scene|sentence|recording|audio)|,)|mid ?way|"
            r"half ?way(?: through)?|in between"
        ),
    ),
    (
        "beginning",
        words(
            r"(?:at|in|from) the (?:very )?(?:beginning|start|outset)|at first|initially|"
            r"in the (?:first|opening) (?:few )?(?:frames?|seconds?|shots?|scenes?|half|part|"
            r"moments?)|(?<!the\s)first(?!\w| (?:sentence|time|word|one|name))|to begin with|"
            r"begins by|starts by"
        ),
    ),
    (
        "later",
        words(
            r"then|afterwards?|after that|later(?: on)?|subsequently|as time (?:goes|passes|went) (?:on|by)|"
            r"in the following (?:scenes?|frames?|seconds?|shots?)|"
            r"as the (?:video|scene|clip) (?:progresses|goes on|continues)|"
            r"in the (?:next|second) (?:scenes?|shots?|half|part)|next(?=,)"
        ),
    ),
)
"""Words for a place in time."""

_JUDGE = r"(?:judge|determine|tell|say|see|hear|infer|identify|make out|discern|know|recogni[sz]e|assess|decide)"
ABSTENTION = words(
    rf"(?:impossible|not possible|unable|difficult|hard|not easy) to {_JUDGE}|"
    r"(?:cannot|can not|can't|could not|couldn't) (?:really |clearly )?(?:be )?(?:seen|heard|"
    r"judged|determined|told|read|"
    r"identified|made out|inferred|recogni[sz]ed|assessed|understood|discerned)|"
    rf"(?:cannot|can not|can't|could not|couldn't) (?:clearly )?{_JUDGE}|"
    r"(?:is|are|was|were) not (?:clearly )?(?:visible|audible|shown|legible|clear)(?: enough)?|not clear enough|"
    r"(?:remains?|is|are) (?:unclear|unknown|uncertain|illegible|inaudible|invisible|hidden)|"
    r"(?:is|are) (?:hidden|covered|obscured|blocked|concealed) (?:behind|by|under)|"
    r"no (?:[\w-]+ ){0,2}(?:clues?|information|evidence|indication|hints?)(?: (?:is|are|can be) \w+)?|"
    r"(?:gives?|provides?|offers?|contains?) no (?:[\w-]+ )?(?:information|clues?|hints?|indications?)|"
    r"too (?:far away|dark|blurred|blurry|small|short|noisy|quiet|dim)(?: for \w+)? to|"
    r"nothing can be (?:said|seen|heard|judged|concluded|told)|nothing (?:points|hints|indicates)|"
    r"no conclusions? can be"
)
"""Says that a side cannot be judged: neither a claim nor a denial."""
SECTIONS: tuple[tuple[EvidenceSide, re.Pattern[str]], ...] = (
    (
        "text",
        words(
            r"in the (?:text|subtitles?|words)|the subtitles?|according to the (?:text|subtitles?)|"
            r"from the (?:text|subtitles?)"
        ),
    ),
    (
        "sound",
        words(
            r"in the (?:audio|sound|recording|voice)|from the (?:audio|sound)|the (?:audio|"
            r"soundtrack)|judging (?:from|by) the (?:tone|sound|voice)|is heard|(?:can|"
            r"could) be heard|hear"
        ),
    ),
    (
        "pictures",
        words(
            r"in the (?:video|screen|pictures?|images?|frames?|clip|scene|footage)|on (?:the )?screen|"
            r"the (?:screen|picture|footage|camera)|from the (?:video|pictures?)"
        ),
    ),
)
"""Words that say which side a sentence is about."""
NEW_SECTION = words(
    r"based on|therefore|in summary|in conclusion|overall|combining|combined with|to sum up|"
    r"all in all"
)

MUSIC = words(r"music|songs?|melod(?:y|ies)|soundtrack|piano|guitar|drums?|violins?")
"""Sound that is no voice: what is said of it claims nothing of the speaker."""
VOICE = words(r"voices?|tone|speech|speak~|spoke|talk~|words|says?|said|he|she|speaker|character|man|woman")

SIDE_WORDS: tuple[tuple[EvidenceSide, re.Pattern[str]], ...] = (
    ("text", words(r"subtitles?|text|content of the sentence|words|written")),
    (
        "sound",
        words(
            r"audio|sound|voice|tone|pitch|volume|pace|speech|music|speaker|laughs?|cries|heard|hear|"
            r"intonation"
        ),
    ),
    (
        "pictures",
        words(
            r"video|picture|image|face|facial|eyes?|mouth|brows?|eyebrows?|hands?|expression|camera|"
            r"see|seen|visible|visual|smiles?|body"
        ),
    ),
)
"""Which side an abstention is about, where its sentence does not open a section."""


_DETERMINERS = frozenset("the a an his her their its this that these both one two some any each very so no".split())
_LINKS = frozenset(
    "is are was were be been being am to at in on for from by with into of and or but as than who which that while "
    "when because where if so until he she it they we there not".split()
)
_SUBJECTS = frozenset("he she they we who which that while when because where if until whose as for with".split())
_MAX_ATTRIBUTES, _MAX_PREDICATE, _BESIDE = 4, 8, 3
_AFTERTHOUGHT = re.compile(
    r"\s*(?:slightly|somewhat|a little|a bit|faintly|perhaps|possibly|probably|maybe)\b", re.IGNORECASE
)


def leads_to_noun(gap: str) -> bool:
    """Whether the text between a word and a noun behind it joins the two: "raised [bushy] brows", "raises [her] brows".

    Args:
        gap: the characters between.
    """
    if re.search(r"[;:()\x00]", gap):
        return False
    tokens = gap.replace(",", " , ").split()
    if len(tokens) > _MAX_ATTRIBUTES:
        return False
    if tokens[:1] == ["of"]:
        tokens = tokens[1:]
        return all(token.lower() in _DETERMINERS for token in tokens)
    if "," in tokens and (
        tokens[0] != "," or len(tokens) == 1 or any(token.lower() in _DETERMINERS for token in tokens)
    ):
        return False
    if tokens[:1] == ["and"]:
        tokens = tokens[1:]
        if not tokens or tokens[0].lower() in _DETERMINERS:
            return False
    return not any(token.lower() in _LINKS for token in tokens)


def is_predicate(gap: str) -> bool:
    """Whether the text between a noun and a word behind it lets the word describe the noun: "brows [are tightly] knit".

    Args:
        gap: the characters between.
    """
    if re.search(r"[,;:()\x00]", gap):
        return False
    tokens = [token.lower() for token in gap.split()]
    return len(tokens) <= _MAX_PREDICATE and not any(token in _SUBJECTS for token in tokens)


def is_near_speaking(sentence: str, position: int) -> bool:
    """Whether a word for speaking stands up to eight words before a place, in the same clause.

    Args:
        sentence: the sentence.
        position: of the word in question.
    """
    clause = sentence[clause_start(sentence, position) : position]
    return any(SPEAKING.search(word) for word in clause.split()[-8:])


def is_about_music(sentence: str, position: int) -> bool:
    """Whether a place lies in a clause about music in which nobody speaks.

    Args:
        sentence: the sentence.
        position: the place.
    """
    clause = sentence[clause_start(sentence, position) : clause_stop(sentence, position)]
    return MUSIC.search(clause) is not None and VOICE.search(clause) is None


def clause_start(sentence: str, position: int) -> int:
    """Return where the clause around a place begins.

    Args:
        sentence: the sentence.
        position: the place.
    """
    return max((match.end() for match in BOUNDARY.finditer(sentence, 0, position)), default=0)


def is_one_clause(sentence: str, first: int, second: int) -> bool:
    """Whether two places lie in one clause.

    Args:
        sentence: the sentence.
        first: a place.
        second: another one.
    """
    return clause_start(sentence, first) == clause_start(sentence, second)


def clause_stop(sentence: str, position: int) -> int:
    """Return where the clause around a place ends.

    Args:
        sentence: the sentence.
        position: the place.
    """
    match = BOUNDARY.search(sentence, position)
    return len(sentence) if match is None else match.start()


def complement_stop(sentence: str, position: int) -> int:
    """Return where the clause that hangs on an abstention ends: "impossible to tell | whether he smiles".

    Args:
        sentence: the sentence.
        position: the end of the abstention.
    """
    opening = re.match(r"[^,;:]{0,60}?\b(?:whether|(?<!as )if|how|what|which|that)\b", sentence[position:])
    start = position + (opening.end() if opening else 0)
    match = re.search(r"[,;:]", sentence[start:])
    return len(sentence) if match is None else start + match.start()


def is_denied(sentence: str, start: int, stop: int, word_start: int) -> bool:
    """Whether a claim is denied where it stands.

    Args:
        sentence: the sentence.
        start: of the claim.
        stop: of the claim.
        word_start: of the word that says how.
    """
    before = sentence[clause_start(sentence, start) : start]
    reach = _list_before(sentence, start) + before
    inside = sentence[start : max(word_start, start)]
    spoken = NO_NEGATION.sub(lambda match: " " * len(match[0]), f"{reach}{inside}")
    if NEGATION.search(spoken) or CONTRACTED_NOT.search(spoken):
        return True
    after = sentence[stop : clause_stop(sentence, stop)]
    gone = GONE.match(after.lstrip())
    return gone is not None


def _list_before(sentence: str, start: int) -> str:
    """Return the items before a claim in a list that one negation opens: "no laughter, | crying or sighs"."""
    match = re.search(
        r"\b(?:no|neither|without)\b(?:\s+[\w-]+){1,3}(?:,\s+(?:[\w-]+\s+){0,1}[\w-]+)*,\s+$", sentence[:start]
    )
    return match[0] if match and re.match(r"[\w\s-]+(?:,[\w\s-]+)*\b(?:or|nor)\b", sentence[start:]) else ""


def hedge_of(sentence: str, start: int, stop: int) -> str | None:
    """Return the words that weaken a claim, lower-cased; None for a plain one.

    Args:
        sentence: the sentence.
        start: of the claim.
        stop: of the claim.
    """
    before = sentence[clause_start(sentence, start) : start]
    after = sentence[stop : clause_stop(sentence, stop)]
    match = DOUBT.search(before + sentence[start:stop]) or DEGREE.search(sentence, start, stop)
    if match is None:
        beside = " ".join(before.split()[-_BESIDE:]).rpartition(" and ")[2]
        match = DEGREE.search(beside) or _AFTERTHOUGHT.match(after)
    return " ".join(match[0].lower().split()) if match else None


def place_of(sentence: str, start: int, stop: int) -> Place | None:
    """Return when in the clip something is claimed to be: the nearest words for it before the claim, or behind it.

    Args:
        sentence: the sentence.
        start: of the claim.
        stop: of the claim.
    """
    cues: list[tuple[int, int, Place]] = [
        (*match.span(), place) for place, pattern in PLACES for match in pattern.finditer(sentence)
    ]
    behind = [cue for cue in cues if stop <= cue[0] < max(clause_stop(sentence, stop), stop + 1)]
    if behind and not any(clause_start(sentence, start) <= cue[0] < start for cue in cues):
        return min(behind)[2]
    before = [cue for cue in cues if cue[0] < stop]
    return max(before)[2] if before else None
