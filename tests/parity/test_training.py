"""Log-probabilities, the SFT loss and the GRPO loss with its gradients."""

import torch
from torch import Tensor

from parity.golden import TOLERANCE_LOGITS, TOLERANCE_RELATIVE, Golden, Subject, Tensors, assert_close, expand
from r1omni.core.instruction import parse_answer
from r1omni.media.decode import load_media
from r1omni.model.official import rename
from r1omni.model.processing import HumanOmniProcessor
from r1omni.scoring.rewards import REWARDS
from r1omni.train.loss import group_advantages, policy_loss

LABELS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")


def _completion_logprobs(subject: Subject, embeds: Tensor, completions: Tensor) -> Tensor:
    """Log-probabilities of completions after one prompt each, [answers, tokens]."""
    words = subject.model.get_input_embeddings()(completions)
    length = completions.shape[1]
    logits = subject.model(inputs_embeds=torch.cat([embeds, words], dim=1), logits_to_keep=length + 1).logits
    return logits[:, :-1].log_softmax(-1).gather(-1, completions[..., None])[..., 0]


@torch.no_grad()
def test_completion_logprobs_equal_the_trainers(golden: Golden, subject: Subject) -> None:
    stored, said = golden.tensors("logps.safetensors"), golden.json("logps.json")
    completions, mask = stored["completion_ids"], stored["completion_mask"].bool()
    for text, ids in zip(said["completions"], completions.tolist(), strict=True):
        assert (
            subject.processor.tokenizer(text)["input_ids"] == ids[: ids.index(subject.processor.tokenizer.eos_token_id)]
        )
    for prompt in ("infer_prompt", "grpo_prompt"):
        ids = stored[f"{prompt}.prompt_ids"].tolist()
        assert not stored[f"{prompt}.bert_token_type_ids"].any()
        assert stored[f"{prompt}.attention_mask"].shape == (len(completions), len(ids[0]) + completions.shape[1])
        embeds, _ = subject.embed(ids, stored[f"{prompt}.bert_input_ids"], stored[f"{prompt}.bert_attention_mask"])
        ours = _completion_logprobs(subject, embeds.expand(len(completions), -1, -1), completions)
        assert_close(ours[mask], stored[f"{prompt}.logps"][mask], TOLERANCE_LOGITS, prompt)
        assert_close(stored[f"{prompt}.logps"][0], torch.tensor(said[prompt]["logps_row0"]), 1e-5)


def _sft_rows(stored: Tensors, prefix: str) -> list[list[int]]:
    ids, mask = stored[f"{prefix}input_ids"], stored[f"{prefix}attention_mask"].bool()
    return [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)]


