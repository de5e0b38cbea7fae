"""Normalisers: what is done to an answer before it is compared with the gold label.

`exact` is the paper's: strip and lower-case. `synonym` also drops the punctuation around the answer and maps
inflections and plain synonyms to the class names through the wheel. The label set always wins: an answer that is one of
its labels stays that label, and a synonym becomes the label of its family, whichever word the label set uses.
Neither looks for a word inside a sentence: an answer that names every emotion would always be correct. Gold labels and
label sets are stripped and lower-cased like answers. Every figure is reported with the name of its normaliser.

Where the label set holds compound classes (`angry_disgust`), `synonym` reads an answer's words as a set: "disgust and
anger" is `angry_disgust`, one of the two alone is not.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Sequence
from typing import Literal, get_args

from r1omni.core.errors import ConfigError
from r1omni.core.labels import EMOTIONS
from r1omni.scoring.wheel import FAMILY_OF

NormaliserName = Literal["exact", "synonym"]

_AROUND = " \t\n\r.,;:!?\"'`*_()[]{}<>“”‘’。，！？"

_BETWEEN = re.compile(r"[,;/|+&_、，；\n]+|\band\b")

SYNONYMS: dict[str, str] = {word: family for word, family in FAMILY_OF.items() if family in EMOTIONS}
"""Word -> class name, for the families of the wheel that are named after a class. Each class name maps to itself."""


def exact(answer: str) -> str:
    """Strip and lower-case.

    Source:
        arXiv 2503.05379, section 3.2 (accuracy reward compares the answer with the label).
    """
    return answer.strip().lower()


def synonym(answer: str) -> str:
    """Map inflections and plain synonyms to a class name; any other answer is only stripped and lower-cased."""
    bare = " ".join(answer.lower().strip(_AROUND).split())
    return SYNONYMS.get(bare, bare)


NORMALISERS: dict[str, Callable[[str], str]] = {"exact": exact, "synonym": synonym}


_RULES = "1"
"""To be raised when the code of a normaliser changes what it returns; its tables count by themselves."""


def normaliser_rule(normaliser: NormaliserName) -> str:
    """Return a short hash of what a normaliser does, so that figures of different rules are not taken for the same.

    Args:
        normaliser: a row of `NORMALISERS`.
    """
    tables = [SYNONYMS, _AROUND, _BETWEEN.pattern] if normaliser == "synonym" else []
    content = json.dumps([_RULES, normaliser, *tables], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def normalise(
    answer: str | None, normaliser: NormaliserName | str = "exact", labels: Collection[str] | None = None
) -> str | None:
    """Apply a normaliser by name.

    Args:
        answer: the answer part; None for a missing answer.
        normaliser: a row of `NORMALISERS`.
        labels: the label set; None for free words.

    Returns:
        A label as `exact` writes it, or, outside the label set, the answer's own words; None for no answer.

    Raises:
        ConfigError: the normaliser is unknown.
    """
    if normaliser not in NORMALISERS:
        raise ConfigError(f"Unknown normaliser {normaliser!r}; choose one of {', '.join(get_args(NormaliserName))}.")
    if answer is None:
        return None
    if normaliser == "exact" or labels is None:
        return NORMALISERS[normaliser](answer) or None
    return _within([exact(label) for label in labels], answer) or None


def _within(labels: Sequence[str], answer: str) -> str:
    """Map an answer to the label that it means; if it means none, to the same as without a label set."""
    bare = " ".join(answer.lower().strip(_AROUND).split())
    if bare in labels:
        return bare
    parts = frozenset(synonym(part) for part in _BETWEEN.split(answer.lower())) - {""}
    compound = [label for label in labels if "_" in label and frozenset(map(synonym, label.split("_"))) == parts]
    if compound:
        return compound[0]
    family = synonym(answer)
    if family in labels:
        return family
    meant = [label for label in labels if family in EMOTIONS and SYNONYMS.get(label) == family]
    return meant[0] if len(meant) == 1 else family
