"""Every intermediate of the reference, from patches to logits."""

import re
from functools import cached_property

import pytest
import torch
from torch import Tensor

from parity.golden import (
    TOLERANCE_FEATURES,
    TOLERANCE_LOGITS,
    TOLERANCE_PROBABILITIES,
    Golden,
    Subject,
    assert_close,
    assert_logits,
)
from r1omni.model.projector import slow_fast

FRAMES = re.compile(r"_frames?(\d+)(?:_(\d+))?$")


class Parts:
    """Our intermediates under the reference's names."""

    def __init__(self, subject: Subject) -> None:
        self.s = subject

    @cached_property
    def grid(self) -> int:
        return self.s.config.grid_patches

    def stage(self, name: str, branch: str) -> Tensor:
        """Output of one stage for every frame, [frames, channels, rows, cols], or of the sampler with time third."""
        projector = self.s.model.projector
        x = self.s.video.reshape(-1, self.grid, self.grid, self.s.video.shape[-1])
        x = projector.get_submodule(f"s1_{branch}")(x)
        if name == "s1":
            return x.permute(0, 3, 1, 2)
        x = projector.get_submodule(f"sampler_{branch}")(x[None])
        if name == "sampler":
            return x.permute(0, 4, 1, 2, 3)
        return projector.get_submodule(f"s2_{branch}")(x[0]).permute(0, 3, 1, 2)

    @cached_property
    def language_model(self) -> tuple[Tensor, ...]:
        return self.s.model.language_model(inputs_embeds=self.embeds[0], output_hidden_states=True).hidden_states

    @cached_property
    def embeds(self) -> tuple[Tensor, Tensor]:
        inputs = self.s.inputs
        assert inputs["attention_mask"].all()
        return self.s.embed(inputs["input_ids"].tolist(), inputs["bert_input_ids"], inputs["bert_attention_mask"])

    def get(self, name: str, golden: Tensor) -> Tensor:
        """Our tensor of a name, cut to what the set stores of it."""
        frames = FRAMES.search(name)
        whole = self.whole(FRAMES.sub("", name))
        if frames and name.startswith(("vision", "projector.s")):
            first, last = int(frames[1]), int(frames[2] or frames[1])
            whole = whole[first : last + 1]
        if whole.shape != golden.shape and name.startswith("lm.hidden"):
            kept = golden.shape[1]
            positions = self.s.golden.tensors("prefill.safetensors")["positions"]
            return whole[:, positions] if kept == len(positions) else whole[:, :kept]
        return whole

    def whole(self, name: str) -> Tensor:
        model, inputs = self.s.model, self.s.inputs
        stage = re.fullmatch(r"projector\.(s1|sampler|s2)_(video|body)(_raw)?", name)
        hidden = re.fullmatch(r"lm\.hidden_(\d+)", name)
        if stage:
            return self.stage(stage[1], stage[2])
        if hidden:
            return self.language_model[int(hidden[1])]
        if name == "vision.embeddings":
            return model.vision_tower.embeddings(inputs["pixel_values"].float())
        if name == "vision.features":
            return self.s.video
        if name in ("projector.video", "projector.body"):
            return model.projector.branch(name.removeprefix("projector."), self.s.video[None])
        if name == "projector.face":
            return model.projector.face(self.s.video)
        if name == "projector.face_pooled":
            return model.projector.pooled_face(self.s.video[None]).reshape(
                len(self.s.video), self.s.config.video_tokens_per_frame, -1
            )
        if name.startswith("bert."):
            words = model.router(inputs["bert_input_ids"], inputs["bert_attention_mask"]).last_hidden_state
            logits = model.gate(words[:, 0])
            assert not inputs["bert_token_type_ids"].any(), "token types are taken to be 0"
            return {"last_hidden_state": words, "gate_logits": logits, "gate_probs": self.s.gate}[name[5:]]
        if name == "fused_video_tokens":
            return model.projector(self.s.video[None], self.s.gate)[0]
        if name == "audio.features":
            return model.audio_tower(inputs["input_features"].float()).last_hidden_state
        if name == "audio.pooled":
            return self.s.audio[None]
        if name == "audio.tokens":
            return model.audio_projector(self.s.audio[None])
        if name == "lm.inputs_embeds":
            return self.embeds[0]
        if name == "lm.attention_mask":
            return self.embeds[1]
        if name == "extra.slow_fast_tokens":
            return slow_fast(model.projector(self.s.video[None], self.s.gate), len(self.s.video))
        raise AssertionError(f"no comparison is written for {name}")


