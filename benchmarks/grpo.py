"""What exact GRPO costs in three ways, in one process on the same weights and answers.

    a  plain         towers and prompt for every answer and pass, logits of every position, one prompt per step, as the
                     official trainer does
    b  encode once   towers once per prompt, the prompt still once per answer, logits of the answers only
    c  engine        towers once per prompt, the prompt once per group

A step samples G answers of a fixed length for each of its prompts, then scores given answers under the policy, with
gradients, and under the reference policy, without. For (b) and (c) the number of prompts encoded and sampled together,
and the number scored together, are the fastest of those tried, as `prompts_per_device` and
`gradient_accumulation_steps` set them in training. Token counts are those of the full model (8 frames -> 392 video
tokens, 500 audio tokens); layers and vocabulary are cut in the same proportion in every part except the projectors,
which stay whole. `_cached` leaves the towers out: features come from the cache. The optimiser's step, the same in all
three, is left out. Memory is measured separately, each way in a process of its own.

Source of (a): HumanMLLM/R1-Omni, src/r1-v/src/open_r1/trainer/humanOmni_grpo_trainer.py; sampled without its top-k.
"""

import gc
import json as jsonlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import torch
import typer
from torch import Tensor
from transformers import BatchFeature

from alone import run_alone, say
from cost import Cost, bytes_in_use, matmul_rate, measure, read_peak, start_peak
from options import Device, Json, Layers, Preset, device_name, new_app, read_counts
from r1omni.cli import boundary
from r1omni.config.sections import TRAINED_PARTS
from r1omni.infer.embedding import embed_prompts
from r1omni.infer.features import Features
from r1omni.infer.live_rows import LiveRows
from r1omni.infer.places import Group
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer, release_towers
from r1omni.model.presets import build_model, cut_config, preset_config
from r1omni.model.processing import HumanOmniProcessor
from r1omni.train.loss import group_advantages, policy_loss
from r1omni.train.optimise import set_trainable

TEXT_TOKENS = 78
"""Text tokens of the prompt; with 392 video and 500 audio tokens, 970 in total."""
WORTH_MORE = 0.98
"""More prompts at once are tried as long as the time per prompt falls below this share of the best so far."""


app = new_app()


@app.command(epilog="Example: python benchmarks/grpo.py --layers 3 --json")
def main(
    preset: Preset = "0.5b",
    layers: Layers = 2,
    num_generations: Annotated[int, typer.Option(min=2, help="Answers per prompt.")] = 8,
    answer_tokens: Annotated[int, typer.Option(min=2, help="Tokens per answer.")] = 128,
    prompts: Annotated[
        str,
        typer.Option(
            help="Prompts encoded and sampled together, separated by commas: tried in turn until they get slower."
        ),
    ] = "1,2,4,8",
    learn_prompts: Annotated[str, typer.Option(help="Prompts scored together, likewise.")] = "1",
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Number format.")] = "float32",
    device: Device = "auto",
    repeats: Annotated[int, typer.Option(min=1, help="Runs per measurement; the fastest counts.")] = 1,
    json: Json = False,
) -> None:
    """Time a GRPO step the plain way, with the towers once, and in this engine."""
    results = measure_grpo(
        preset=preset,
        layers=layers or None,
        num_generations=num_generations,
        answer_tokens=answer_tokens,
        prompts=read_counts("--prompts", prompts),
        learn_prompts=read_counts("--learn-prompts", learn_prompts),
        dtype=dtype,
        device=device_name(device),
        repeats=repeats,
    )
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
    else:
        _show(results)


def _show(results: dict[str, Any]) -> None:
    sizes = results["sizes"]
    typer.echo(
        f"{results['device']}, {results['dtype']}; layers: language {sizes['language_layers']}, audio "
        f"{sizes['audio_layers']}, vision {sizes['vision_layers']}; {sizes['prompt_tokens']} prompt tokens, "
        f"{sizes['num_generations']} answers of {sizes['answer_tokens']} tokens, vocabulary {sizes['vocab_size']}"
    )
    for name, way in results["ways"].items():
        peak = "" if way["peak_bytes"] is None else f"{way['peak_bytes'] / 2**30:8.2f} GiB"
        parts = ", ".join(
            f"{phase} {row['seconds'] / row['prompts']:.2f} s ({row['prompts']} at once)"
            for phase, row in way["phases"].items()
        )
        typer.echo(
            f"{name:<20}{way['seconds_per_prompt']:9.2f} s/prompt{way['operations_per_prompt'] / 1e12:9.3f} Tflop{peak}"
            f"  {parts}"
        )
    for name, value in results.items():
        if isinstance(value, float) and name != "matmul_operations_per_s":
            typer.echo(f"{name:<36}{value:9.3g}")


