"""`r1omni synth`: synthetic corpora."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from r1omni.cli.progress import show_progress

EXAMPLE = "r1omni synth dfew-like --out corpora/dfew-like --clips 200 --seed 1"


Corpus = Literal[
    "dfew-like",
    "mafw-like",
    "ravdess-like",
    "emer-like",
    "humanomni-like",
    "dfew-like-swapped",
    "dfew-like-unbiased",
    "dfew-like-in-pictures",
    "dfew-like-in-sound",
]


def synth(
    corpus: Annotated[Corpus, typer.Argument(help="The corpus to generate.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the corpus: clips and manifest.jsonl.", show_default=False)],
    clips: Annotated[int, typer.Option(min=1, help="Number of clips over all splits.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seeds the world; the same seed gives the same files.")] = 0,
) -> None:
    """Generate a corpus of drawn people who speak.

    The clips are real mp4 files; the ground truth of each is in the manifest's `meta`.
    """
    from r1omni.synth.corpus import make_corpus

    with show_progress() as report:
        make_corpus(corpus, out, clips, seed, on_clip=lambda done: report(corpus, done / clips))
    typer.echo(out / "manifest.jsonl")
