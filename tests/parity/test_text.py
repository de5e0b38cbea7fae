"""Tokenizers and the chat template."""

from parity.golden import Golden, expand
from r1omni.model.processing import HumanOmniProcessor


def test_tokens_and_template_equal_the_reference(golden: Golden, processor: HumanOmniProcessor) -> None:
    said = golden.json("text.json")
    for case in said["lm"]:
        assert processor.tokenizer(case["text"], add_special_tokens=False)["input_ids"] == case["ids"]
    for case in said["bert"]:
        assert processor.router_tokenizer(case["text"])["input_ids"] == case["ids"]
    chat = said["chat"]
    rendered = processor.tokenizer.apply_chat_template(chat["messages"], tokenize=False, add_generation_prompt=True)
    assert rendered == chat["rendered"]


def test_the_main_prompt_is_the_references(golden: Golden, processor: HumanOmniProcessor) -> None:
    prompt = golden.json("meta.json")["prompt"]
    frames = processor.num_frames
    ours = processor.prompt_ids(prompt["instruct"], frames, has_audio=True)
    assert ours == expand(processor, prompt["input_ids"], frames)
    assert len(ours) == prompt["lm_length"]


def test_a_tag_in_the_question_stays_text(processor: HumanOmniProcessor) -> None:
    ids = processor.prompt_ids("Is <video> a tag? <audio>", processor.num_frames, has_audio=False)
    assert ids.count(-201) == processor.num_frames * processor.video_tokens_per_frame
    assert -202 not in ids