@dataclass(frozen=True)
class _Work:
    """What each way is measured on."""

    model: Any
    reference: Any
    processor: Any
    pixel_values: Tensor
    input_features: Tensor
    answer_ids: Tensor
    """[prompts, group, answer]"""
    features: Features
    """Of the clip in every prompt."""

    @property
    def device(self) -> torch.device:
        return self.answer_ids.device


class _FixedPrompts(HumanOmniProcessor):
    """A processor whose prompts all have the full number of tokens."""

    def __init__(self, config: Any) -> None:
        video = [config.video_token_id] * (config.num_frames * config.video_tokens_per_frame)
        audio = [config.audio_token_id] * config.audio_tokens
        self.row = [*range(8, 8 + TEXT_TOKENS // 2), *video, *audio, *range(8, 8 + TEXT_TOKENS - TEXT_TOKENS // 2)]

    def process_text(self, prompts: Sequence[object], *_: object, **__: object) -> BatchFeature:
        count = len(prompts)
        ids = torch.tensor([self.row] * count)
        words = torch.arange(5, 25).expand(count, -1)
        text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return BatchFeature(text | {"router_input_ids": words, "router_attention_mask": torch.ones_like(words)})


def measure_grpo(
    *,
    preset: str = "0.5b",
    layers: int | None = 2,
    num_generations: int = 8,
    answer_tokens: int = 128,
    prompts: Sequence[int] = (1, 2, 4, 8),
    learn_prompts: Sequence[int] = (1,),
    dtype: str = "float32",
    device: str | None = None,
    repeats: int = 1,
    run_memory: Callable[..., dict[str, int | None]] = run_alone,
) -> dict[str, Any]:
    """Time one GRPO step per prompt in each way.

    Args:
        preset: sizes of the model.
        layers: of the language model; towers, router and vocabulary are cut in the same proportion. None keeps all.
        num_generations: G.
        answer_tokens: tokens per answer.
        prompts: numbers of prompts encoded and sampled together that (b) and (c) try, in rising order.
        learn_prompts: numbers of prompts scored together that they try, in rising order.
        dtype: of weights and arithmetic.
        device: None uses CUDA if it is available.
        repeats: runs per measurement; the fastest counts.
        run_memory: calls each measurement of memory; in a fresh process, else the peak holds what was run before.

    Returns:
        `speedup_vs_plain` in the first epoch and `speedup_vs_plain_cached` in later ones; `speedup_vs_encode_once` with
        cached features in both, `speedup_vs_encode_once_first_epoch` with the towers in both; `peak_memory_ratio`,
        engine over plain at one prompt each, weights included, and `peak_memory_ratio_above_weights` without them;
        `matmul_fraction`, the share of this machine's own rate of matrix products that the learning phase reaches; and
        for each way the seconds, operations and peak memory of each phase.
    """
    on = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    sizes_of = (preset, layers, (1, num_generations, answer_tokens), getattr(torch, dtype), on)
    memory: dict[str, dict[str, int | None]] = {}
    for way in _STEPS:
        say(f"{way}: memory")
        memory[way] = run_memory(_watch, way, torch.get_num_threads(), *sizes_of)
    say("building the models")
    answers = (max(*prompts, *learn_prompts), num_generations, answer_tokens)
    work, sizes = _build(preset, layers, answers, getattr(torch, dtype), on)
    _warm_up(work)
    rates = [_rate(work)]

    def cost(name: str, run: Callable[[_Work, int], Any], count: int) -> Cost:
        say(f"{name}: {count} at once")
        return measure(lambda: run(work, count), on, repeats)

    def best(name: str, run: Callable[[_Work, int], Any], counts: Sequence[int]) -> tuple[int, Cost]:
        """Return the fastest number of prompts and its cost."""
        tried: list[tuple[int, Cost]] = []
        for count in counts:
            try:
                tried.append((count, cost(name, run, count)))
            except torch.OutOfMemoryError:
                break
            per_prompt = [found.seconds / number for number, found in tried]
            if len(tried) > 1 and per_prompt[-1] > WORTH_MORE * min(per_prompt[:-1]):
                break
        if not tried:
            raise torch.OutOfMemoryError(f"{name} does not fit with {counts[0]} prompts.")
        return min(tried, key=lambda entry: entry[1].seconds / entry[0])

    ways: dict[str, dict[str, Any]] = {}
    measured: dict[Callable[[_Work, int], Any], tuple[int, Cost]] = {}
    for way, steps in _STEPS.items():
        alone = way == "plain"
        for name, run in steps.items():
            if run not in measured:  # both ways with separate towers share this step
                counts = (1,) if alone else learn_prompts if name == "learn" else prompts
                measured[run] = best(f"{way}: {name}", run, counts)
        phases = {name: measured[run] for name, run in steps.items()}
        ways[way] = _row(phases, memory[way])
        if alone:
            release_towers(work.reference)
        else:
            ways[f"{way}_cached"] = _row({name: phases[name] for name in ("sample", "learn")}, memory[way])
        rates.append(_rate(work))

    learning = ways["engine"]["phases"]["learn"]
    seconds = {name: way["seconds_per_prompt"] for name, way in ways.items()}
    peaks = [(ways[name]["peak_bytes"], memory[name]["weights"] or 0) for name in ("engine", "plain")]
    return {
        "speedup_vs_plain": seconds["plain"] / seconds["engine"],
        "speedup_vs_plain_cached": seconds["plain"] / seconds["engine_cached"],
        "speedup_vs_encode_once": seconds["encode_once_cached"] / seconds["engine_cached"],
        "speedup_vs_encode_once_first_epoch": seconds["encode_once"] / seconds["engine"],
        "peak_memory_ratio": _ratio(*(peak for peak, _ in peaks)),
        "peak_memory_ratio_above_weights": _ratio(*(peak and peak - taken for peak, taken in peaks)),
        "matmul_fraction": learning["operations"] / learning["seconds"] / max(rates),
        "matmul_operations_per_s": max(rates),
        "largest_logprob_difference": _largest_difference(work),
        "sizes": sizes,
        "weight_bytes": {name: found["weights"] for name, found in memory.items()},
        "device": torch.cuda.get_device_name() if on.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "dtype": dtype,
        "ways": ways,
    }


def _build(
    preset: str, layers: int | None, answers: tuple[int, int, int], dtype: torch.dtype, device: torch.device
) -> tuple[_Work, dict[str, Any]]:
    whole: Any = preset_config(preset)
    config, whole = cut_config(preset, layers), preset_config(preset)
    vision: Any = config.vision_config
    audio: Any = config.audio_config
    text: Any = config.text_config
    both: list[Any] = [build_model(config, seed=seed) for seed in (0, 1)]
    model, reference = (built.to(device=device, dtype=dtype).eval() for built in both)
    reference.requires_grad_(False)
    set_trainable(model, TRAINED_PARTS)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(1, config.num_frames, 3, vision.image_size, vision.image_size, generator=generator)
    mels = torch.randn(1, audio.num_mel_bins, 2 * audio.max_source_positions, generator=generator)
    frames, mels = frames.to(device, dtype), mels.to(device, dtype)
    with torch.no_grad():
        features = Features(model.encode_video(frames)[0], model.encode_audio(mels)[0])
    ids = torch.randint(64, text.vocab_size, answers, generator=generator).to(device)
    processor = _FixedPrompts(config)
    sizes = {
        "prompt_tokens": len(processor.row),
        "answer_tokens": answers[2],
        "num_generations": answers[1],
        "language_layers": text.num_hidden_layers,
        "audio_layers": audio.encoder_layers,
        "vision_layers": len(model.vision_tower.layers),
        **_shares(config, whole),
        "hidden_size": text.hidden_size,
        "vocab_size": text.vocab_size,
    }
    return _Work(model, reference, processor, frames, mels, ids, features), sizes


def _shares(config: Any, whole: Any) -> dict[str, float]:
    """Return the share of each part that is kept."""
    return {
        "share_of_language_layers": config.text_config.num_hidden_layers / whole.text_config.num_hidden_layers,
        "share_of_audio_layers": config.audio_config.encoder_layers / whole.audio_config.encoder_layers,
        "share_of_vision_layers": config.num_vision_layers / whole.num_vision_layers,
        "share_of_vocabulary": config.text_config.vocab_size / whole.text_config.vocab_size,
    }


def _warm_up(work: _Work) -> None:
    """Run a small step each way, so that nothing is set up during a measurement."""
    small = _Work(**{**work.__dict__, "answer_ids": work.answer_ids[:1, :2, :2]})
    for run in (_sample_plain, _learn_plain, _sample_engine, _learn_engine):
        run(small, 1)


def _rate(work: _Work) -> float:
    text = work.model.config.text_config
    return matmul_rate(work.model.lm_head.weight, text.hidden_size, text.intermediate_size)


def _row(phases: dict[str, tuple[int, Cost]], memory: dict[str, int | None]) -> dict[str, Any]:
    peaks = [peak for name in phases if (peak := memory[name]) is not None]
    return {
        "seconds_per_prompt": sum(cost.seconds / count for count, cost in phases.values()),
        "operations_per_prompt": sum(cost.operations / count for count, cost in phases.values()),
        "peak_bytes": max(peaks, default=None),
        "phases": {
            name: {"prompts": count, **asdict(cost), "peak_bytes": memory[name]}
            for name, (count, cost) in phases.items()
        },
    }


def _watch(way: str, num_threads: int, *sizes: Any) -> dict[str, int | None]:
    """Return the peak bytes of each step of a way at one prompt, without the interpreter's, and of its weights."""
    torch.set_num_threads(num_threads)
    device = sizes[-1]
    empty_bytes = bytes_in_use(device)
    work, _ = _build(*sizes)
    if way != "plain":
        release_towers(work.reference)
    peaks: dict[str, int | None] = {"weights": _weight_bytes(work)}
    for name, run in _STEPS[way].items():
        gc.collect()
        watched = start_peak(device)
        run(work, 1)
        peaks[name] = read_peak(device) - (empty_bytes or 0) if watched else None
    return peaks


def _weight_bytes(work: _Work) -> int:
    return sum(p.numel() * p.element_size() for model in (work.model, work.reference) for p in model.parameters())


def _ratio(engine: int | None, plain: int | None) -> float | None:
    return None if engine is None or plain is None else engine / max(plain, 1)


@torch.no_grad()
def _encode(work: _Work, count: int, model: Any = None) -> list[Features]:
    """Encode the clip once per prompt."""
    model = model or work.model
    videos = model.encode_video(work.pixel_values.expand(count, *work.pixel_values.shape[1:]))
    audios = model.encode_audio(work.input_features.expand(count, *work.input_features.shape[1:]))
    return [Features(video, audio) for video, audio in zip(videos, audios, strict=True)]


def _embed(work: _Work, model: Any, features: list[Features]) -> Tensor:
    return embed_prompts(model, work.processor, [Prompt.ask("", entry) for entry in features])[0]


def _sample_plain(work: _Work, count: int) -> None:
    _generate(work, _encode(work, count))


def _sample_alone(work: _Work, count: int) -> None:
    _generate(work, [work.features] * count)


@torch.no_grad()
def _generate(work: _Work, features: list[Features]) -> None:
    """Sample with transformers, every answer prefilling its own prompt."""
    _, group, tokens = work.answer_ids.shape
    embeds = _embed(work, work.model, features).repeat_interleave(group, dim=0)
    work.model.generate(
        inputs_embeds=embeds,
        attention_mask=embeds.new_ones(embeds.shape[:2], dtype=torch.long),
        do_sample=True,
        top_k=0,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        pad_token_id=0,
    )


@torch.no_grad()
def _sample_engine(work: _Work, count: int) -> None:
    _, group, tokens = work.answer_ids.shape
    embeds = _embed(work, work.model, [work.features] * count)
    live = LiveRows(work.model.language_model, work.model.lm_head, stop_ids=[work.model.config.text_config.vocab_size])
    groups = [Group(place, group, tokens, 1.0, torch.rand(group, tokens), embeds.shape[1]) for place in range(count)]
    drawn = live.enter(embeds, embeds.new_ones(embeds.shape[:2], dtype=torch.bool), groups)
    while drawn is not None:
        live.leave(list(drawn.endings))
        drawn = live.step()


def _learn_plain(work: _Work, count: int) -> None:
    logprobs = _logprobs_plain(work, work.model)
    with torch.no_grad():
        reference = _logprobs_plain(work, work.reference)
    _backward(work, logprobs, reference)


def _learn_alone(work: _Work, count: int) -> None:
    with torch.no_grad():
        reference = _logprobs_alone(work, work.reference, count)
    _backward(work, _logprobs_alone(work, work.model, count), reference)


def _learn_engine(work: _Work, count: int) -> None:
    with torch.no_grad():
        reference = _logprobs_engine(work, work.reference, count)
    _backward(work, _logprobs_engine(work, work.model, count), reference)


def _logprobs_plain(work: _Work, model: Any) -> Tensor:
    """Run towers and prompt for every answer; compute logits of every position, then a softmax row by row."""
    ids = work.answer_ids[0]
    embeds = _embed(work, model, _encode(work, len(ids), model))
    hidden = _read_alone(model, embeds, ids)
    logits = model.lm_head(hidden)[:, -ids.shape[1] - 1 : -1]
    rows = [
        row.log_softmax(-1).gather(-1, answer[:, None]).squeeze(-1) for row, answer in zip(logits, ids, strict=True)
    ]
    return torch.stack(rows).float()


def _logprobs_alone(work: _Work, model: Any, count: int) -> Tensor:
    """Run every answer in a row of its own with its prompt; compute logits of the answers only."""
    ids = work.answer_ids[:count].flatten(0, 1)
    embeds = _embed(work, model, [work.features] * len(ids))
    hidden = _read_alone(model, embeds, ids)
    logits = model.lm_head(hidden[:, -ids.shape[1] - 1 : -1])
    return logits.log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1).float()


def _read_alone(model: Any, embeds: Tensor, ids: Tensor) -> Tensor:
    rows = torch.cat([embeds, model.language_model.embed_tokens(ids)], dim=1)
    return model.language_model(inputs_embeds=rows, use_cache=False).last_hidden_state


def _logprobs_engine(work: _Work, model: Any, count: int) -> Tensor:
    ids = work.answer_ids[:count]
    mask = torch.ones_like(ids, dtype=torch.bool)
    return Scorer(model, work.processor)([Prompt.ask("", work.features)] * count, ids, mask).flatten(0, 1)


def _backward(work: _Work, logprobs: Tensor, reference: Tensor) -> None:
    rewards = torch.arange(len(logprobs), device=logprobs.device).float().view(-1, work.answer_ids.shape[1]).sin()
    mask = torch.ones_like(logprobs, dtype=torch.bool)
    advantages = group_advantages(rewards).flatten()
    loss, _ = policy_loss(logprobs, logprobs.detach(), advantages, mask, reference_logprobs=reference, beta=0.04)
    loss.backward()
    work.model.zero_grad(set_to_none=True)


_STEPS: dict[str, dict[str, Callable[[_Work, int], Any]]] = {
    "plain": {"sample": _sample_plain, "learn": _learn_plain},
    "encode_once": {"towers": _encode, "sample": _sample_alone, "learn": _learn_alone},
    "engine": {"towers": _encode, "sample": _sample_engine, "learn": _learn_engine},
}


@torch.no_grad()
def _largest_difference(work: _Work) -> float:
    """Return the largest difference between (b) and (c) on the first two answers, which should be rounding only."""
    small = _Work(**{**work.__dict__, "answer_ids": work.answer_ids[:1, :2]})
    return float((_logprobs_alone(small, small.model, 1) - _logprobs_engine(small, small.model, 1)).abs().max())


if __name__ == "__main__":
    boundary.run(app)
