"""Reads the claims of a reasoning: what it says of pictures, sound and words that a measurement could check.

    reasoning -> sentences -> candidates (quotations, phrases, noun + word) -> claims with polarity, hedge and place

A claim keeps the characters that it came from, so that a page can mark them. A sentence that says that a side cannot be
judged is an abstention, and what it names is no claim. The words
are in `claim_lexicon`, `claim_phrases` and `claim_scope`.

Left out on purpose: parsing of syntax beyond clauses, and any model. What the lexicon does not hold is not found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from r1omni.core.evidence import EvidenceSide
from r1omni.scoring import claim_scope as scope
from r1omni.scoring.claim_lexicon import PARTS, SIDE_OF, ClaimWhat
from r1omni.scoring.claim_phrases import PHRASES, SPEAKING, SPOKEN_ADVERBS
from r1omni.scoring.claim_scope import Place
from r1omni.scoring.quotations import find_quotations

Polarity = Literal["positive", "negative"]


@dataclass(frozen=True)
class Claim:
    """Something that a reasoning says of a clip and that a measurement could support or contradict."""

    side: EvidenceSide
    what: ClaimWhat
    value: str
    """One of the values of `what` in `claim_lexicon`; `present` where there is only one; the words of a quotation."""
    polarity: Polarity
    """`negative` where the text denies it ("no smile")."""
    hedge: str | None
    """The words that weaken it ("may", "slightly"); None for a plain claim."""
    place: Place | None
    """When in the clip; None where the text does not say."""
    start: int
    """First character in the text."""
    stop: int
    """End (exclusive) in the text."""


@dataclass(frozen=True)
class Abstention:
    """A statement that a side cannot be judged."""

    side: EvidenceSide
    start: int
    stop: int


@dataclass(frozen=True)
class Reasons:
    """What a reasoning claims and what it says cannot be judged."""

    claims: tuple[Claim, ...]
    """In the order of the text."""
    abstentions: tuple[Abstention, ...]


@dataclass(frozen=True)
class _Candidate:
    """A possible claim; `word_start`..`word_stop` is the word that says how, which only one claim can use."""

    what: ClaimWhat
    value: str
    start: int
    stop: int
    word_start: int
    word_stop: int
    negative: bool = False


def read_reasons(text: str) -> Reasons:
    """Read the claims and abstentions of a text.

    Args:
        text: a reasoning, without tags.
    """
    quotations = find_quotations(text)
    plain = _masked(text, [(quotation.start, quotation.stop) for quotation in quotations])
    claims: list[Claim] = [
        Claim("text", "quotation", quotation.words, "positive", None, None, quotation.start, quotation.stop)
        for quotation in quotations
        if quotation.is_cited
    ]
    abstentions: list[Abstention] = []
    section: EvidenceSide | None = None
    for start, stop in _sentences(plain):
        section = _section(plain[start:stop], section)
        found, abstained = _read_sentence(plain[start:stop], section)
        claims += [replace(claim, start=start + claim.start, stop=start + claim.stop) for claim in found]
        abstentions += [Abstention(side, start + first, start + last) for side, first, last in abstained]
    return Reasons(tuple(sorted(claims, key=lambda claim: (claim.start, claim.stop))), tuple(abstentions))


@lru_cache(maxsize=4096)
def _read_sentence(
    sentence: str, section: EvidenceSide | None
) -> tuple[tuple[Claim, ...], tuple[tuple[EvidenceSide, int, int], ...]]:
    """Read one sentence; places count from its beginning. Models repeat themselves, so sentences are kept."""
    candidates = _kept(sentence, list(_candidates(sentence, section)))
    abstained, candidates = _abstentions(sentence, section, candidates)
    return tuple(_without_repeats([_claim(sentence, candidate) for candidate in candidates])), tuple(abstained)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the sentences of a text, (start, stop); a full stop inside a quotation ends none.

    Args:
        text: a reasoning, without tags.
    """
    masked = _masked(text, [(quotation.start, quotation.stop) for quotation in find_quotations(text)])
    return list(_sentences(masked))


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    for start, stop in spans:
        ends = text[stop - 1] if text[stop - 1] in ".!?" else "\x00"
        text = text[:start] + "\x00" * (stop - start - 1) + ends + text[stop:]
    return text


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in scope.SENTENCE_END.finditer(text):
        yield start, match.end()
        start = match.end()
    if text[start:].strip():
        yield start, len(text)


def _section(sentence: str, before: EvidenceSide | None) -> EvidenceSide | None:
    """Return the side that a sentence is about: its own words, or else what the sentences before it opened."""
    opened: list[tuple[int, EvidenceSide]] = [
        (match.start(), side) for side, cue in scope.SECTIONS if (match := cue.search(sentence))
    ]
    if opened:
        return min(opened)[1]
    return None if scope.NEW_SECTION.search(sentence) else before


