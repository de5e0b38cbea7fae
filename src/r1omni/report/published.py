"""Published figures that a report compares its own with, each with its split and normaliser.

Source: arXiv 2503.05379, Table 1. The text of sections 4.2 and 4.3 has WAR and UAR swapped; the table is
used.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """One model on one corpus, in percent."""

    model: str
    """The name in the source."""
    counterpart: str | None
    """The model of this package's recipe that corresponds to it."""
    corpus: str
    """dfew, mafw or ravdess."""
    war: float
    uar: float
    split: str
    normaliser: str
    source: str = "R1-Omni, Table 1"


_SPLITS = {
    "dfew": "not stated; one part, as large as fold 1 or 2 (2,341 clips)",
    "mafw": "not stated; fits no public split",
    "ravdess": "not stated; a part (300 clips would fit), no training on it",
}
_NORMALISER = "open vocabulary, none stated"
_MODELS = (
    ("HumanOmni-0.5B", "base", (22.64, 19.44), (20.18, 13.52), (7.33, 9.38)),
    ("EMER-SFT", "cold-start", (38.66, 35.31), (38.39, 28.02), (29.00, 27.19)),
    ("MAFW-DFEW-SFT", "label-sft", (60.23, 44.39), (50.44, 30.39), (29.33, 30.75)),
    ("R1-Omni", "r1-omni", (65.83, 56.27), (57.68, 40.04), (43.00, 44.69)),
)

PAPER_TABLE_1: tuple[PublishedRow, ...] = tuple(
    PublishedRow(model, counterpart, corpus, war, uar, _SPLITS[corpus], _NORMALISER)
    for model, counterpart, *figures in _MODELS
    for corpus, (war, uar) in zip(_SPLITS, figures, strict=True)
)


def published_corpus(corpus: str) -> str:
    """Return the published corpus that a corpus is or imitates: `dfew-like` and `DFEW fold 1` give `dfew`.

    The compound classes of MAFW are a different task from its published row.
    """
    if "compound" in corpus.lower():
        return corpus
    return corpus.lower().replace("_", "-").split("-")[0].split()[0] if corpus else corpus
