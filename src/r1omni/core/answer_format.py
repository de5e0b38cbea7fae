"""The tagged parts of an answer: their names, their order, and which of them is the answer.

The paper's is `<think>reasons</think><answer>emotion</answer>`; others who train this model add parts, such as
`<vis_desc>`, `<aud_desc>` or `<context>`. One object writes, parses and asks for such answers, so that the instruction,
the training texts, the rewards, the evaluation and the validators cannot drift apart.

A format is spelled as the names of its parts in order, `context,think,answer`: in settings, in options, in the
checkpoint that was trained with it and in the records of runs. The emotion is in the part named `answer`; where another
one holds it, that one is marked: `emotion:answer,why`.
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property

from r1omni.core.clip import Answer
from r1omni.core.errors import ConfigError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_MARK = ":answer"
"""Follows the name of the part that holds the emotion, where that is not `answer`."""
_PAIRED_TAG = re.compile(r"<([A-Za-z][A-Za-z0-9_-]*)>.*?</\1>", re.DOTALL)


@dataclass(frozen=True)
class AnswerFormat:
    """Tagged parts in order.

    Raises:
        ConfigError: names that are no tags, that repeat, or a format without the answer or without reasons.
    """

    parts: tuple[str, ...] = ("think", "answer")
    """Names of the tags."""
    answer: str = "answer"
    """The part that holds the emotion; all others hold the reasoning."""

    def __post_init__(self) -> None:
        """Check the names."""
        bad = [name for name in self.parts if not _NAME.fullmatch(name)]
        if bad:
            raise ConfigError(f"answer part {bad[0]!r} cannot be a tag; use letters, digits, _ and -, a letter first")
        if len(set(self.parts)) != len(self.parts) or self.answer not in self.parts or len(self.parts) < 2:
            raise ConfigError(
                f"answer parts {', '.join(self.parts)} with the answer in {self.answer!r}: expected two or more "
                "different names, one of them the answer's"
            )

    @staticmethod
    @cache
    def spelled(text: str) -> "AnswerFormat":
        """Return the format that a setting, an option or a checkpoint spells.

        Args:
            text: names in order, separated by commas; see the module's docstring.

        Raises:
            ConfigError: see the class; or more than one part is marked as the answer.
        """
        names = [name.strip() for name in text.split(",")]
        marked = [name.removesuffix(_MARK) for name in names if name.endswith(_MARK)]
        if len(marked) > 1:
            raise ConfigError(f"answer parts {text!r} mark {' and '.join(marked)} as the answer; mark one")
        return AnswerFormat(tuple(name.removesuffix(_MARK) for name in names), *marked)

    def __str__(self) -> str:
        """Spell the format."""
        return ",".join(f"{name}{_MARK}" if name == self.answer != "answer" else name for name in self.parts)

    @property
    def opening(self) -> str:
        """The tag behind which the emotion begins."""
        return f"<{self.answer}>"

    @property
    def closing(self) -> str:
        """The tag that ends the emotion."""
        return f"</{self.answer}>"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Names of the parts that hold the reasoning, in order."""
        return tuple(name for name in self.parts if name != self.answer)

    def request(self, question: str) -> str:
        """Return an instruction: a question and the words that ask for this format.

        Args:
            question: what is asked about the clip.
        """
        *first, last = [f"<{name}> </{name}>" for name in self.reasons]
        thinking = ", ".join(first) + " and " + last if first else last
        return (
            f"{question}\nOutput the thinking process in {thinking} and final emotion in "
            f"{self.opening} {self.closing} tags."
        )

    def reasons_in(self, text: str) -> str | None:
        """Return what `write` needs of an answer besides the emotion; None where its tags are broken.

        Args:
            text: an answer in this format.
        """
        if not self.parse(text).well_formed:
            return None
        found = [(name, inner.strip()) for name, inner in self._parts(text) if name != self.answer]
        return found[0][1] if len(found) == 1 else "\n".join(f"<{name}>{inner}</{name}>" for name, inner in found)

    def fault(self, reasoning: str, answer: str) -> str | None:
        """Return why a reasoned answer cannot be taught, as a clause about it; None where it can.

        Args:
            reasoning: see `write`.
            answer: the emotion.
        """
        if not reasoning.strip():
            return "the reasoning is blank"
        inner = reasoning
        if len(self.reasons) > 1:
            try:
                self.write(reasoning, answer)
            except ConfigError as error:
                return str(error)
            inner = "\n".join(content for _, content in self._parts(reasoning))
        if own := self.tags_in(inner):
            return f"the reasoning holds the tag {own[0]}; remove the tags, training adds them"
        if foreign := parts_in(inner):
            return f"the reasoning holds the part <{foreign[0]}>, which answers in the format {self} do not have"
        read = self.parse(self.write(reasoning, answer))
        if read.answer != answer.strip().lower():
            return f"the parser reads the answer {read.answer!r}; expected {answer!r}"
        return None if read.well_formed else "a part of the reasoning is empty"

    def write(self, reasoning: str, answer: str) -> str:
        """Write a reasoned answer as the cold start teaches it.

        Args:
            reasoning: the text of the one part that holds reasons; where there are several, all of them with their
                tags, in order.
            answer: the emotion.

        Raises:
            ConfigError: several parts hold reasons, and the text does not have exactly these.
        """
        tagged = {self.answer: answer}
        if len(self.reasons) == 1:
            tagged[self.reasons[0]] = reasoning
        else:
            found = self._parts(reasoning)
            names = ", ".join(name for name, _ in found)
            if tuple(name for name, _ in found) != self.reasons or self._part.sub("", reasoning).strip():
                raise ConfigError(
                    f"the reasoning has {f'the parts {names}' if names else 'no tagged parts'}; expected exactly "
                    f"{', '.join(self.reasons)}, each in its tags: {reasoning[:60]!r}"
                )
            tagged |= dict(found)
        return "\n".join(f"<{name}>{tagged[name]}</{name}>" for name in self.parts)

    def parse(self, text: str) -> Answer:
        """Read a model's output.

        An output without any tag is the answer as a whole, so that label-only models are graded by the same code. With
        tags, exactly one non-empty answer part is required; repeated or nested parts leave no answer. The reasoning is
        what the other parts hold, each in its own paragraph.

        Args:
            text: the generated text, without special tokens.
        """
        tags = self._tag.findall(text)
        if not tags:
            return Answer(text=text, reasoning=None, answer=text.strip().lower() or None, well_formed=False)
        found = self._parts(text)
        named = [name for name, _ in found]
        content = {name: inner.strip() for name, inner in found if named.count(name) == 1}
        is_single = tags.count(self.opening) == 1
        answer = content.get(self.answer, "").lower() if is_single else ""
        reasoning = "\n".join(content[name] for name in self.reasons if content.get(name))
        well_formed = (
            tags == [tag for name in self.parts for tag in (f"<{name}>", f"</{name}>")]
            and self._whole.fullmatch(text) is not None
            and all(content.get(name) for name in self.parts)
        )
        return Answer(text=text, reasoning=reasoning or None, answer=answer or None, well_formed=well_formed)

    def tags_in(self, text: str) -> list[str]:
        """Return the format's own tags in a text, in any case and spacing, in order.

        Args:
            text: what must not hold any.
        """
        return [match[0] for match in self._loose_tag.finditer(text)]

    def without_tags(self, text: str) -> str:
        """Return a text without the format's own tags.

        Args:
            text: a reasoning, or an answer.
        """
        return " ".join(self._loose_tag.sub(" ", text).split())

    def _parts(self, text: str) -> list[tuple[str, str]]:
        """Name and content of every part that holds no tag inside, in order."""
        return [(match[1], match[2]) for match in self._part.finditer(text)]

    @cached_property
    def _names(self) -> str:
        return "|".join(map(re.escape, self.parts))

    @cached_property
    def _tag(self) -> re.Pattern[str]:
        return re.compile(rf"</?(?:{self._names})>")

    @cached_property
    def _loose_tag(self) -> re.Pattern[str]:
        return re.compile(rf"</?\s*(?:{self._names})\s*>", re.IGNORECASE)

    @cached_property
    def _part(self) -> re.Pattern[str]:
        return re.compile(rf"<({self._names})>((?:(?!</?(?:{self._names})>).)*)</\1>", re.DOTALL)

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        return re.compile(r"\s*" + r"\s*".join(rf"<{name}>.*?</{name}>" for name in self.parts) + r"\s*", re.DOTALL)


def parts_in(text: str) -> tuple[str, ...]:
    """Return the names of the tagged parts of a text in order, whatever they are called; those inside others are not.

    Args:
        text: an answer in an unknown format, for example.
    """
    return tuple(match[1] for match in _PAIRED_TAG.finditer(text))


PAPER_FORMAT = AnswerFormat()
"""The paper's two parts."""
