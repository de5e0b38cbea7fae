"""Phrases that house style replaces do not come back in code, messages and docs; the dated log is left as written."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PHRASES = {  # pattern -> what to write
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bstands? (twice|once|beside)\b": "duplicate, occurs once, with",
    r"\b(shard|id|fold|word|it|that) is none\b": "is out of range, is unknown",
    r"\b(is|are) told\b": "is called with",
    r"\bwith gradient\b": "with gradients, or: gradients flow through",
    r"\bbe there\b": "whether or not there is",
    r"\blies (beside|apart)\b": "is next to, is separate",
}
WRITTEN = [
    *(REPOSITORY / "src").rglob("*.py"),
    *(REPOSITORY / "benchmarks").glob("*.py"),
    *(REPOSITORY / "scripts").glob("*.py"),
    *REPOSITORY.glob("*.md"),
    *(page for page in (REPOSITORY / "docs").glob("*.md") if page.name != "log.md"),
]


@pytest.mark.parametrize(("phrase", "instead"), PHRASES.items(), ids=PHRASES)
def test_a_phrase_that_house_style_replaces_does_not_occur(phrase: str, instead: str) -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: write {instead!r}"
        for path in WRITTEN
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(phrase, line, re.IGNORECASE) and not re.search(r"\bis None\b", line)
    ]
    assert found == []
