"""An answer in two channels while it is written: its reasons, and what it says.

    <think>a b</think> <answer>angry</answer>   ->   reasoning "a b", content "angry"

Tags are not part of either channel. Where a format has several parts with reasons, each is a paragraph. Text outside
all tags is content: the whole answer of a model that writes none. The pieces, put together, are what the whole text
gives.
"""

import re
from typing import Literal, NamedTuple

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat

Channel = Literal["reasoning", "content"]


class Piece(NamedTuple):
    """New text of one channel."""

    channel: Channel
    text: str


class AnswerChannels:
    """Sorts the text of one answer into channels.

    Args:
        answer_format: names the tags.
    """

    def __init__(self, answer_format: AnswerFormat = PAPER_FORMAT) -> None:
        self.texts: dict[Channel, str] = {"reasoning": "", "content": ""}
        """What each channel holds so far."""
        self._answer = answer_format.answer
        self._tags = [f"<{slash}{name}>" for name in answer_format.parts for slash in ("", "/")]
        self._pattern = re.compile("|".join(map(re.escape, self._tags)))
        self._channel: Channel = "content"
        self._held = ""
        """The beginning of what may be a tag."""
        self._space = ""
        """White space that is let out with the next word of its part."""
        self._is_new_part = True

    def push(self, text: str) -> list[Piece]:
        """Take more text and return what it adds to the channels.

        Args:
            text: follows what was pushed before.
        """
        pieces: list[Piece] = []
        rest = self._held + text
        while (found := self._pattern.search(rest)) is not None:
            self._add(rest[: found.start()], pieces)
            self._enter(found[0])
            rest = rest[found.end() :]
        begun = self._beginning(rest)
        self._held = rest[len(rest) - begun :]
        self._add(rest[: len(rest) - begun], pieces)
        return pieces

    def finish(self) -> list[Piece]:
        """Return what was held back; the answer has no more text."""
        pieces: list[Piece] = []
        self._add(self._held, pieces)
        self._held = ""
        return pieces

    def _enter(self, tag: str) -> None:
        name = tag.strip("</>")
        self._channel = "content" if tag.startswith("</") or name == self._answer else "reasoning"
        self._is_new_part, self._space = True, ""

    def _add(self, text: str, pieces: list[Piece]) -> None:
        words = text.rstrip()
        if not words:
            self._space += text
            return
        if self._is_new_part:
            shown = ("\n" if self.texts[self._channel] else "") + words.lstrip()
        else:
            shown = self._space + words
        self._is_new_part, self._space = False, text[len(words) :]
        self.texts[self._channel] += shown
        pieces.append(Piece(self._channel, shown))

    def _beginning(self, text: str) -> int:
        """Length of the longest end of a text that a tag begins with."""
        start = text.rfind("<")
        if start < 0 or not any(tag.startswith(text[start:]) for tag in self._tags):
            return 0
        return len(text) - start


def split_answer(text: str, answer_format: AnswerFormat = PAPER_FORMAT) -> dict[Channel, str]:
    """Return the channels of a whole answer.

    Args:
        text: what the model wrote.
        answer_format: names the tags.
    """
    channels = AnswerChannels(answer_format)
    channels.push(text)
    channels.finish()
    return channels.texts