@torch.no_grad()
def test_sft_loss_equals_the_reference(golden: Golden, subject: Subject) -> None:
    stored, said = golden.tensors("sft.safetensors"), golden.json("sft.json")
    inputs = subject.inputs
    reversed_video = subject.model.encode_video(inputs["pixel_values"].float().flip(0)[None])[0]
    reversed_audio = subject.model.encode_audio(inputs["input_features"].float().flip(1))[0]
    videos, audios = [subject.video, reversed_video], [subject.audio, reversed_audio]
    for prefix in ("", "unequal."):
        if f"{prefix}input_ids" not in stored:
            continue
        router_ids, router_mask = stored[f"{prefix}bert_input_ids"], stored[f"{prefix}bert_attention_mask"]
        assert not stored[f"{prefix}bert_token_type_ids"].any()
        embeds, mask = subject.embed(_sft_rows(stored, prefix), router_ids, router_mask, videos, audios)
        labels = stored[f"{prefix}lm_labels"]
        length = labels.shape[1]
        embeds, mask = embeds[:, :length], mask[:, :length]
        _pad = length - embeds.shape[1]
        embeds = torch.nn.functional.pad(embeds, (0, 0, 0, _pad))
        mask = torch.nn.functional.pad(mask, (0, _pad))
        if f"{prefix}lm_attention_mask" in stored:
            kept = stored[f"{prefix}lm_attention_mask"]
            assert not (labels != -100)[kept == 0].any()
            assert torch.equal(mask.sum(1), _expanded_lengths(subject, stored, prefix))
        loss = subject.model(inputs_embeds=embeds, attention_mask=mask, labels=labels).loss
        golden_loss = stored[f"{prefix}loss"][0]
        assert_close(loss, golden_loss, TOLERANCE_RELATIVE * golden_loss.item(), f"{prefix}loss")
        if not prefix:
            assert abs(loss.item() - said["loss"]) <= TOLERANCE_RELATIVE * said["loss"]
        logits = subject.model(inputs_embeds=embeds, attention_mask=mask).logits[:, :-1]
        gold, counted = labels[:, 1:], labels[:, 1:] != -100
        logprobs = logits.log_softmax(-1).gather(-1, gold.clamp(min=0)[..., None])[..., 0]
        assert_close(logprobs[counted], stored[f"{prefix}target_logps"][counted], TOLERANCE_LOGITS, f"{prefix}targets")
        unexpanded = stored[f"{prefix}labels"]
        assert torch.equal(unexpanded[unexpanded != -100], labels[labels != -100])
    gate = subject.model.branch_weights(stored["bert_input_ids"], stored["bert_attention_mask"])
    assert_close(gate, stored["gate_probs"], 1e-5, "gate")
    if "unequal.row1_tail_abs_max" in stored:
        assert stored["unequal.row1_tail_abs_max"].item() == 0, "the reference fills shorter rows with zeros"


def _expanded_lengths(subject: Subject, stored: Tensors, prefix: str) -> Tensor:
    frames = len(subject.video)
    return torch.tensor([len(expand(subject.processor, row, frames)) for row in _sft_rows(stored, prefix)])


def test_sft_router_text_is_tokenized_as_the_reference_does(golden: Golden, processor: HumanOmniProcessor) -> None:
    stored, said = golden.tensors("sft.safetensors"), golden.json("sft.json")
    rows = zip(stored["bert_input_ids"], stored["bert_attention_mask"].bool(), said["bert_prompts"], strict=True)
    for ids, mask, text in rows:
        assert processor.router_tokenizer(text)["input_ids"] == ids[mask].tolist()
    assert len(said["human_turns_after_preprocess"]) == len(stored["input_ids"])
    for turn, row in zip(said["human_turns_after_preprocess"], _sft_rows(stored, ""), strict=True):
        tail = turn.rsplit("_end>", 1)[1]  # three newlines and the question
        asked = processor.tokenizer("_end>" + tail)["input_ids"][3:]
        joined = ",".join(map(str, row))
        assert ",".join(map(str, asked)) in joined


