"""Words in quotation marks: where a text cites what was said or written, and how far that is from what was."""

import re
from dataclasses import dataclass

_QUOTED = re.compile(
    r"\"(?P<straight>[^\"\n]{1,400})\"|“(?P<curly>[^”\n]{1,400})”|「(?P<corner>[^」\n]{1,400})」|"
    r"(?<!\w)['‘](?P<single>[^\n]{1,400}?)['’](?!\w)"
)
_CITING = re.compile(
    r"\b(?:subtitles?|text|sentence|lines?|words?|content|sa(?:y|ys|id|ying)|reads?|reading|state[sd]?|asks?|asked|"
    r"repl(?:y|ies|ied)|answer(?:s|ed)?|exclaim(?:s|ed)?|shout(?:s|ed)?|yell(?:s|ed)?|whisper(?:s|ed)?|repeat(?:s|ed)?|"
    r"utter(?:s|ed)?|phrase|dialogue|caption|followed|written|shown|speak(?:s|ing)?|spoken|tells?|mutter(?:s|ed)?|"
    r"scream(?:s|ed)?|cr(?:ies|ied) out|call(?:s|ed|ing)|adds?|mentions?|expression)\b",
    re.IGNORECASE,
)
_NAMING = re.compile(r"\b(?:so-called|known as|named|titled|entitled|labell?ed|nicknamed)\s*$", re.IGNORECASE)
_LETTERS = re.compile(r"[^\w]+", re.UNICODE)
_REACH = 120  # characters before a quotation in which a citing word may stand


@dataclass(frozen=True)
class Quotation:
    """A part of a text in quotation marks."""

    words: str
    start: int
    """First character after the opening mark."""
    stop: int
    """The closing mark."""
    is_cited: bool
    """Whether the text says that this was said or written; a nickname or a scare quote was not."""


def find_quotations(text: str) -> list[Quotation]:
    """Find what stands in quotation marks, in order.

    Args:
        text: any text; marks that are not closed on their line open nothing.
    """
    found = []
    for match in _QUOTED.finditer(text):
        kind = match.lastgroup or "straight"
        start, stop = match.span(kind)
        before, after = text[max(0, start - _REACH) : match.start()], text[match.end() : match.end() + 60]
        cites = _CITING.search(before) or _CITING.search(after) or len(match[kind].split()) > 2
        found.append(Quotation(match[kind], start, stop, bool(cites) and not _NAMING.search(before)))
    return found


def character_error_rate(quoted: str, true: str) -> float:
    """Return the edit distance over the length of the true words, over letters and digits in lower case.

    Case, punctuation and spacing do not count: a subtitle is often written in capitals, and its comma misread.

    Args:
        quoted: what was cited.
        true: what was written or said; without letters or digits the rate is 0 for an equally empty quotation, else 1.
    """
    left, right = _LETTERS.sub("", quoted.lower()), _LETTERS.sub("", true.lower())
    if not right:
        return float(bool(left))
    previous = list(range(len(right) + 1))
    for row, letter in enumerate(left, start=1):
        current = [row]
        for column, other in enumerate(right, start=1):
            swap = previous[column - 1] + (letter != other)
            current.append(min(previous[column] + 1, current[-1] + 1, swap))
        previous = current
    return previous[-1] / len(right)


def best_match(quoted: str, true: str) -> float:
    """Return the error rate of a quotation against the part of the true words that fits it best, word by word.

    A text often cites a part of a subtitle, or a subtitle shows a part of what is cited; what lies outside the part
    does not count against it.

    Args:
        quoted: what was cited.
        true: everything that was written or said.
    """
    words = true.split()
    size = len(quoted.split())
    whole = character_error_rate(quoted, true)
    if size >= len(words):
        return whole
    parts = (" ".join(words[i : i + n]) for n in {size, size + 1} for i in range(len(words) - n + 1))
    return min(whole, *(character_error_rate(quoted, part) for part in parts))
