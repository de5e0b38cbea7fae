"""What exact GRPO costs: the plain way, towers once, and this engine, in one process on the same weights and answers.

    a  plain         towers for every answer and pass, the prompt for every answer, logits of every position, one prompt
                     per step: as the official trainer does it
    b  encode once   towers once per prompt, the prompt still for every answer, logits of the answers only
    c  engine        towers once (and again from the cache: `cached`), the prompt once per group

Each samples G answers of a fixed length, scores given answers under the policy with gradient and under the reference
without. Token counts are those of the full model (8 frames -> 392 video tokens, 500 audio tokens); the number of layers
is what the machine can carry. The optimiser's step, the same in all, is left out.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from r1omni.infer.cache import Features
from r1omni.infer.decode import sample_groups
from r1omni.infer.engine import embed_prompts
from r1omni.model.presets import build_model, preset_config
from r1omni.train.logprobs import AnswerScorer
from r1omni.train.loss import group_advantages, policy_loss
from r1omni.train.optimise import DEFAULT_PARTS, set_trainable

TEXT_TOKENS = 78
"""Words of the prompt: with 392 video and 500 audio tokens, 970 in all."""


@dataclass(frozen=True)
class _Work:
    """What every way is given."""

    model: Any
    reference: Any
    processor: Any
    pixel_values: Tensor
    input_features: Tensor
    answer_ids: Tensor
    """[prompts, group, answer]"""
    cached: list[Features]


class _FixedPrompts:
    """Stands for the processor: every prompt has the full number of tokens."""

    def __init__(self, config: Any, num_frames: int) -> None:
        video = [config.video_token_id] * (num_frames * config.video_tokens_per_frame)
        audio = [config.audio_token_id] * config.audio_tokens
        self.row = [*range(8, 8 + TEXT_TOKENS // 2), *video, *audio, *range(8, 8 + TEXT_TOKENS - TEXT_TOKENS // 2)]

    def process_text(self, instructions: list[str], *_: object) -> Any:
        count = len(instructions)
        ids = torch.tensor([self.row] * count)
        words = torch.arange(5, 25).expand(count, -1)
        text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return _Batch(text | {"router_input_ids": words, "router_attention_mask": torch.ones_like(words)})


class _Batch(dict[str, Tensor]):
    def to(self, device: Any) -> "_Batch":
        return _Batch({name: value.to(device) for name, value in self.items()})


def bench_grpo(
    *,
    preset: str = "0.5b",
    tower_layers: int | None = 2,
    language_layers: int | None = 2,
    vocab_size: int | None = 32768,
    num_frames: int | None = None,
    num_generations: int = 8,
    answer_tokens: int = 128,
    prompts: tuple[int, ...] = (1, 2),
    dtype: str = "float32",
    device: str | None = None,
    repeats: int = 1,
    on_progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Time one GRPO step per prompt in each way.

    Args:
        preset: sizes of the model.
        tower_layers: layers of each tower; None takes all.
        language_layers: layers of the language model; None takes all.
        vocab_size: entries; None takes all.
        num_frames: pictures per clip; None takes the preset's.
        num_generations: G.
        answer_tokens: tokens of every answer.
        prompts: prompts per step that (b) and (c) try; each reports its best.
        dtype: of weights and arithmetic.
        device: None takes CUDA where there is one.
        repeats: times each measurement is taken; the fastest counts.
        on_progress: told what is measured next.

    Returns:
        `speedup_vs_plain` (cached) and `speedup_vs_plain_first_epoch`, `speedup_vs_encode_once`, `peak_memory_ratio`
        (engine over plain, one prompt per step each), `matmul_fraction` of the learning phase, and per way the seconds
        per prompt by phase, the operations counted and the peak memory.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    say = on_progress or (lambda _: None)
    say("building the models")
    work, sizes = _build(
        preset,
        tower_layers,
        language_layers,
        vocab_size,
        num_frames,
        (max(prompts), num_generations, answer_tokens),
        getattr(torch, dtype),
        device,
    )
    rate = _matmul_rate(work)
    rows: dict[str, dict[str, Any]] = {}
    say("a: plain")
    rows["plain"] = _measure(_plain, work, 1, repeats)
    for name, way in (("encode_once", _encode_once), ("engine", _engine_first), ("engine_cached", _engine_cached)):
        tried = []
        for count in prompts:
            say(f"{name}: {count} prompts per step")
            tried.append(_measure(way, work, count, repeats))
        rows[name] = min(tried, key=lambda row: row["seconds_per_prompt"])
        rows[name]["peak_bytes_one_prompt"] = tried[0]["peak_bytes"]
    plain, engine = rows["plain"], rows["engine_cached"]
    learning = engine["phases"]["learn"]
    return {
        "speedup_vs_plain": plain["seconds_per_prompt"] / engine["seconds_per_prompt"],
        "speedup_vs_plain_first_epoch": plain["seconds_per_prompt"] / rows["engine"]["seconds_per_prompt"],
        "speedup_vs_encode_once": rows["encode_once"]["seconds_per_prompt"] / engine["seconds_per_prompt"],
        "peak_memory_ratio": rows["engine"]["peak_bytes_one_prompt"] / max(plain["peak_bytes"], 1),
        "matmul_fraction": learning["operations"] / learning["seconds"] / rate,
        "matmul_operations_per_s": rate,
        "sizes": sizes,
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "dtype": dtype,
        "ways": rows,
    }


def _build(
    preset: str,
    tower_layers: int | None,
    language_layers: int | None,
    vocab_size: int | None,
    num_frames: int | None,
    answers: tuple[int, int, int],
    dtype: torch.dtype,
    device: str,
) -> tuple[_Work, dict[str, int]]:
    towers = {} if tower_layers is None else {"num_hidden_layers": tower_layers + 1}
    overrides: dict[str, Any] = {
        "vision_config": towers,
        "audio_config": {} if tower_layers is None else {"encoder_layers": tower_layers},
        "router_config": {} if tower_layers is None else {"num_hidden_layers": min(tower_layers, 2)},
        "text_config": {
            **({} if language_layers is None else {"num_hidden_layers": language_layers}),
            **({} if vocab_size is None else {"vocab_size": vocab_size}),
        },
        **({} if num_frames is None else {"num_frames": num_frames}),
    }
    config = preset_config(preset, **overrides)
    vision: Any = config.vision_config
    audio: Any = config.audio_config
    text: Any = config.text_config
    both: list[Any] = [build_model(config, seed=seed) for seed in (0, 1)]
    model, reference = (built.to(device=device, dtype=dtype).eval() for built in both)
    reference.requires_grad_(False)
    set_trainable(model, DEFAULT_PARTS)
    count, group, tokens = answers
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(1, config.num_frames, 3, vision.image_size, vision.image_size, generator=generator)
    mels = torch.randn(1, audio.num_mel_bins, 2 * audio.max_source_positions, generator=generator)
    frames, mels = frames.to(device, dtype), mels.to(device, dtype)
    with torch.no_grad():
        features = Features(model.encode_video(frames)[0], model.encode_audio(mels)[0])
    ids = torch.randint(64, text.vocab_size, answers, generator=generator)
    processor = _FixedPrompts(config, config.num_frames)
    sizes = {
        "prompt_tokens": len(processor.row),
        "answer_tokens": tokens,
        "num_generations": group,
        "language_layers": text.num_hidden_layers,
        "vision_layers": len(model.vision_tower.layers),
        "audio_layers": audio.encoder_layers,
        "hidden_size": text.hidden_size,
        "vocab_size": text.vocab_size,
    }
    return _Work(model, reference, processor, frames, mels, ids.to(device), [features] * count), sizes


Phases = dict[str, Callable[[], Any]]


def _plain(work: _Work, count: int) -> Phases:
    """One prompt; the towers run once to sample, then once per answer in policy and in reference."""
    group = work.answer_ids.shape[1]

    def encoded(model: Any, times: int) -> list[Features]:
        with torch.no_grad():
            videos = model.encode_video(work.pixel_values.expand(times, *work.pixel_values.shape[1:]))
            audios = model.encode_audio(work.input_features.expand(times, *work.input_features.shape[1:]))
        return [Features(video, audio) for video, audio in zip(videos, audios, strict=True)]

    def learn() -> None:
        with torch.no_grad():
            reference = _logprobs_alone(work, work.reference, encoded(work.reference, group), 1, whole=True)
        _backward(work, _logprobs_alone(work, work.model, encoded(work.model, group), 1, whole=True), reference)

    return {"sample": lambda: _generate(work, encoded(work.model, 1) * group, 1), "learn": learn}


def _encode_once(work: _Work, count: int) -> Phases:
    group = work.answer_ids.shape[1]

    def features() -> list[Features]:
        return [entry for entry in _tower_pass(work, count) for _ in range(group)]

    def learn() -> None:
        entries = [entry for entry in work.cached[:count] for _ in range(group)]
        with torch.no_grad():
            reference = _logprobs_alone(work, work.reference, entries, count, whole=False)
        _backward(work, _logprobs_alone(work, work.model, entries, count, whole=False), reference)

    return {"sample": lambda: _generate(work, features(), count), "learn": learn}


def _engine_first(work: _Work, count: int) -> Phases:
    cached = _engine_cached(work, count)

    def sample() -> None:
        _tower_pass(work, count)
        cached["sample"]()

    return {"sample": sample, "learn": cached["learn"]}


def _engine_cached(work: _Work, count: int) -> Phases:
    entries = work.cached[:count]
    ids = work.answer_ids[:count]
    mask = torch.ones_like(ids, dtype=torch.bool)

    def sample() -> None:
        with torch.no_grad():
            embeds, prompt_mask = embed_prompts(work.model, work.processor, [""] * count, entries)
        sample_groups(
            work.model.language_model,
            work.model.lm_head,
            embeds,
            prompt_mask,
            temperature=1.0,
            stop_ids=[work.model.config.text_config.vocab_size],
            uniforms=torch.rand(ids.shape, device=ids.device),
        )

    def learn() -> None:
        with torch.no_grad():
            reference = AnswerScorer(work.reference, work.processor)([""] * count, entries, ids, mask)
        logprobs = AnswerScorer(work.model, work.processor)([""] * count, entries, ids, mask)
        _backward(work, logprobs.flatten(0, 1), reference.flatten(0, 1))

    return {"sample": sample, "learn": learn}


def _tower_pass(work: _Work, count: int) -> list[Features]:
    with torch.no_grad():
        videos = work.model.encode_video(work.pixel_values.expand(count, *work.pixel_values.shape[1:]))
        audios = work.model.encode_audio(work.input_features.expand(count, *work.input_features.shape[1:]))
    return [Features(video, audio) for video, audio in zip(videos, audios, strict=True)]


@torch.no_grad()
def _generate(work: _Work, features: list[Features], count: int) -> None:
    """Sample with transformers, every answer prefilling its own prompt."""
    embeds, mask = embed_prompts(work.model, work.processor, [""] * len(features), features)
    tokens = work.answer_ids.shape[2]
    work.model.generate(
        inputs_embeds=embeds.repeat_interleave(count * work.answer_ids.shape[1] // len(embeds), dim=0),
        attention_mask=mask,
        do_sample=True,
        top_k=0,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        pad_token_id=0,
    )


def _logprobs_alone(work: _Work, model: Any, features: list[Features], count: int, whole: bool) -> Tensor:
    """Every answer in a row of its own; `whole` takes logits of every position, as the official trainer does."""
    ids = work.answer_ids[:count].flatten(0, 1)
    embeds, _ = embed_prompts(model, work.processor, [""] * len(features), features)
    row = torch.cat([embeds, model.language_model.embed_tokens(ids)], dim=1)
    hidden = model.language_model(inputs_embeds=row, use_cache=False).last_hidden_state
    answer = ids.shape[1]
    if whole:
        logits = model.lm_head(hidden)[:, -answer - 1 : -1]
    else:
        logits = model.lm_head(hidden[:, -answer - 1 : -1])
    return logits.log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1).float()


def _backward(work: _Work, logprobs: Tensor, reference: Tensor) -> None:
    rewards = torch.arange(len(logprobs), device=logprobs.device).float().view(-1, work.answer_ids.shape[1]).sin()
    mask = torch.ones_like(logprobs, dtype=torch.bool)
    advantages = group_advantages(rewards).flatten()
    loss, _ = policy_loss(logprobs, logprobs.detach(), advantages, mask, reference_logprobs=reference, beta=0.04)
    loss.backward()
    work.model.zero_grad(set_to_none=True)


def _measure(way: Callable[[_Work, int], Phases], work: _Work, count: int, repeats: int) -> dict[str, Any]:
    """Time each phase after one that warms up, count its operations, and note the peak of memory above the start."""
    on_cuda = work.answer_ids.is_cuda
    phases: dict[str, dict[str, float]] = {}
    peak_bytes = 0
    for name, run in way(work, count).items():
        gc.collect()
        before = _start_peak(on_cuda)
        with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
            run()
        peak_bytes = max(peak_bytes, _read_peak(on_cuda) - before)
        seconds = []
        for _ in range(repeats):
            started_s = time.perf_counter()
            run()
            if on_cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started_s)
        phases[name] = {"seconds": min(seconds), "operations": counter.get_total_flops()}
    return {
        "prompts_per_step": count,
        "seconds_per_prompt": sum(phase["seconds"] for phase in phases.values()) / count,
        "operations_per_prompt": sum(phase["operations"] for phase in phases.values()) / count,
        "peak_bytes": peak_bytes,
        "phases": phases,
    }


def _attention_operations(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward_operations(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    # Five products where the forward pass has two: the scores again, and one for each of four gradients.
    return 5 * sdpa_flop_count(query, key, value) // 2


_CPU_ATTENTION: dict[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_operations,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_operations,
}
"""torch counts these on the GPU only; like torch, the count ignores that a causal mask needs half."""


def _matmul_rate(work: _Work) -> float:
    """Operations per second of this machine's own products at the language model's shapes."""
    text = work.model.config.text_config
    like = work.model.lm_head.weight
    left = torch.randn(2048, text.hidden_size, device=like.device, dtype=like.dtype)
    right = torch.randn(text.hidden_size, text.intermediate_size, device=like.device, dtype=like.dtype)
    seconds = []
    for _ in range(8):
        started_s = time.perf_counter()
        for _ in range(5):
            left.matmul(right)
        if like.is_cuda:
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() - started_s) / 5)
    return 2 * 2048 * text.hidden_size * text.intermediate_size / min(seconds)


def _start_peak(on_cuda: bool) -> int:
    """Forget the peak so far; returns the bytes in use now."""
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)  # what torch freed counts as resident until it is handed back
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def _read_peak(on_cuda: bool) -> int:
    return torch.cuda.max_memory_allocated() if on_cuda else _status_bytes("VmHWM")


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0
