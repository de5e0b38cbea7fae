"""Prompts, one-sided clips, mixed batches and gradients, on the tiny model."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor

from r1omni.media.decode import Media
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.presets import build_model, preset_config
from r1omni.model.processing import HumanOmniProcessor, pad_to_square
from r1omni.model.tokenizer import END_OF_TURN, build_tokenizers

TEXTS = [
    "As an emotional recognition expert; throughout the video, which emotion is the most obvious to you?",
    "<think>He smiles, and his voice is bright.</think>\n<answer>happy</answer>",
] * 2


@pytest.fixture(scope="module")
def model_and_processor() -> tuple[HumanOmniForConditionalGeneration, HumanOmniProcessor]:
    tokenizer, router_tokenizer = build_tokenizers(TEXTS, 400)
    config = preset_config(
        "tiny",
        text_config={
            "vocab_size": len(tokenizer),
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        router_config={"vocab_size": len(router_tokenizer)},
    )
    model = build_model(config).eval()
    with torch.no_grad():  # freshly drawn embeddings are too alike to tell answers apart
        model.language_model.embed_tokens.weight.mul_(20.0)
    return model, HumanOmniProcessor.from_config(config, tokenizer, router_tokenizer)


def _media(num_frames: int, has_sound: bool, seed: int = 0) -> Media:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 255, (num_frames, 40, 56, 3), dtype=np.uint8) if num_frames else None
    waveform = rng.standard_normal(16_000).astype(np.float32) if has_sound else None
    return Media(frames, None, waveform, 16_000, 1.0)


CLIPS = [(4, True), (4, False), (0, True), (1, False), (0, False)]
"""Video with sound, video, sound, still image, text."""


@pytest.mark.parametrize(("num_frames", "has_sound"), CLIPS)
def test_a_prompt_has_only_the_tokens_of_the_modalities_present(
    model_and_processor, num_frames: int, has_sound: bool
) -> None:
    model, processor = model_and_processor
    batch = processor([_media(num_frames, has_sound)], ["which emotion?"])
    ids = batch["input_ids"][0].tolist()
    assert ids.count(-201 if num_frames > 1 else -200) == num_frames * model.config.video_tokens_per_frame
    assert ids.count(-202) == (model.config.audio_tokens if has_sound else 0)
    assert ("pixel_values" in batch, "input_features" in batch) == (num_frames > 0, has_sound)


@torch.no_grad()
def test_mixed_batch_answers_as_one_at_a_time(model_and_processor) -> None:
    model, processor = model_and_processor
    media = [_media(frames, sound, seed) for seed, (frames, sound) in enumerate(CLIPS)]
    asked = ["which emotion?", "which emotion is the most obvious to you, and why?", "a", "he smiles", "video"]
    batch = processor(media, asked)
    together = model.generate(**batch, max_new_tokens=6, do_sample=False, repetition_penalty=1.2, eos_token_id=-1)
    logits = model(**batch, logits_to_keep=1).logits[:, -1]
    for row, (clip, question) in enumerate(zip(media, asked, strict=True)):
        one = processor([clip], [question])
        alone = model.generate(**one, max_new_tokens=6, do_sample=False, repetition_penalty=1.2, eos_token_id=-1)
        assert together[row].tolist() == alone[0].tolist()
        torch.testing.assert_close(logits[row], model(**one).logits[0, -1], atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [6, 1])
def test_pooled_video_tokens_replace_the_placeholders_of_the_prompt(model_and_processor, num_frames: int) -> None:
    model, _ = model_and_processor
    tokenizers = model_and_processor[1].tokenizer, model_and_processor[1].router_tokenizer
    config = type(model.config).from_dict(model.config.to_dict() | {"video_pooling": "slow_fast"})
    pooling, processor = build_model(config).eval(), HumanOmniProcessor.from_config(config, *tokenizers)
    batch = processor([_media(num_frames, True)], ["which emotion?"])
    embeds = pooling.embed_media(**batch)[0]
    gate = pooling.branch_weights(batch["router_input_ids"], batch["router_attention_mask"])
    fused = pooling.projector(pooling.encode_video(batch["pixel_values"]), gate)
    visual = (batch["input_ids"][0] == -201) | (batch["input_ids"][0] == -200)
    # A 4x4 patch grid is 2x2 tokens a frame: one mean each, and 4 tokens of every frame in full.
    frames = fused[0].unflatten(0, (num_frames, 4))
    expected = torch.cat([frames.mean(1), *(frames[place] for place in ([1, 5] if num_frames == 6 else [0]))])
    torch.testing.assert_close(embeds[visual], expected, atol=1e-5, rtol=0)
    assert not torch.isnan(pooling(**batch).logits).any()


@torch.no_grad()
def test_features_given_apart_equal_the_towers_run_inside(model_and_processor) -> None:
    model, processor = model_and_processor
    media, asked = [_media(4, True), _media(4, False, 1)], ["which emotion?", "and here?"]
    batch = processor(media, asked)
    parts = [processor.process_media(clip) for clip in media]
    text = processor.process_text(asked, [True, True], [True, False], [4, 4])
    videos = [model.encode_video(part["pixel_values"][None])[0] for part in parts]
    audios = [model.encode_audio(parts[0]["input_features"][None])[0], None]
    embeds = model.embed_prompt(**text, video_features=videos, audio_features=audios)
    torch.testing.assert_close(embeds, model.embed_media(**batch), atol=1e-5, rtol=0)


def test_placeholders_and_features_that_do_not_fit_are_refused(model_and_processor) -> None:
    model, processor = model_and_processor
    text = processor.process_text(["which emotion?"], [True], [False], [4])
    video = torch.zeros(3, model.config.grid_patches**2, model.config.vision_config.hidden_size)
    per_frame = model.config.video_tokens_per_frame
    found, expected = rf"\[{4 * per_frame}\]", rf"\[{3 * per_frame}\]"
    with pytest.raises(ValueError, match=f"{found} video placeholders, but their features make {expected}"):
        model.embed_prompt(**text, video_features=[video])
    with pytest.raises(ValueError, match="0 clips with video were given, but 1 prompts"):
        model(**text)


def test_loss_is_the_mean_over_counted_tokens_and_reaches_what_trains(model_and_processor) -> None:
    model, processor = model_and_processor
    batch = processor([_media(4, True)], ["which emotion?"])
    labels = torch.full_like(batch["input_ids"], -100)
    labels[0, -3:] = torch.tensor([5, 6, 7])
    output = model(**batch, labels=labels)
    assert output.logits is None
    logprobs = model(**batch).logits[0, -4:-1].log_softmax(-1)
    expected = -(logprobs[0, 5] + logprobs[1, 6] + logprobs[2, 7]) / 3
    torch.testing.assert_close(output.loss, expected, rtol=1e-6, atol=0)
    output.loss.backward()
    for part in ("projector", "audio_projector", "gate", "router", "language_model"):
        assert any(p.grad is not None and p.grad.any() for p in model.get_submodule(part).parameters()), part
    assert all(p.grad is None for p in model.vision_tower.parameters())
    model.zero_grad()


def test_towers_pass_gradient_only_when_asked(model_and_processor) -> None:
    model, processor = model_and_processor
    pixels = processor.process_media(_media(2, False))["pixel_values"][None]
    assert not model.encode_video(pixels).requires_grad
    model.vision_tower.requires_grad_(True)
    assert model.encode_video(pixels).requires_grad
    model.vision_tower.requires_grad_(False)


@torch.no_grad()
def test_half_precision_answers_close_to_full(model_and_processor) -> None:
    model, processor = model_and_processor
    batch = processor([_media(4, True), _media(0, True)], ["which emotion?", "and why?"])
    whole = model(**batch, logits_to_keep=1).logits
    half = copy.deepcopy(model).bfloat16()(**batch, logits_to_keep=1).logits
    assert half.dtype == torch.bfloat16
    assert (half.float() - whole).abs().max() < 0.05 * whole.abs().max()


def test_training_mode_leaves_towers_and_router_steady(model_and_processor) -> None:
    model, _ = model_and_processor
    model.train()
    assert model.projector.training
    assert not (model.vision_tower.training or model.audio_tower.training or model.router.training)
    model.eval()


def test_auto_classes_load_what_was_saved(model_and_processor, tmp_path: Path) -> None:
    model, processor = model_and_processor
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).model_type == "humanomni"
    again, reader = AutoModelForCausalLM.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    batch = processor([_media(4, True)], ["which emotion?"])
    for name, value in reader([_media(4, True)], ["which emotion?"]).items():
        assert torch.equal(value, batch[name])
    with torch.no_grad():
        # Memory-mapped weights lie at other addresses, where float32 kernels may round otherwise: parity's 1e-4.
        torch.testing.assert_close(again(**batch).logits, model(**batch).logits, atol=1e-4, rtol=0)
    assert not any(p.requires_grad for p in again.vision_tower.parameters())


def test_padding_to_a_square_centres_on_grey() -> None:
    square = pad_to_square(np.zeros((2, 5, 3), dtype=np.uint8))
    assert square.shape == (5, 5, 3)
    assert square[:, 0, 0].tolist() == [127, 0, 0, 127, 127]  # (5 - 2) // 2 = 1 row above


def test_tokenizers_are_the_same_for_the_same_texts_and_know_the_turns() -> None:
    first, router = build_tokenizers(TEXTS, 400)
    second, _ = build_tokenizers(TEXTS, 400)
    assert first.get_vocab() == second.get_vocab()
    assert len(first) <= 400
    assert first.eos_token == END_OF_TURN
    text = "Ünbekannt <answer>happy</answer>\n"
    assert first.decode(first(text)["input_ids"]) == text
    assert first(END_OF_TURN)["input_ids"] == [first.eos_token_id]
    assert router("Video")["input_ids"] == router("video")["input_ids"]
    chat = first.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)
    assert chat == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
