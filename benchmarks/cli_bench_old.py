"""`r1omni bench`: what this machine does with the parts that take the time."""

import json as jsonlib
from typing import Annotated, Any, Literal

import typer

from r1omni.cli.options import DtypeOption
from r1omni.core.errors import ConfigError

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]

Preset = Annotated[Literal["tiny", "0.5b", "7b"], typer.Option(help="Sizes of the model.")]
Layers = Annotated[
    int,
    typer.Option(min=0, help="Layers of the language model, the other parts cut to the same share; 0 takes all."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where it runs; auto takes CUDA where there is one.")
]


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
    from benchmarks.media import bench_media

    results = bench_media(clip_seconds=clip_seconds, repeats=repeats)
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for name, row in results["readers"].items():
        memory = "" if row["peak_memory_mib"] is None else f"{row['peak_memory_mib']:8.0f} MiB"
        sound = "" if row["reads_sound"] else "  pictures only"
        typer.echo(f"{name:<12}{row['clips_per_s']:8.1f} clips/s{1000 * row['median_s']:9.1f} ms{memory}{sound}")
    for mine, shares in results["time_share"].items():
        told = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())
        typer.echo(f"CPU time of {mine}: {told}")


@app.command(epilog="Example: r1omni bench infer --batch-sizes 1 --dtype float32")
def infer(
    preset: Preset = "0.5b",
    layers: Layers = 0,
    batch_sizes: Annotated[str, typer.Option(help="Clips answered together, with commas.")] = "1,4,8,16,32",
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens of every answer.")] = 120,
    official_clips: Annotated[
        int, typer.Option(min=0, help="Clips answered one per call, as the official script does; 0 leaves it out.")
    ] = 2,
    dtype: DtypeOption = "auto",
    device: Device = "auto",
    compare: Annotated[
        bool, typer.Option(help="Where auto takes bfloat16 on a CPU, measure one clip in float32 as well.")
    ] = True,
    json: Json = False,
) -> None:
    """Time answers phase by phase, in batches and one clip per call, at full size on random weights.

    At full size and all batches a CPU takes many minutes; --layers 3 gives the ratios in a few.
    """
    from benchmarks.answering import Work, bench_infer

    results = bench_infer(
        Work(
            preset=preset,
            layers=layers or None,
            batch_sizes=_rising("--batch-sizes", batch_sizes),
            new_tokens=new_tokens,
            official_clips=official_clips,
            dtype=dtype,
            device=None if device == "auto" else device,
        ),
        compare=compare and dtype == "auto",
        on_progress=lambda line: typer.echo(line, err=True),
    )
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    _show_infer(results)


def _show_infer(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

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


@app.command(epilog="Example: r1omni bench grpo --layers 3 --json")
def grpo(
    preset: Preset = "0.5b",
    layers: Layers = 2,
    num_generations: Annotated[int, typer.Option(min=2, help="Answers per prompt.")] = 8,
    answer_tokens: Annotated[int, typer.Option(min=2, help="Tokens of every answer.")] = 128,
    prompts: Annotated[
        str, typer.Option(help="Prompts encoded and sampled together, with commas: tried while it gets faster.")
    ] = "1,2,4,8",
    learn_prompts: Annotated[str, typer.Option(help="Prompts scored together, likewise.")] = "1",
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Number format.")] = "float32",
    device: Device = "auto",
    repeats: Annotated[int, typer.Option(min=1, help="Times each is measured; the fastest counts.")] = 1,
    json: Json = False,
) -> None:
    """Time a GRPO step the plain way, with the towers once, and in this engine."""
    from benchmarks.grpo import bench_grpo

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
