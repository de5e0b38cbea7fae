"""What answers cost, phase by phase, in batches and one clip per call.

    engine      a batch of clips: decoded in threads, towers once, logits of each prompt's last position only, one
                generation for all
    official    one clip per call: decoding, towers, prompt and the plain `generate` of transformers for each

Weights are random; sizes and token counts are the published ones. Both ways share weights, number format, preprocessing
and clips, so the answers must be the same; where bfloat16 cannot tell two tokens apart, the first difference is
reported with the gap between their logits. The comparison favours the official way: the model it runs here already
lacks the vision layer, the poolers and the prompt's logits that the official script computes and never uses.

Each number format runs in a process of its own, so that its peak memory is its own; all batches and the official way
share one.
"""

import json as jsonlib
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from alone import run_alone, say
from cost import read_peak, start_peak, synchronise
from options import Device, Json, Layers, Preset, device_name, new_app, read_counts
from r1omni.cli import boundary
from r1omni.cli.options import DtypeOption
from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.core.instruction import REASONING_INSTRUCTION
from r1omni.infer.embedding import embed_prompts, repetition_penalty, stop_ids
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.live_rows import LiveRows
from r1omni.infer.places import Group
from r1omni.infer.prompt import Prompt
from r1omni.media.decode import load_media
from r1omni.media.encode import write_video
from r1omni.model.adapters import beneath_adapters
from r1omni.model.precision import best_dtype
from r1omni.model.presets import build_model, cut_config
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.tokenizer import build_tokenizers

PHASES = ("decode", "preprocess", "towers", "prefill", "generation")
"""`prefill` includes the router and the projectors: the cost of a question before its first token."""

_FPS, _SOUND_RATE_HZ = 25, 16000


@dataclass(frozen=True)
class Work:
    """What is measured: sizes, clips and number format."""

    preset: str = "0.5b"
    layers: int | None = None
    """Of the language model; towers, router and vocabulary are cut in proportion. None keeps all."""
    batch_sizes: tuple[int, ...] = (1, 4, 8, 16, 32)
    new_tokens: int = 120
    """Tokens of every answer; about as many as the published models write."""
    official_clips: int = 2
    """Clips answered the official way; 0 leaves them out."""
    clip_seconds: float = 3.0
    clip_size: tuple[int, int] = (320, 240)
    """Width and height in pixels, even."""
    dtype: str = "auto"
    device: str | None = None
    """None uses CUDA if it is available."""


app = new_app()


@app.command(epilog="Example: python benchmarks/answering.py --batch-sizes 1 --dtype float32")
def main(
    preset: Preset = "0.5b",
    layers: Layers = 0,
    batch_sizes: Annotated[str, typer.Option(help="Clips per batch, separated by commas.")] = "1,4,8,16,32",
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens per answer.")] = 120,
    official_clips: Annotated[
        int, typer.Option(min=0, help="Clips answered one per call, as the official script does; 0 leaves them out.")
    ] = 2,
    dtype: DtypeOption = "auto",
    device: Device = "auto",
    compare: Annotated[
        bool, typer.Option(help="Where auto chooses bfloat16 on a CPU, measure one clip in float32 as well.")
    ] = True,
    json: Json = False,
) -> None:
    """Time answers phase by phase, in batches and one clip per call, at full size on random weights.

    With all layers and all batches a CPU takes many minutes; --layers 3 gives the ratios in a few.
    """
    work = Work(
        preset=preset,
        layers=layers or None,
        batch_sizes=read_counts("--batch-sizes", batch_sizes),
        new_tokens=new_tokens,
        official_clips=official_clips,
        dtype=dtype,
        device=device_name(device),
    )
    results = measure_formats(work, compare=compare and dtype == "auto")
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
    else:
        _show(results)


