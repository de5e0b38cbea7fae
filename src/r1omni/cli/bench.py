"""`r1omni bench`: what this machine does with the parts that take the time."""

import json as jsonlib
from typing import Annotated, Literal

import typer

from r1omni.core.errors import ConfigError

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]


@app.callback()
def bench() -> None:
    """Measure speed on this machine."""


@app.command(epilog="Example: r1omni bench media --repeats 10")
def media(
    clip_seconds: Annotated[float, typer.Option(min=0.5, help="Length of the made clip, seconds.")] = 5.0,
    repeats: Annotated[int, typer.Option(min=1, help="Readings that are timed.")] = 20,
    json: Json = False,
) -> None:
    """Read one made clip with every reader that is installed."""
    from r1omni.media.bench import bench_media

    results = bench_media(clip_seconds=clip_seconds, repeats=repeats)
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for name, row in results.items():
        memory = "" if row["peak_memory_mib"] is None else f"{row['peak_memory_mib']:8.0f} MiB"
        sound = "" if row["reads_sound"] else "  pictures only"
        typer.echo(f"{name:<12}{row['clips_per_s']:8.1f} clips/s{1000 * row['median_s']:9.1f} ms{memory}{sound}")


@app.command(epilog="Example: r1omni bench grpo --layers 3 --json")
def grpo(
    preset: Annotated[Literal["tiny", "0.5b", "7b"], typer.Option(help="Sizes of the model.")] = "0.5b",
    layers: Annotated[
        int,
        typer.Option(min=0, help="Layers of the language model, the other parts cut to the same share; 0 takes all."),
    ] = 2,
    num_generations: Annotated[int, typer.Option(min=2, help="Answers per prompt.")] = 8,
    answer_tokens: Annotated[int, typer.Option(min=2, help="Tokens of every answer.")] = 128,
    prompts: Annotated[
        str, typer.Option(help="Prompts encoded and sampled together, with commas: tried while it gets faster.")
    ] = "1,2,4,8",
    learn_prompts: Annotated[str, typer.Option(help="Prompts scored together, likewise.")] = "1",
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Number format.")] = "float32",
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where it runs; auto takes CUDA where there is one.")
    ] = "auto",
    repeats: Annotated[int, typer.Option(min=1, help="Times each is measured; the fastest counts.")] = 1,
    json: Json = False,
) -> None:
    """Time a GRPO step the plain way, with the towers once, and in this engine."""
    from r1omni.train.bench import bench_grpo

    results = bench_grpo(
        preset=preset,
        layers=layers or None,
        num_generations=num_generations,
        answer_tokens=answer_tokens,
        prompts=_rising("--prompts", prompts),
        learn_prompts=_rising("--learn-prompts", learn_prompts),
        dtype=dtype,
        device=None if device == "auto" else device,
        repeats=repeats,
        on_progress=lambda line: typer.echo(line, err=True),
    )
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    sizes = results["sizes"]
    typer.echo(
        f"{results['device']}, {dtype}; layers: language {sizes['language_layers']}, sound {sizes['audio_layers']}, "
        f"pictures {sizes['vision_layers']}; {sizes['prompt_tokens']} prompt tokens, {num_generations} answers of "
        f"{answer_tokens} tokens, vocabulary {sizes['vocab_size']}"
    )
    for name, way in results["ways"].items():
        peak = "" if way["peak_bytes"] is None else f"{way['peak_bytes'] / 2**30:8.2f} GiB"
        parts = ", ".join(
            f"{phase} {row['seconds'] / row['prompts']:.2f} s ({row['prompts']} at once)"
            for phase, row in way["phases"].items()
        )
        typer.echo(
            f"{name:<14}{way['seconds_per_prompt']:9.2f} s/prompt{way['operations_per_prompt'] / 1e12:9.3f} Tflop{peak}"
            f"  {parts}"
        )
    for name, value in results.items():
        if isinstance(value, float) and name != "matmul_operations_per_s":
            typer.echo(f"{name:<34}{value:9.3g}")


def _rising(option: str, text: str) -> tuple[int, ...]:
    try:
        counts = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        counts = ()
    if not counts or counts[0] < 1:
        raise ConfigError(f"{option}: found {text!r}, expected numbers from 1 with commas, such as 1,2,4")
    return counts
