"""Text of an answer while it is written."""

import pytest

from r1omni.infer.text_stream import TextStream, decode
from small_model import small_model


@pytest.fixture(scope="module")
def tokenizer():
    return small_model()[1].tokenizer


def pieces(tokenizer, text: str, stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    stream = TextStream(tokenizer, stop)
    found = [stream.push(token_id) for token_id in tokenizer(text)["input_ids"]]
    return [*found, stream.finish()], stream


def test_a_character_comes_out_when_its_last_byte_has_come(tokenizer):
    # The emoji is of four bytes, and no merge of the small vocabulary joins any of them.
    found, stream = pieces(tokenizer, "😀!")
    assert found == ["", "", "", "😀", "!", ""]
    assert stream.text == "😀!"


def test_bytes_that_are_no_character_come_out_at_the_end(tokenizer):
    begun = tokenizer("😀")["input_ids"][:2]
    stream = TextStream(tokenizer)
    assert [stream.push(token_id) for token_id in begun] == ["", ""]
    assert stream.finish() == decode(tokenizer, begun) == "\ufffd"


def test_pieces_put_together_are_the_text_of_all_tokens(tokenizer):
    text = "<think>so happy, ünïcode 日本語 😀😀</think>\n<answer>sad</answer>"
    found, stream = pieces(tokenizer, text)
    assert "".join(found) == stream.text == text


def test_special_tokens_have_no_text(tokenizer):
    found, _ = pieces(tokenizer, "so<|im_end|>")
    assert "".join(found) == "so"


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("so happy and so sad", ("sad",), "so happy and so "),
        ("so happy and so sad", ("and", "happy"), "so "),  # the first in the text, not in the list
        ("abab!", ("abc",), "abab!"),  # what looked like its beginning comes out in the end
        ("aab", ("ab",), "a"),
        ("so happy", ("",), "so happy"),  # an empty one stops nothing
        ("a😀b", ("😀",), "a"),
    ],
)
def test_text_is_cut_before_the_first_stop_string(tokenizer, text, stop, expected):
    found, stream = pieces(tokenizer, text, stop)
    assert "".join(found) == stream.text == expected
    assert stream.stopped == (expected != text)


def test_what_may_begin_a_stop_string_is_held_back(tokenizer):
    stream = TextStream(tokenizer, ("!?",))
    (mark,), (other,) = tokenizer("!")["input_ids"], tokenizer("x")["input_ids"]
    assert stream.push(mark) == ""
    assert stream.push(other) == "!x"
    assert not stream.stopped