def _show(results: dict[str, Any]) -> None:

    sizes = results["sizes"]
    table = Table(
        title=f"{results['device']}, {results['dtype']}; {sizes['parameters'] / 1e6:,.0f} M parameters; "
        f"{sizes['prompt_tokens']} prompt tokens, answers of {sizes['new_tokens']}; seconds per batch"
    )
    first = results["batches"].values()
    phases = list(next(iter(first))["phases"])
    for heading in ("batch", *phases, "whole", "clips/s", "tokens/s", "peak GiB", "x official"):
        table.add_column(heading, justify="right")
    rows = [(size, row) for size, row in results["batches"].items()]
    if results["float32"] is not None:
        rows += [(f"{size} fp32", row) for size, row in results["float32"]["batches"].items()]
    for size, row in rows:
        peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**30:.2f}"
        against = row.get("speedup_vs_official")
        table.add_row(
            size,
            *(f"{row['phases'][phase]:.2f}" for phase in phases),
            f"{row['seconds']:.2f}",
            f"{row['clips_per_s']:.3f}",
            f"{row['generated_tokens_per_s']:.1f}",
            peak,
            "" if against is None else f"{against:.2f}",
        )
    if results["official"] is not None:
        official = results["official"]
        whole, rate = f"{official['seconds_per_clip']:.2f}", f"{official['clips_per_s']:.3f}"
        table.add_row("official", *[""] * len(phases), whole, rate, "", "", "1.00")
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=140)
    console.print(table)
    for name, value in results.items():
        if isinstance(value, float):
            console.print(f"{name:<28}{value:8.2f}")
    if results["same_answers"] is not None:
        same = results["same_answers"]
        console.print(f"same answers as one clip per call: {same['identical']} of {same['clips']} clips")
        if same["first_difference"] is not None:
            found = same["first_difference"]
            console.print(
                f"  clip {found['clip']} differs from token {found['token']} on; the two tokens' logits are "
                f"{found['logit_gap']:.1e} apart"
            )


def measure_formats(work: Work, *, compare: bool = True) -> dict[str, Any]:
    """Measure answering, each number format in a process of its own.

    Args:
        work: what is measured.
        compare: where bfloat16 is chosen on a CPU, measure one clip in float32 as well.

    Returns:
        What `measure_here` returns, and `bfloat16_speedup`: one clip's seconds in float32 over those in bfloat16, with
        `float32`, that measurement; both None where they were not compared.
    """
    results = run_alone(measure_here, work)
    compared = None
    if compare and results["dtype"] == "bfloat16" and results["device"].startswith("cpu"):
        one = replace(work, batch_sizes=(1,), official_clips=min(1, work.official_clips), dtype="float32")
        compared = run_alone(measure_here, one)
    ones = [entry["batches"].get("1") for entry in (results, compared) if entry is not None]
    speedup = None if len(ones) < 2 or None in ones else ones[1]["seconds"] / ones[0]["seconds"]
    return results | {"bfloat16_speedup": speedup, "float32": compared}


