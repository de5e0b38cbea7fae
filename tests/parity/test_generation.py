"""Greedy generation, one-sided inputs and the whole way from a file."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from live_groups import write_groups
from parity.golden import AUDIO_ID, VISUAL_IDS, Golden, Subject, Tensors, assert_logits, expand, tokenize
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.engine import build_engine
from r1omni.infer.prompt import Sampling
from r1omni.media.decode import load_media
from r1omni.model.processing import HumanOmniProcessor


def _first(stored: Tensors, tag: str, name: str, inputs: Tensors) -> Tensor:
    """A tag's own input, else the main one."""
    return stored[f"{tag}.{name}"] if f"{tag}.{name}" in stored else inputs[name]


def _prompt(subject: Subject, stored: Tensors, tag: str) -> tuple[Tensor, Tensor]:
    said = subject.golden.json("generate.json")[tag]
    if f"{tag}.input_ids" not in stored and "prompt" in said:
        ids = [tokenize(subject.processor, said["prompt"])]
    else:
        ids = _first(stored, tag, "input_ids", subject.inputs).tolist()
    router_ids = _first(stored, tag, "bert_input_ids", subject.inputs)
    router_mask = _first(stored, tag, "bert_attention_mask", subject.inputs)
    if f"{tag}.bert_token_type_ids" in stored:
        assert not stored[f"{tag}.bert_token_type_ids"].any()
    return subject.embed(ids, router_ids, router_mask, [_video(subject, tag)])


def _video(subject: Subject, tag: str) -> Tensor:
    """The features a tag shows: all frames, or the one it names."""
    frame = re.search(r"frame(\d+)", tag)
    return subject.video[int(frame[1])][None] if frame else subject.video


def _step_logits(subject: Subject, embeds: Tensor, output_ids: Tensor) -> Tensor:
    """The logits each generated token was chosen from, by one forward pass."""
    words = subject.model.get_input_embeddings()(output_ids[None, :-1])
    logits = subject.model(inputs_embeds=torch.cat([embeds, words], dim=1), logits_to_keep=len(output_ids)).logits
    return logits[0]


@torch.no_grad()
def test_greedy_answers_equal_the_reference(golden: Golden, subject: Subject) -> None:
    said: dict[str, dict[str, Any]] = golden.json("generate.json")
    stored = golden.tensors("generate.safetensors")
    compared = 0
    for tag, entry in said.items():
        if "output_ids" not in entry:
            continue
        embeds, mask = _prompt(subject, stored, tag)
        penalty = re.search(r"reppen([\d.]+)", tag)
        out = subject.model.generate(
            inputs_embeds=embeds,
            attention_mask=mask,
            max_new_tokens=len(entry["output_ids"]),
            do_sample=False,
            repetition_penalty=float(penalty[1]) if penalty else 1.0,
        )[0]
        assert out.tolist() == entry["output_ids"] == stored[f"{tag}.output_ids"].tolist(), tag
        assert_logits(_step_logits(subject, embeds, out), stored[f"{tag}.step_logits"], tag)
        ((first, second),) = write_groups(
            subject.model.language_model,
            subject.model.lm_head,
            embeds,
            mask,
            temperature=0.0,
            stop_ids=[subject.processor.tokenizer.eos_token_id],
            uniforms=torch.zeros(1, 2, len(entry["output_ids"])),
            repetition_penalty=float(penalty[1]) if penalty else 1.0,
        )
        assert first.token_ids == second.token_ids == entry["output_ids"], tag
        if "text" in entry:
            assert subject.processor.tokenizer.decode(out, skip_special_tokens=True).strip() == entry["text"].strip()
        compared += 1
    assert compared >= 4


@torch.no_grad()
def test_sound_alone_equals_the_reference_with_its_unread_blank_video(golden: Golden, subject: Subject) -> None:
    stored = golden.tensors("generate.safetensors")
    embeds, mask = _prompt(subject, stored, "audio_blank_video")
    entry = golden.json("generate.json")["audio_blank_video"]
    assert embeds.shape[1] == entry["lm_length"]
    logits = subject.model(inputs_embeds=embeds, attention_mask=mask, logits_to_keep=1).logits[0, -1]
    assert_logits(logits, stored["audio_blank_video.last_logits"])


