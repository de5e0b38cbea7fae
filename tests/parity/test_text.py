"""Tokenizers and the chat template."""

from parity.golden import Golden, Subject


def test_tokens_and_template_equal_the_reference(golden: Golden, subject: Subject) -> None:
    said = golden.json("text.json")
    for case in said["lm"]:
        assert subject.processor.tokenizer(case["text"], add_special_tokens=False)["input_ids"] == case["ids"]
    for case in said["bert"]:
        assert subject.processor.router_tokenizer(case["text"])["input_ids"] == case["ids"]
    chat = said["chat"]
    rendered = subject.processor.tokenizer.apply_chat_template(
        chat["messages"], tokenize=False, add_generation_prompt=True
    )
    assert rendered == chat["rendered"]


def test_the_main_prompt_is_the_references(golden: Golden, subject: Subject) -> None:
    prompt = golden.json("meta.json")["prompt"]
    frames = len(subject.video)
    ours = subject.processor.prompt_ids(prompt["instruct"], frames, has_audio=True)
    assert ours == subject.expand(prompt["input_ids"], frames)
    assert len(ours) == prompt["lm_length"]
    assert subject.inputs["input_ids"][0].tolist() == prompt["input_ids"]


def test_a_tag_in_the_question_stays_text(subject: Subject) -> None:
    ids = subject.processor.prompt_ids("Is <video> a tag? <audio>", len(subject.video), has_audio=False)
    assert ids.count(-201) == len(subject.video) * subject.config.video_tokens_per_frame
    assert -202 not in ids