@pytest.fixture(scope="module")
def parts(subject: Subject) -> Parts:
    return Parts(subject)


@torch.no_grad()
def test_every_intermediate_equals_the_reference(golden: Golden, parts: Parts) -> None:
    stored = golden.tensors("parts.safetensors")
    for name in stored:
        expected = stored[name]
        ours = parts.get(name, expected)
        if name.endswith("_raw"):  # the reference computes one more time step and drops it
            assert expected.shape[2] == ours.shape[2] + 1
            expected = expected[:, :, :-1]
        probabilities = name.endswith("gate_probs")
        hidden = name.startswith("lm.hidden")
        tolerance = TOLERANCE_PROBABILITIES if probabilities else TOLERANCE_LOGITS if hidden else TOLERANCE_FEATURES
        assert_close(ours, expected, tolerance, name)


@torch.no_grad()
def test_prefill_logits_equal_the_reference(golden: Golden, parts: Parts, subject: Subject) -> None:
    stored = golden.tensors("prefill.safetensors")
    logits = subject.model(inputs_embeds=parts.embeds[0], attention_mask=parts.embeds[1]).logits[0]
    assert_logits(logits[stored["positions"]], stored["logits"], "logits")
    assert_logits(logits[-1], stored["last_logits"], "last logits")
    assert_close(logits.logsumexp(-1), stored["logsumexp_all"], TOLERANCE_LOGITS, "logsumexp")
    best = logits.topk(2).values
    clear = best[:, 0] - best[:, 1] > 2 * TOLERANCE_LOGITS
    assert torch.equal(logits.argmax(-1)[clear], stored["argmax_all"][clear])


@torch.no_grad()
def test_only_the_last_logits_need_the_head(parts: Parts, subject: Subject) -> None:
    whole = subject.model(inputs_embeds=parts.embeds[0]).logits[:, -1:]
    assert_close(subject.model(inputs_embeds=parts.embeds[0], logits_to_keep=1).logits, whole, 1e-5)


def test_the_set_was_made_at_the_sizes_we_read(golden: Golden, subject: Subject) -> None:
    meta, config = golden.json("meta.json"), subject.config
    made = meta["config"]
    assert config.projector_type == made["projector"]
    assert (config.vision_config.image_size, config.vision_config.patch_size) == (made["image"], made["patch"])
    assert config.tie_word_embeddings == made["tie"]
    assert config.audio_config.num_mel_bins == made["whisper"]["mel"]
    assert config.text_config.hidden_size == made["lm"]["hidden"]
    assert config.text_config.num_key_value_heads == made["lm"]["kv"]
    assert config.text_config.rope_parameters["rope_theta"] == made["lm"]["theta"]
    assert config.text_config.rms_norm_eps == made["lm"]["eps"]
    assert_close(subject.gate[0], torch.tensor(meta["gate_probs"]), TOLERANCE_PROBABILITIES)
    assert subject.inputs["input_ids"][0].tolist() == meta["prompt"]["input_ids"]
    assert len(subject.processor.tokenizer) == meta["tokenizer"]["len"]
    for token, token_id in meta["tokenizer"]["ids"].items():
        assert subject.processor.tokenizer.convert_tokens_to_ids(token) == token_id