@torch.no_grad()
def test_image_tokens_and_second_gate_equal_the_reference(golden: Golden, subject: Subject) -> None:
    stored = golden.tensors("generate.safetensors")
    for name in [key for key in stored if key.endswith(".fused_tokens")]:
        tag = name.removesuffix(".fused_tokens")
        gate = subject.model.branch_weights(
            _first(stored, tag, "bert_input_ids", subject.inputs),
            _first(stored, tag, "bert_attention_mask", subject.inputs),
        )
        ours = subject.model.projector(_video(subject, tag)[None], gate)[0]
        assert (ours - stored[name]).abs().max() <= 1e-4, name
    for name in [key for key in stored if key.endswith(".gate_probs")]:
        tag = name.removesuffix(".gate_probs")
        gate = subject.model.branch_weights(stored[f"{tag}.bert_input_ids"], stored[f"{tag}.bert_attention_mask"])
        assert (gate - stored[name]).abs().max() <= 1e-5


def test_prompts_are_written_as_the_reference_writes_them(golden: Golden, processor: HumanOmniProcessor) -> None:
    stored = golden.tensors("generate.safetensors")
    for tag, entry in golden.json("generate.json").items():
        if "prompt" not in entry:
            continue
        user = re.search(r"<\|im_start\|>user\n(.*)<\|im_end\|>\n<\|im_start\|>assistant", entry["prompt"], re.DOTALL)
        assert user is not None
        instruction = re.sub(r"^(<\w\w_start><(video|audio|image)><\w\w_end>\n)*", "", user[1])
        expected = tokenize(processor, entry["prompt"])
        if f"{tag}.input_ids" in stored:
            assert stored[f"{tag}.input_ids"][0].tolist() == expected
        num_frames = 1 if -200 in expected else processor.num_frames if -201 in expected else 0
        ours = processor.prompt_ids(instruction, num_frames, AUDIO_ID in expected)
        assert ours == expand(processor, expected, num_frames), tag
        if f"{tag}.bert_input_ids" in stored:
            router = processor.router_tokenizer(instruction)["input_ids"]
            assert router == stored[f"{tag}.bert_input_ids"][0].tolist(), tag


@torch.no_grad()
def test_mixed_batch_equals_one_at_a_time(golden: Golden, subject: Subject) -> None:
    clip = load_media(golden.path("media/sample.mp4"), num_frames=subject.config.num_frames)
    video, sound = [load_media(golden.path("media/sample.mp4"), modality=m) for m in ("video", "audio")]
    media, asked = [clip, video, sound], ["What is felt?", "Which emotion do you hear in the voice, and why?", "And?"]
    together = subject.model(**subject.processor(media, asked), logits_to_keep=1).logits[:, -1]
    for row, (one, question) in enumerate(zip(media, asked, strict=True)):
        alone = subject.model(**subject.processor([one], [question]), logits_to_keep=1).logits[0, -1]
        assert (together[row] - alone).abs().max() <= 1e-4, f"row {row}"


@torch.no_grad()
@pytest.mark.filterwarnings("default::UserWarning")
def test_whole_way_from_a_file_equals_the_official_script(golden: Golden, subject: Subject) -> None:
    stored, said = golden.tensors("e2e_clip.safetensors"), golden.json("e2e_clip.json")
    media = load_media(golden.path("media/sample.mp4"), num_frames=subject.config.num_frames)
    question = golden.json("meta.json")["prompt"]["instruct"]
    processor = subject.processor.like_official()
    batch = processor([media], [question])
    assert media.frames is not None
    assert batch["input_ids"][0].tolist() == expand(processor, stored["input_ids"][0].tolist(), len(media.frames))
    out = subject.model.generate(**batch, max_new_tokens=len(said["output_ids"]), do_sample=False)[0]
    assert out.tolist() == said["output_ids"] == stored["output_ids"].tolist()
    embeds = subject.model.embed_media(**batch)
    assert_logits(_step_logits(subject, embeds, out), stored["step_logits"], "from a file")


def test_the_engine_answers_as_the_official_script(golden: Golden, subject: Subject) -> None:
    """One prompt, prefilled once and shared by two answers, through the path that everything else uses."""
    said = golden.json("e2e_clip.json")
    path = golden.path("media/sample.mp4")
    engine = build_engine(subject.model, subject.processor.like_official(), keeps=False)
    answers = engine.answer(
        [Clip("first", path), Clip("second", path)],
        golden.json("meta.json")["prompt"]["instruct"],
        Sampling(max_tokens=len(said["output_ids"]), num_samples=2),
    )
    for group in answers:
        assert not isinstance(group, MediaError)
        assert [answer.token_ids for answer in group] == [said["output_ids"]] * 2


def test_no_visual_placeholder_is_left_out_of_the_legend() -> None:
    assert set(VISUAL_IDS) == {-200, -201}
