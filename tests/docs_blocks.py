"""The code blocks of a page, with what a comment before them says of running them.

<!-- run -->                      tests/integration/test_docs_guides.py runs the block
<!-- not run: REASON -->          nothing runs it, for a reason
<!-- commands not run: REASON --> likewise, for every block of the page that has no comment of its own
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

COMMAND = re.compile(r"^(?:\$ )?(?:\S*/)?(?:r1omni|python -m torch\.distributed\.run .*? -m r1omni\.cli) (.*)")
_COMMENT = re.compile(r"^<!-- (run|not run: .+) -->$")
_WHOLE_PAGE = re.compile(r"^<!-- commands not run: (.+) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One code block."""

    lines: tuple[str, ...]
    """Stripped, continued lines joined."""
    mark: str | None
    """`run`, or why it is not run; None where nothing is said."""

    @property
    def commands(self) -> list[str]:
        """What follows `r1omni` in its command lines."""
        return [found[1] for line in self.lines if (found := COMMAND.match(line))]


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced and indented code blocks of a page, in order."""
    whole = _WHOLE_PAGE.search(text)
    default = None if whole is None else f"not run: {whole[1]}"
    mark: str | None = default
    held: list[str] = []
    in_fence = False
    for line in [*re.sub(r"\\\n\s*", "", text).splitlines(), "."]:
        is_fence = line.lstrip().startswith("```")
        if in_fence or (line.startswith("    ") and not is_fence):
            if is_fence:
                in_fence = False
                continue
            held.append(line.strip())
            continue
        if is_fence:
            in_fence = True
        if not line.strip() and not is_fence:
            continue
        if held:
            yield Block(tuple(held), mark)
            held, mark = [], default
        if found := _COMMENT.match(line.strip()):
            mark = found[1]
        elif not is_fence:
            mark = default


def words_of(line: str) -> list[str]:
    """The arguments of one command, up to a comment, a pipe or a redirection."""
    words = shlex.split(re.sub(r"\$k\b", "1", line), comments=True)  # of a loop over folds
    ends = [place for place, word in enumerate(words) if word in (">", "|", "&&", "||", "&", "2>")]
    return words[: ends[0]] if ends else words
