"""Answers in tagged parts: the paper's two, and those of others."""

import pytest

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.errors import ConfigError
from r1omni.core.instruction import REASONING_INSTRUCTION

FOUR = AnswerFormat(("vis_desc", "aud_desc", "think", "answer"))
CONTEXT = AnswerFormat(("context", "think", "answer"))
REASONS = "<vis_desc>He frowns.</vis_desc><aud_desc>He shouts.</aud_desc><think>So he is angry.</think>"


def test_the_papers_instruction_is_word_for_word_the_published_one():
    assert REASONING_INSTRUCTION == (
        "As an emotional recognition expert; throughout the video, which emotion conveyed by the characters is the "
        "most obvious to you?\nOutput the thinking process in <think> </think> and final emotion in <answer> </answer> "
        "tags."
    )


def test_the_papers_answer_is_written_and_read():
    text = PAPER_FORMAT.write("He shouts.", "angry")
    assert text == "<think>He shouts.</think>\n<answer>angry</answer>"
    answer = PAPER_FORMAT.parse(text)
    assert (answer.reasoning, answer.answer, answer.well_formed) == ("He shouts.", "angry", True)


def test_four_parts_are_written_and_read():
    text = FOUR.write(REASONS, "angry")
    assert text.splitlines() == [
        "<vis_desc>He frowns.</vis_desc>",
        "<aud_desc>He shouts.</aud_desc>",
        "<think>So he is angry.</think>",
        "<answer>angry</answer>",
    ]
    answer = FOUR.parse(text)
    assert answer.well_formed and answer.answer == "angry"
    assert answer.reasoning == "He frowns.\nHe shouts.\nSo he is angry."


def test_the_instruction_names_every_part():
    assert FOUR.request("What do you see?").endswith(
        "in <vis_desc> </vis_desc>, <aud_desc> </aud_desc> and <think> </think> and final emotion in <answer> "
        "</answer> tags."
    )


@pytest.mark.parametrize(
    "text",
    [
        "<think>x</think><answer>sad</answer>",
        "<think>x</think><context>y</context><answer>sad</answer>",
        "<context> </context><think>x</think><answer>sad</answer>",
        "<context>y</context><think>x</think><answer>sad</answer> more",
        "<context>y<think>x</think></context><answer>sad</answer>",
    ],
)
def test_a_part_that_lacks_is_empty_or_out_of_order_is_not_well_formed(text):
    answer = CONTEXT.parse(text)
    assert answer.answer == "sad" and not answer.well_formed


def test_the_answer_may_be_another_part():
    swapped = AnswerFormat(("emotion", "why"), answer="emotion")
    text = swapped.write("He cries.", "sad")
    assert text == "<emotion>sad</emotion>\n<why>He cries.</why>"
    assert swapped.parse(text).answer == "sad" and swapped.parse(text).well_formed
    assert swapped.opening == "<emotion>"


def test_tags_of_another_format_are_text():
    assert PAPER_FORMAT.parse("<emotion>sad</emotion>").answer == "<emotion>sad</emotion>"
    assert PAPER_FORMAT.tags_in("a </ Think > b <why>") == ["</ Think >"]


def test_reasons_without_their_parts_cannot_be_written():
    with pytest.raises(ConfigError, match="expected exactly vis_desc, aud_desc, think"):
        FOUR.write("He shouts.", "angry")


@pytest.mark.parametrize(
    ("parts", "answer"),
    [(("think", "think", "answer"), "answer"), (("think",), "think"), (("a b", "answer"), "answer"), (("a", "b"), "c")],
)
def test_formats_that_cannot_be_are_refused(parts, answer):
    with pytest.raises(ConfigError):
        AnswerFormat(parts, answer)
