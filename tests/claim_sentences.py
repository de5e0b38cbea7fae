"""The sentences marked by hand, and how well the parser's claims agree with them."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from r1omni.scoring.claims import Claim, read_reasons

SENTENCES = Path(__file__).parent / "claims" / "sentences.jsonl"


@dataclass
class Agreement:
    """Counts over sentences, by what a claim is about."""

    found: Counter[str] = field(default_factory=Counter)
    invented: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    hedges_right: int = 0
    places_right: int = 0
    spans_right: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of the parser's claims that were marked by hand."""
        return self.found.total() / max(1, self.found.total() + self.invented.total())

    @property
    def recall(self) -> float:
        """Share of the claims marked by hand that the parser found."""
        return self.found.total() / max(1, self.found.total() + self.missed.total())


def read_sentences(part: str, path: Path = SENTENCES) -> list[dict]:
    """Return the sentences of one part."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["part"] == part]


def agreement(sentences: list[dict]) -> Agreement:
    """Compare the parser with the marks: a claim agrees in what, value and polarity."""
    result = Agreement()
    for row in sentences:
        left = list(row["claims"])
        for claim in read_reasons(row["text"]).claims:
            mark = next((mark for mark in left if _matches(mark, claim)), None)
            if mark is None:
                result.invented[claim.what] += 1
                result.differences.append(f"invented {claim.what} {claim.value} {claim.polarity}: {row['text']}")
                continue
            left.remove(mark)
            result.found[claim.what] += 1
            start = row["text"].index(mark["words"])
            result.hedges_right += (claim.hedge is not None) == mark["hedged"]
            result.places_right += claim.place == mark["place"]
            result.spans_right += claim.start < start + len(mark["words"]) and start < claim.stop
        for mark in left:
            result.missed[mark["what"]] += 1
            result.differences.append(f"missed {mark['what']} {mark['value']} {mark['polarity']}: {row['text']}")
    return result


def _matches(mark: dict, claim: Claim) -> bool:
    return (mark["what"], mark["value"], mark["polarity"]) == (claim.what, claim.value, claim.polarity)
