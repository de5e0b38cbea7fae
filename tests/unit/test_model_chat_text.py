"""Conversations to ids: ordinary text as the tokenizer reads the rendered template, control tokens from it alone."""

import re

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from r1omni.core.instruction import REASONING_INSTRUCTION
from r1omni.core.message import Message
from r1omni.model.chat_text import as_messages, encode, question, render
from r1omni.model.tokenizer import build_tokenizers
from small_model import WORDS, small_model

ORDINARY = [
    REASONING_INSTRUCTION,
    "",
    " ",
    "\n\nleading lines",
    "trailing blank \n",
    "naïve café, 多い, e\u0301, 🙂",
    "a < b | c > d, <video> and <audio>, <think> </think>",
    "<|im_start", "|>user", "<| im_end |>",
]  # fmt: skip


@pytest.fixture(scope="module")
def processor():
    """As published tokenizers are: special tokens, and a tool tag that is added without being special."""
    _, processor = small_model()
    tokenizer, _ = build_tokenizers([REASONING_INSTRUCTION, *WORDS] * 20, 400)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|vision_start|>", "<vi_start>"]})
    tokenizer.add_tokens(
        [AddedToken("<tool_call>", special=False, normalized=False), AddedToken("café", special=False)]
    )
    processor.tokenizer = tokenizer
    return processor


def controls(processor) -> list[str]:
    return sorted(processor.tokenizer.get_added_vocab())


def as_the_tokenizer_reads(processor, messages, prefix=""):
    said = [{"role": message.role, "content": message.content} for message in messages]
    rendered = processor.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    tokenizer = processor.tokenizer
    return tokenizer(rendered)["input_ids"] + (tokenizer(prefix)["input_ids"] if prefix else [])


def control_ids(processor, ids) -> list[int]:
    return [token for token in ids if token in processor.tokenizer.get_added_vocab().values()]


TALKS = [
    [("user", "{}")],
    [("system", "{}"), ("user", "Which?")],
    [("user", "Which?"), ("assistant", "{}"), ("user", "And why?")],
    [("system", "Be brief."), ("user", "Which?"), ("assistant", "so sad"), ("user", "{}")],
    [("user", "{}"), ("assistant", "{}"), ("user", "{}")],
]


def talk_about(talk, text):
    return tuple(Message(role, content.replace("{}", text)) for role, content in talk)


@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("talk", TALKS)
def test_ordinary_conversations_have_the_ids_of_the_rendered_template(processor, talk, text):
    if "café" in text:
        text = text.replace("café", "tea")
    messages = talk_about(talk, text)
    assert processor.prompt_ids(messages, 0, False) == as_the_tokenizer_reads(processor, messages)
    assert processor.prompt_ids(messages, 0, False, prefix=text) == as_the_tokenizer_reads(processor, messages, text)


@pytest.mark.parametrize("talk", TALKS)
def test_no_added_token_of_the_tokenizer_is_a_control_token_in_a_message(processor, talk):
    """The control tokens are those of the same conversation about nothing, and the text comes back whole."""
    assert len(controls(processor)) == 7
    for control in controls(processor):
        for text in (control, f"so{control}sad", f" {control}\n{control} "):
            messages = talk_about(talk, text)
            ids = processor.prompt_ids(messages, 0, False)
            plain = as_the_tokenizer_reads(processor, talk_about(talk, "happy"))
            assert control_ids(processor, ids) == control_ids(processor, plain), text
            said = [{"role": message.role, "content": message.content} for message in messages]
            rendered = processor.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
            assert processor.tokenizer.decode(ids, skip_special_tokens=False) == rendered


def test_no_added_token_is_a_control_token_in_a_prefix(processor):
    before = processor.prompt_ids("Which?", 2, True)
    for control in controls(processor):
        ids = processor.prompt_ids("Which?", 2, True, prefix=f"<think>{control}")
        assert ids[: len(before)] == before and not control_ids(processor, ids[len(before) :])
        assert processor.tokenizer.decode(ids[len(before) :]) == f"<think>{control}"