def test_grpo_loss_and_gradients_equal_the_trainers(golden: Golden, subject: Subject) -> None:
    if not golden.has("grpo.safetensors"):
        assert golden.json("meta.json")["config"]["image"] != 224, "sets at 224 pixels hold grpo.safetensors"
        return
    stored, said = golden.tensors("grpo.safetensors"), golden.json("grpo.json")
    model = subject.model
    media = load_media(golden.path("media/sample.mp4"), num_frames=len(golden.json("media.json")["video"]["sampled"]))
    parts = subject.processor.process_media(media)
    video, audio = (
        model.encode_video(parts["pixel_values"][None])[0],
        model.encode_audio(parts["input_features"][None])[0],
    )
    completions = stored["completion_ids"]
    prompt = stored["prompt_completion_ids"][:1, : -completions.shape[1]]
    assert stored["attention_mask"].all() or stored["attention_mask"].shape == stored["prompt_completion_ids"].shape
    assert not stored["bert_token_type_ids"].any()
    eos = subject.processor.tokenizer.eos_token_id
    ended = (completions == eos).long().cumsum(1)
    mask = (ended - (completions == eos).long()) == 0  # up to and including the first end of turn
    group = len(completions)

    def logprobs() -> Tensor:
        embeds, _ = subject.embed(
            prompt.tolist(), stored["bert_input_ids"], stored["bert_attention_mask"], [video], [audio]
        )
        return _completion_logprobs(subject, embeds.expand(group, -1, -1), completions)

    down = [layer.mlp.down_proj.weight for layer in model.language_model.layers]
    with torch.no_grad():
        for weight in down:
            weight.mul_(0.5)
        reference = logprobs()
        for weight in down:
            weight.mul_(2.0)  # exact: powers of two
    assert_close(reference[mask], stored["ref_logps"][mask], TOLERANCE_LOGITS, "reference")

    rewards = stored["rewards_per_func"].sum(1)
    advantages = group_advantages(rewards[None])[0]
    assert_close(advantages, stored["advantages"], 1e-4, "advantages")

    model.zero_grad()
    policy = logprobs()
    assert_close(policy.detach()[mask], stored["logps"][mask], TOLERANCE_LOGITS, "policy")
    loss, _ = policy_loss(
        policy, policy.detach(), advantages, mask, reference_logprobs=reference, beta=said["beta"], loss_type="grpo"
    )
    assert abs(loss.item() - said["loss"]) <= TOLERANCE_RELATIVE * abs(said["loss"])
    assert abs(stored["loss"].item() - said["loss"]) < 1e-6
    loss.backward()
    ours = dict(model.named_parameters())
    for key in [k for k in stored if k.startswith("grad.")]:
        name = rename(key.removeprefix("grad."), subject.config.num_vision_layers)
        assert name is not None
        gradient, expected = ours[name].grad, stored[key]
        assert gradient is not None, key
        assert_close(gradient.reshape(expected.shape), expected, TOLERANCE_RELATIVE * expected.abs().max().item(), key)
    prefixes = {
        "embed_tokens(+lm_head)": ("language_model.embed_tokens.", "lm_head."),
        "layers": ("language_model.layers.",),
        "final_norm": ("language_model.norm.",),
        "mm_projector": ("projector.",),
        "audio_projector": ("audio_projector.",),
        "bert_gate": ("gate.",),
        "bert_model": ("router.",),
        "vision_tower": ("vision_tower.",),
        "audio_tower": ("audio_tower.",),
    }
    assert set(said["grad_norms"]) == set(prefixes)
    for part, expected in said["grad_norms"].items():
        gradients = [p.grad for n, p in ours.items() if n.startswith(prefixes[part]) and p.grad is not None]
        if expected is None:
            assert not gradients, f"{part} is frozen"
            continue
        norm = torch.stack([g.norm() for g in gradients]).norm().item()
        assert abs(norm - expected) <= TOLERANCE_RELATIVE * expected, f"{part}: {norm}, reference {expected}"
    model.zero_grad()


def test_rewards_differ_from_the_reference_only_as_documented(golden: Golden) -> None:
    """Ours read any case, no mathematics, and ignore white space around; empty or repeated parts earn nothing."""
    cases = golden.json("rewards.json")["cases"]
    assert cases
    for case in cases:
        text, answer = case["completion"], parse_answer(case["completion"])
        gold = parse_answer(case["solution"]).answer or ""
        accuracy, well_formed = (REWARDS[name](answer, gold, (*LABELS, gold), None) for name in ("accuracy", "format"))
        other_case = gold in text.lower() and gold not in text
        number = gold.isdigit()  # compared as mathematics there; emotions are words
        assert accuracy == case["accuracy"] or (accuracy == 1.0 and other_case) or number, case
        cheated = text.count("<answer>") != 1 or "<think></think>" in text or "<answer></answer>" in text
        spaced = text != text.strip()
        assert well_formed == case["format"] or (well_formed == 0.0 and cheated) or (well_formed == 1.0 and spaced), (
            case
        )
