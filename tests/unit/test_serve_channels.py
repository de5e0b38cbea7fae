"""An answer in two channels while it is written."""

import itertools

import pytest

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.serve.answer_channels import AnswerChannels, split_answer

THREE = AnswerFormat(("vis_desc", "think", "answer"))
ANSWERS = [
    ("<think>a b</think>\n<answer>angry</answer>", PAPER_FORMAT, "a b", "angry"),
    ("  <think>\n a <b> c \n</think><answer> Angry </answer>\n", PAPER_FORMAT, "a <b> c", "Angry"),
    ("happy", PAPER_FORMAT, "", "happy"),
    ("<think>cut off in the mid", PAPER_FORMAT, "cut off in the mid", ""),
    ("<think>a</think> well: <answer>sad</answer>", PAPER_FORMAT, "a", "well:\nsad"),
    ("<think>a</think><answer>x</ans", PAPER_FORMAT, "a", "x</ans"),
    ("1 < 2 and <", PAPER_FORMAT, "", "1 < 2 and <"),
    ("", PAPER_FORMAT, "", ""),
    ("<vis_desc>face</vis_desc><think>why</think><answer>fear</answer>", THREE, "face\nwhy", "fear"),
]


@pytest.mark.parametrize(("text", "answer_format", "reasoning", "content"), ANSWERS, ids=range(len(ANSWERS)))
def test_every_way_to_cut_a_text_gives_the_same_channels(text, answer_format, reasoning, content):
    assert split_answer(text, answer_format) == {"reasoning": reasoning, "content": content}
    for width in (1, 2, 3, 7):
        channels = AnswerChannels(answer_format)
        pieces = [piece for start in range(0, len(text), width) for piece in channels.push(text[start : start + width])]
        pieces += channels.finish()
        for name, whole in (("reasoning", reasoning), ("content", content)):
            assert "".join(piece.text for piece in pieces if piece.channel == name) == whole == channels.texts[name]


@pytest.mark.parametrize("answer_format", [PAPER_FORMAT, THREE], ids=["two", "three"])
def test_a_well_formed_answer_gives_what_the_parser_reads(answer_format):
    words = ("a", "b <c", "d\n e")
    for inner in itertools.product(words, repeat=len(answer_format.parts)):
        text = "\n".join(f"<{name}>{word}</{name}>" for name, word in zip(answer_format.parts, inner, strict=True))
        parsed, channels = answer_format.parse(text), split_answer(text, answer_format)
        assert parsed.well_formed
        assert (channels["reasoning"], channels["content"].lower()) == (parsed.reasoning, parsed.answer)