def test_text_around_a_control_token_is_read_as_if_nothing_were_special(processor):
    """Both ways of reading agree where both apply: the plain tokenizer on text without control tokens."""
    marked, unmarked = "so sad <|im_end|> so happy", "so sad  so happy"
    assert processor.text_ids(unmarked) == processor.tokenizer(unmarked)["input_ids"]
    ids = processor.text_ids(marked)
    start = processor.tokenizer("so sad")["input_ids"]
    assert ids[: len(start)] == start and processor.tokenizer.decode(ids) == marked
    # Only the first message holds a control token; the ids of the second one do not change.
    talk = [Message("user", "<|im_end|>"), Message("assistant", "so\n\nangry "), Message("user", "\nWhich?")]
    after = processor.prompt_ids(talk, 0, False)
    plain = as_the_tokenizer_reads(processor, [Message("user", ""), *talk[1:]])
    end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    tail = plain[[place for place, token in enumerate(plain) if token == end][1] :]  # the end of the first user message
    assert after[-len(tail) :] == tail


def test_wrappers_placeholders_and_marks_in_a_message_stay_text(processor):
    text = "<vi_start><video><vi_end> \ue0000\ue001 \ue000media\ue001 <au_start>"
    ids = processor.prompt_ids([Message("system", text), Message("user", text)], 2, True)
    assert ids.count(-201) == 2 * processor.video_tokens_per_frame and ids.count(-202) == processor.audio_tokens
    wrapper = processor.tokenizer.convert_tokens_to_ids("<vi_start>")
    assert ids.count(wrapper) == 1 and ids[ids.index(wrapper) + 1] == -201
    words = processor.tokenizer.decode([token for token in ids if token >= 0])
    assert words.count(text) == 2


def test_the_media_stand_at_the_head_of_the_first_user_message(processor):
    talk = [
        Message("system", "Be brief."),
        Message("user", "Which?"),
        Message("assistant", "sad"),
        Message("user", "Why?"),
    ]
    ids = processor.prompt_ids(talk, 1, True)
    words = "".join("#" if token < 0 else processor.tokenizer.decode([token]) for token in ids)
    assert re.sub("#+", "#", words) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<im_start>#<im_end>\n<au_start>#<au_end>\nWhich?"
        "<|im_end|>\n<|im_start|>assistant\nsad<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ids.count(-200) == processor.video_tokens_per_frame and -201 not in ids


def test_without_a_system_message_the_templates_own_stands(processor):
    assert "You are a helpful assistant." in processor.tokenizer.decode(processor.prompt_ids("Which?", 0, False))
    own = processor.prompt_ids([Message("system", "Be brief."), Message("user", "Which?")], 0, False)
    assert "helpful" not in processor.tokenizer.decode(own)


def test_the_router_reads_the_last_user_message_as_text(processor):
    talk = [
        Message("user", "which"),
        Message("assistant", "sad"),
        Message("user", "and [SEP] why"),
        Message("system", "x"),
    ]
    assert question(talk) == "and [SEP] why" and question([Message("system", "x")]) == ""
    text = processor.process_text([talk, "and why"], [False, False], [False, False], [0, 0])
    first, second = text["router_input_ids"].tolist()
    ends = processor.router_tokenizer.sep_token_id
    assert first.count(ends) == second.count(ends) == 1
    assert second[: second.index(ends) + 1] == processor.router_tokenizer("and why")["input_ids"]


def test_prompts_that_cannot_be_laid_out_are_refused(processor):
    with pytest.raises(ValueError, match="no message"):
        as_messages(())
    with pytest.raises(ValueError, match="no user message"):
        processor.prompt_ids([Message("system", "Be brief.")], 2, False)
    with pytest.raises(ValueError, match="add_generation_prompt"):
        processor.prompt_ids("Which?", 0, False, add_generation_prompt=False, prefix="<think>")
    with pytest.raises(TypeError, match="tokenizers library"):
        encode(PreTrainedTokenizerBase(), render(processor.tokenizer, as_messages("Which?"), True))


def test_a_template_that_leaves_a_message_out_is_refused(processor):
    _, other = small_model()
    template = other.tokenizer.chat_template
    try:
        other.tokenizer.chat_template = "{{ messages[-1]['content'] }}"
        with pytest.raises(ValueError, match=r"shows messages \[1\] of 2"):
            other.prompt_ids([Message("system", "Be brief."), Message("user", "Which?")], 0, False)
    finally:
        other.tokenizer.chat_template = template
