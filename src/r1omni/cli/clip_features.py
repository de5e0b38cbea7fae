"""`r1omni features`: manifests -> features in the cache, for training and evaluation to find."""

from pathlib import Path
from typing import Annotated

import typer

from r1omni.cli.options import ClusterOption, DtypeOption, EngineOption, ModalityOption, cluster_section, meaning
from r1omni.cli.progress import hide_loading_bars, show_progress
from r1omni.config.feature_run import FeatureConfig
from r1omni.config.sections import EngineSection, Precision
from r1omni.core.json_text import json_text

EXAMPLE = "r1omni features --model models/humanomni-0.5b --data dfew.jsonl --engine ray"


def features(
    model: Annotated[str, typer.Option(help=meaning(FeatureConfig, "model"), show_default=False)],
    data: Annotated[list[Path], typer.Option(help="A manifest; repeatable.", show_default=False)],
    modality: ModalityOption = "auto",
    num_frames: Annotated[
        int | None, typer.Option(min=1, help=meaning(EngineSection, "num_frames"), show_default=False)
    ] = None,
    dtype: DtypeOption = "float32",
    mixed_precision: Annotated[Precision, typer.Option(help=meaning(FeatureConfig, "mixed_precision"))] = "no",
    batch_size: Annotated[int, typer.Option(min=1, help="Clips per batch.")] = 32,
    cache_dir: Annotated[
        Path | None, typer.Option(help=meaning(EngineSection, "cache_dir"), show_default=False)
    ] = None,
    cache_bytes: Annotated[int, typer.Option(min=1, help=meaning(EngineSection, "cache_bytes"))] = 20 * 2**30,
    engine: EngineOption = "local",
    cluster: ClusterOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Run the towers over every clip of manifests once, and keep the features in the cache.

    Training always reads its model in float32, the default here; predict and evaluate take --dtype auto. Start the same
    command again after a kill: what is in the cache passes no tower again.
    """
    run = FeatureConfig(
        model=model,
        data=tuple(data),
        mixed_precision=mixed_precision,
        runner=engine,
        cluster=cluster_section(cluster),
        engine=EngineSection(
            batch_size=batch_size,
            modality=modality,
            num_frames=num_frames,
            cache_dir=cache_dir,
            cache_bytes=cache_bytes,
        ),
    )
    import torch

    from r1omni.infer.engine import Engine, build_engine
    from r1omni.model.load_model import load_model
    from r1omni.scale.feature_pass import features_here, keep_features
    from r1omni.scale.ray_jobs import features_on_ray

    def load() -> Engine:
        hide_loading_bars()
        built = build_engine(*load_model(model, dtype=dtype, device="auto"), run.engine)
        if run.mixed_precision == "bf16":
            built.encoder.dtype = torch.bfloat16
        return built

    with show_progress() as report:

        def on_progress(num_done: int, num_clips: int) -> None:
            report("features", num_done / num_clips, f"{num_done:,} of {num_clips:,} clips")

        encode = (lambda clips: features_on_ray(run, load, clips)) if engine == "ray" else features_here(load())
        counts = keep_features(run, encode, on_progress)
    if json:
        typer.echo(json_text(counts, indent=2))
        return
    failures = ", ".join(f"{count:,} {kind}" for kind, count in counts["failures"].items()) or "none"
    typer.echo(f"{counts['num_clips']:,} clips; failed: {failures}.")