def measure_here(work: Work) -> dict[str, Any]:
    """Measure answering in this process.

    Args:
        work: what is measured.

    Returns:
        `batches`: batch size -> `seconds` of the whole, `phases`, `clips_per_s`, `generated_tokens_per_s`,
        `peak_bytes` (weights included; None where the system does not report it), `speedup_vs_official`. `official`:
        `seconds_per_clip`, `clips_per_s`. Ratios of batch 8 over batch 1: `batch8_tokens_per_s_ratio` (generation),
        `batch8_whole_ratio` (clips per second); of the largest batch: `speedup_vs_official`. `same_answers`, `sizes`,
        `dtype`, `device`, `second_question_seconds` (batch 1: no decoding, no towers).
    """
    device = torch.device(work.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = best_dtype(device) if work.dtype == "auto" else getattr(torch, work.dtype)
    say("building the model")
    model, processor = _build(work, dtype, device)
    rows: dict[str, dict[str, Any]] = {}
    answers: list[list[int]] = []
    with tempfile.TemporaryDirectory() as folder:
        clips = _make_clips(Path(folder), max(work.batch_sizes), work)
        workers = max(2, min(16, os.cpu_count() or 2))
        engine = build_engine(model, processor, EngineSection(num_workers=workers), keeps=False)
        _answer(engine, clips[:1], 2)  # warms up
        for size in work.batch_sizes:
            say(f"batch {size}")
            watched = start_peak(device)
            phases, written = _answer(engine, clips[:size], work.new_tokens)
            peak_bytes = read_peak(device) if watched else None
            rows[str(size)] = _row(phases, written) | {"peak_bytes": peak_bytes}
            answers = max(answers, written, key=len)
        official = same = None
        if work.official_clips:
            say("official: one clip per call")
            official, same = _official(engine, clips[: min(work.official_clips, len(clips))], answers)
    one, eight, largest = rows.get("1"), rows.get("8"), rows[str(max(work.batch_sizes))]
    if official is not None:
        for row in rows.values():
            row["speedup_vs_official"] = row["clips_per_s"] * official["seconds_per_clip"]
    asked_again = None if one is None else one["phases"]["prefill"] + one["phases"]["generation"]
    return {
        "batch8_tokens_per_s_ratio": _ratio(eight, one, "generated_tokens_per_s"),
        "batch8_whole_ratio": _ratio(eight, one, "clips_per_s"),
        "speedup_vs_official": largest.get("speedup_vs_official"),
        "same_answers": same,
        "second_question_seconds": asked_again,
        "batches": rows,
        "official": official,
        "dtype": str(dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "sizes": _sizes(model, processor, work),
    }


def _build(work: Work, dtype: torch.dtype, device: torch.device) -> tuple[Any, HumanOmniProcessor]:
    """Return a model of the preset's sizes with random weights, and a processor with a small vocabulary."""
    tokenizer, router_tokenizer = build_tokenizers([REASONING_INSTRUCTION] * 4, 400)
    words = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = cut_config(work.preset, work.layers, text_config=words)
    if config.text.vocab_size < len(tokenizer):
        config = cut_config(work.preset, work.layers, text_config={**words, "vocab_size": len(tokenizer)})
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # never built in float32 first: the peak of memory is the format's own
    try:
        model: Any = build_model(config)
    finally:
        torch.set_default_dtype(usual)
    return model.to(device).eval(), HumanOmniProcessor.from_config(config, tokenizer, router_tokenizer)


def _make_clips(folder: Path, count: int, work: Work) -> list[Clip]:
    """Write clips that differ: a drifting texture and a tone."""
    width, height = work.clip_size
    times_s = np.arange(round(work.clip_seconds * _SOUND_RATE_HZ)) / _SOUND_RATE_HZ
    clips = []
    for number in range(count):
        rng = np.random.default_rng(number)
        texture = np.repeat(np.repeat(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8), 8, 0), 8, 1)
        frames = np.stack([np.roll(texture, 2 * index, 1) for index in range(round(work.clip_seconds * _FPS))])
        waveform = np.sin(2 * np.pi * rng.uniform(100, 400) * times_s) * rng.uniform(0.1, 0.5)
        path = folder / f"{number}.mp4"
        write_video(path, frames, _FPS, waveform.astype(np.float32), _SOUND_RATE_HZ)
        clips.append(Clip(id=path.stem, path=path))
    return clips


def _answer(engine: Engine, clips: Sequence[Clip], new_tokens: int) -> tuple[dict[str, float], list[list[int]]]:
    """Answer clips in the engine's own steps; returns each phase's seconds and the greedy tokens."""
    model, processor = beneath_adapters(engine.model), engine.processor
    clock = _Clock(model.device)
    with ThreadPoolExecutor(engine.encoder.num_workers) as pool:
        media = list(pool.map(lambda clip: load_media(clip.path, num_frames=engine.encoder.num_frames), clips))
        clock.lap("decode")
        inputs = list(pool.map(processor.process_media, media))
        clock.lap("preprocess")
    features: list[Any] = engine.encoder.encode(inputs)
    clock.lap("towers")
    asked = [Prompt.ask(REASONING_INSTRUCTION, entry) for entry in features]
    with torch.no_grad():
        embeds, mask = embed_prompts(model, processor, asked)
    live = LiveRows(
        model.language_model,
        model.lm_head,
        stop_ids=stop_ids(model, processor),
        repetition_penalty=repetition_penalty(model),
    )
    groups = [
        Group(place, 1, new_tokens, 0.0, torch.zeros(1, new_tokens), int(kept.sum())) for place, kept in enumerate(mask)
    ]
    drawn = live.enter(embeds, mask, groups)
    clock.lap("prefill")
    written: dict[int, list[int]] = {}
    while drawn is not None:
        ended = list(drawn.endings)
        written.update({row.group.request: ids for row, (ids, _) in zip(ended, live.read(ended), strict=True)})
        live.leave(ended)
        drawn = live.step()
    clock.lap("generation")
    return clock.laps_s, [ids for _, ids in sorted(written.items())]


class _Clock:
    """Measures seconds between laps, after waiting for the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.laps_s: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        synchronise(device)
        self._last_s = time.perf_counter()

    def lap(self, phase: str) -> None:
        synchronise(self.device)
        now_s = time.perf_counter()
        self.laps_s[phase] += now_s - self._last_s
        self._last_s = now_s


def _row(phases: dict[str, float], written: list[list[int]]) -> dict[str, Any]:
    seconds = sum(phases.values())
    return {
        "seconds": seconds,
        "clips_per_s": len(written) / seconds,
        "generated_tokens_per_s": sum(map(len, written)) / phases["generation"],
        "phases": phases,
    }


@torch.no_grad()
def _official(
    engine: Engine, clips: Sequence[Clip], answers: list[list[int]]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Answer clips one call at a time and compare the answers with the engine's."""
    model, processor, seconds, outputs = engine.model, engine.processor, [], []
    for clip in clips:
        synchronise(model.device)
        started_s = time.perf_counter()
        media = load_media(clip.path, num_frames=engine.encoder.num_frames)
        batch = processor([media], [REASONING_INSTRUCTION]).to(model.device)
        outputs.append(
            model.generate(
                **batch,
                max_new_tokens=len(answers[len(outputs)]),
                do_sample=False,
                eos_token_id=stop_ids(model, processor),
                pad_token_id=processor.tokenizer.pad_token_id,
                output_logits=True,
                return_dict_in_generate=True,
            )
        )
        synchronise(model.device)
        seconds.append(time.perf_counter() - started_s)
    same = {"clips": len(clips), "identical": 0, "first_difference": None}
    for number, (output, ours) in enumerate(zip(outputs, answers, strict=False)):
        theirs = output.sequences[0].tolist()
        place = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if len(set(pair)) > 1), None)
        same["identical"] += theirs == ours
        if place is not None and same["first_difference"] is None:
            logits: Tensor = output.logits[place][0].float()
            gap = (logits[theirs[place]] - logits[ours[place]]).item()
            same["first_difference"] = {"clip": number, "token": place, "logit_gap": gap}
    per_clip_s = sum(seconds) / len(seconds)
    return {"seconds_per_clip": per_clip_s, "clips_per_s": 1 / per_clip_s}, same


def _ratio(over: dict[str, Any] | None, under: dict[str, Any] | None, name: str) -> float | None:
    return None if over is None or under is None else over[name] / under[name]


def _sizes(model: Any, processor: HumanOmniProcessor, work: Work) -> dict[str, int]:
    config = model.config
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vision_layers": len(model.vision_tower.layers),
        "audio_layers": config.audio_config.encoder_layers,
        "language_layers": config.text_config.num_hidden_layers,
        "hidden_size": config.text_config.hidden_size,
        "vocab_size": config.text_config.vocab_size,
        "prompt_tokens": len(processor.prompt_ids(REASONING_INSTRUCTION, processor.num_frames, True)),
        "new_tokens": work.new_tokens,
    }


if __name__ == "__main__":
    boundary.run(app)
