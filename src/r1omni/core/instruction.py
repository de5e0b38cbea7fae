"""The paper's instruction, its tags, and the one parser of answers.

The same parser serves the rewards, the evaluation and the reports, so that they cannot drift apart.
Source: arXiv 2503.05379, sections 3.1 and 3.2.
"""

import re
from collections.abc import Mapping

from r1omni.core.clip import Answer

REASONING_INSTRUCTION = (
    "As an emotional recognition expert; throughout the video, which emotion conveyed by the characters is the most "
    "obvious to you?\nOutput the thinking process in <think> </think> and final emotion in <answer> </answer> tags."
)
"""Asks for reasons and an answer: the cold start, RLVR and everything built on them."""

LABEL_INSTRUCTION = (
    "As an emotional recognition expert; throughout the video, which emotion conveyed by the characters is the most "
    "obvious to you?"
)
"""Asks for the emotion alone: the base model and the label-only SFT."""

INSTRUCTIONS: Mapping[str, str] = {"reasoning": REASONING_INSTRUCTION, "label": LABEL_INSTRUCTION}
"""What a model is asked for -> the words that ask for it."""

_WELL_FORMED = re.compile(r"\s*<think>(?P<think>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL)
_TAG = re.compile(r"</?(?:think|answer)>")
_ANSWER = re.compile(r"<answer>((?:(?!</?(?:think|answer)>).)*)</answer>", re.DOTALL)
_THINK = re.compile(r"<think>((?:(?!</?(?:think|answer)>).)*)</think>", re.DOTALL)


def format_answer(reasoning: str, answer: str) -> str:
    """Format a reasoned answer as the cold start teaches it.

    Args:
        reasoning: the text between the think tags.
        answer: the emotion.

    Source:
        arXiv 2503.05379, section 3.1 (the example of EMER data).
    """
    return f"<think>{reasoning}</think>\n<answer>{answer}</answer>"


def parse_answer(text: str) -> Answer:
    """Read a model's output.

    An output without any tag is the answer as a whole, so that label-only models are graded by the same code. With
    tags, exactly one non-empty answer part is required; repeated or nested parts leave no answer.

    Args:
        text: the generated text, without special tokens.
    """
    tags = _TAG.findall(text)
    if not tags:
        return Answer(text=text, reasoning=None, answer=text.strip().lower() or None, well_formed=False)
    answers, thinks = _ANSWER.findall(text), _THINK.findall(text)
    answer = answers[0].strip().lower() if len(answers) == 1 and tags.count("<answer>") == 1 else ""
    reasoning = thinks[0].strip() if len(thinks) == 1 else ""
    well_formed = (
        tags == ["<think>", "</think>", "<answer>", "</answer>"]
        and _WELL_FORMED.fullmatch(text) is not None
        and bool(answer)
        and bool(reasoning)
    )
    return Answer(text=text, reasoning=reasoning or None, answer=answer or None, well_formed=well_formed)
