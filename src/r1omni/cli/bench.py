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


@app.command(epilog="Example: r1omni bench grpo --tower-layers 2 --language-layers 2 --json")
def grpo(
    preset: Annotated[Literal["tiny", "0.5b", "7b"], typer.Option(help="Sizes of the model.")] = "0.5b",
    tower_layers: Annotated[int, typer.Option(min=0, help="Layers of each tower; 0 takes all.")] = 2,
    language_layers: Annotated[int, typer.Option(min=0, help="Layers of the language model; 0 takes all.")] = 2,
    vocab_size: Annotated[int, typer.Option(min=0, help="Entries of the vocabulary; 0 takes all.")] = 32768,
    num_generations: Annotated[int, typer.Option(min=2, help="Answers per prompt.")] = 8,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Tokens of every answer.")] = 128,
    prompts: Annotated[
        str, typer.Option(help="Prompts per step to try, with commas; each way reports its best.")
    ] = "1,2",
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Number format.")] = "float32",
    repeats: Annotated[int, typer.Option(min=1, help="Times each is measured; the fastest counts.")] = 1,
    json: Json = False,
) -> None:
    """Time a GRPO step the plain way, with the towers once, and in this engine."""
    from r1omni.train.bench import bench_grpo

    try:
        counts = tuple(int(word) for word in prompts.split(","))
    except ValueError:
        raise ConfigError(f"--prompts: found {prompts!r}, expected numbers with commas, such as 1,2,4") from None
    results = bench_grpo(
        preset=preset,
        tower_layers=tower_layers or None,
        language_layers=language_layers or None,
        vocab_size=vocab_size or None,
        num_generations=num_generations,
        answer_tokens=answer_tokens,
        prompts=counts,
        dtype=dtype,
        repeats=repeats,
        on_progress=lambda line: typer.echo(line, err=True),
    )
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for name, row in results["ways"].items():
        peak_gib = row["peak_bytes"] / 2**30
        typer.echo(
            f"{name:<14}{row['seconds_per_prompt']:9.2f} s/prompt{row['operations_per_prompt'] / 1e12:9.3f} Tflop"
            f"{peak_gib:8.2f} GiB at {row['prompts_per_step']} prompts per step"
        )
    for name in ("speedup_vs_plain", "speedup_vs_encode_once", "peak_memory_ratio", "matmul_fraction"):
        typer.echo(f"{name:<24}{results[name]:8.2f}")
