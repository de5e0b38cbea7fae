"""The paper's instructions, and answers in the paper's format.

Source: arXiv 2503.05379, sections 3.1 and 3.2.
"""

from typing import Literal

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Answer

LABEL_INSTRUCTION = (
    "As an emotional recognition expert; throughout the video, which emotion conveyed by the characters is the most "
    "obvious to you?"
)
"""Asks for the emotion alone: the base model and the label-only SFT."""

REASONING_INSTRUCTION = PAPER_FORMAT.request(LABEL_INSTRUCTION)
"""Asks for reasoning and an answer: the cold start, RLVR and everything built on them."""

AnswerKind = Literal["reasoning", "label"]
"""What a model is asked for: reasoning and an answer in tags, or a label alone."""


def instruction_for(answers: AnswerKind, answer_format: AnswerFormat = PAPER_FORMAT) -> str:
    """Return the instruction that asks for reasoning or for a label.

    Args:
        answers: what is asked for.
        answer_format: the parts of a reasoned answer.
    """
    return LABEL_INSTRUCTION if answers == "label" else answer_format.request(LABEL_INSTRUCTION)


MAX_FIELD_CHARACTERS = 500
"""Of a clip's words in a prompt; what is longer is cut."""


def with_text_field(instruction: str, label: str, text: str) -> str:
    """Return an instruction followed by the words of the clip, in a field of their own.

    Args:
        instruction: what is asked.
        label: what the words are, such as `Subtitle`.
        text: the words; line breaks become spaces.
    """
    words = " ".join(text.split())
    if len(words) > MAX_FIELD_CHARACTERS:
        words = words[:MAX_FIELD_CHARACTERS].rsplit(" ", 1)[0] + " ..."
    return f'{instruction}\n{label}: "{words}"'


def format_answer(reasoning: str, answer: str) -> str:
    """Format a reasoned answer as the cold start teaches it.

    Args:
        reasoning: the text between the think tags.
        answer: the emotion.

    Source:
        arXiv 2503.05379, section 3.1 (the example of EMER data).
    """
    return PAPER_FORMAT.write(reasoning, answer)


def parse_answer(text: str) -> Answer:
    """Read a model's output.

    See `AnswerFormat.parse`; this is the paper's format.

    Args:
        text: the generated text, without special tokens.
    """
    return PAPER_FORMAT.parse(text)