def _candidates(sentence: str, section: EvidenceSide | None) -> Iterator[_Candidate]:
    """Yield possible claims, in order of preference."""
    for phrase in PHRASES:
        for match in phrase.pattern.finditer(sentence):
            what, value = phrase.what, phrase.value
            if what == "crying" and section == "pictures" and match[0].lower().startswith(("cr", "w")):
                what = "tears"
            yield _Candidate(what, value, *match.span(), *match.span(), negative=phrase.negative)
    yield from _noun_candidates(sentence)
    if section in ("sound", None) and SPEAKING.search(sentence):
        for what, value, pattern in SPOKEN_ADVERBS:
            for match in pattern.finditer(sentence):
                if section == "sound" or scope.is_near_speaking(sentence, match.start()):
                    yield _Candidate(what, value, *match.span(), *match.span())


def _noun_candidates(sentence: str) -> Iterator[_Candidate]:
    nouns = sorted({match.span() for part in PARTS for match in part.noun.finditer(sentence)})
    bound: list[tuple[int, int, _Candidate]] = []
    for rank, part in enumerate(PARTS):
        own = [match.span() for match in part.noun.finditer(sentence)]
        if not own:
            continue
        for order, (value, pattern) in enumerate(part.values):
            for match in pattern.finditer(sentence):
                tie = _bind(sentence, match.span(), own, nouns)
                if tie is None:
                    continue
                distance, (start, stop) = tie
                span = min(start, match.start()), max(stop, match.end())
                bound.append((distance, rank * 100 + order, _Candidate(part.what, value, *span, *match.span())))
    # A word goes with the nearest noun; of several readings with one noun, the longest word and then the table's order.
    bound.sort(key=lambda entry: (entry[0], entry[2].word_start - entry[2].word_stop, entry[1]))
    yield from (candidate for _, _, candidate in bound)


def _bind(
    sentence: str, word: tuple[int, int], own: list[tuple[int, int]], nouns: list[tuple[int, int]]
) -> tuple[int, tuple[int, int]] | None:
    """Tie a word to the noun that it describes: "raised eyebrows", "raises her eyebrows", "eyebrows are raised".

    Returns:
        How loosely (0 is closest) and the noun's span; None where it describes none of them.
    """
    after = [noun for noun in nouns if noun[0] >= word[1]]
    next_nouns = [noun for noun in after if noun[0] < after[0][1] and scope.leads_to_noun(sentence[word[1] : noun[0]])]
    if next_nouns:
        mine = [noun for noun in next_nouns if noun in own]
        return (0, mine[0]) if mine else None
    before = [noun for noun in nouns if noun[1] <= word[0]]
    if not before:
        return None
    nearest = max(noun[1] for noun in before)
    for noun in before:
        if noun[1] == nearest and noun in own and scope.is_predicate(sentence[noun[1] : word[0]]):
            return 1 + len(sentence[noun[1] : word[0]].split()), noun
    return None


def _kept(sentence: str, candidates: list[_Candidate]) -> list[_Candidate]:
    """Return one claim per word: the first of those that use it, and of those that repeat another."""
    kept: list[_Candidate] = []
    for candidate in candidates:
        if SIDE_OF[candidate.what] == "sound" and scope.is_about_music(sentence, candidate.start):
            continue
        is_taken = any(
            candidate.word_start < other.word_stop and other.word_start < candidate.word_stop for other in kept
        )
        is_repeated = any(
            (candidate.what, candidate.value) == (other.what, other.value)
            and scope.is_one_clause(sentence, candidate.start, other.start)
            for other in kept
        )
        if not is_taken and not is_repeated:
            kept.append(candidate)
    return kept


def _abstentions(
    sentence: str, section: EvidenceSide | None, candidates: list[_Candidate]
) -> tuple[list[tuple[EvidenceSide, int, int]], list[_Candidate]]:
    """Find what a sentence says cannot be judged, and drop the candidates that this is about."""
    found: list[tuple[EvidenceSide, int, int]] = []
    for match in scope.ABSTENTION.finditer(sentence):
        left = scope.clause_start(sentence, match.start())
        about = [c for c in candidates if c.start >= left and c.start < scope.complement_stop(sentence, match.end())]
        candidates = [candidate for candidate in candidates if candidate not in about]
        clause = sentence[left:]
        named: EvidenceSide | None = next((side for side, cue in scope.SIDE_WORDS if cue.search(clause)), None)
        by_claims: EvidenceSide | None = SIDE_OF[about[0].what] if about else None
        found.append((by_claims or named or section or "pictures", *match.span()))
    return found, candidates


def _without_repeats(claims: list[Claim]) -> list[Claim]:
    """Return the claims of one sentence, of those that say the same only the first."""
    first: dict[tuple[str, str, Polarity, Place | None], Claim] = {}
    for claim in sorted(claims, key=lambda claim: claim.start):
        first.setdefault((claim.what, claim.value, claim.polarity, claim.place), claim)
    return list(first.values())


def _claim(sentence: str, candidate: _Candidate) -> Claim:
    denied = candidate.negative != scope.is_denied(sentence, candidate.start, candidate.stop, candidate.word_start)
    return Claim(
        SIDE_OF[candidate.what],
        candidate.what,
        candidate.value,
        "negative" if denied else "positive",
        scope.hedge_of(sentence, candidate.start, candidate.stop),
        scope.place_of(sentence, candidate.start, candidate.stop),
        candidate.start,
        candidate.stop,
    )
