"""The bundled model and sample clips, taken from a finished run (`make assets`).

The recipe's files are bundled unchanged, together with the run's scale and seed and a hash of the weights.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from r1omni.cli import boundary
from r1omni.core.errors import ConfigError
from r1omni.datasets.manifest import read_manifest, write_manifest
from r1omni.infer.predict_files import ASSETS, BUNDLED_MODEL
from r1omni.runs.file_hashes import shared_file_hashes
from r1omni.runs.run_folder import read_record

NUM_SAMPLES = 3
"""Bundled clips, each of another emotion."""


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog="Example: python scripts/bundle_assets.py runs/reproduce")
def main(run: Annotated[Path, typer.Argument(help="The folder of a finished `r1omni reproduce`.")]) -> None:
    """Copy the model and sample clips of a finished run into the package."""
    bundle(run)


def bundle(run: Path) -> None:
    """Copy the RLVR model of a finished run, and the first test clips of three emotions, into the package.

    Args:
        run: the folder of `r1omni reproduce`.

    Raises:
        ConfigError: the folder holds no finished run.
    """
    model = run / "stages" / "r1-omni" / "model"
    if not model.is_dir():
        raise ConfigError(f"{model} does not exist; name the folder of a finished `r1omni reproduce`.")
    shutil.rmtree(BUNDLED_MODEL, ignore_errors=True)
    shutil.copytree(model, BUNDLED_MODEL)
    made = read_record(run)["identity"]
    made_by = {
        "command": f"r1omni reproduce --scale {made['settings.scale']} --seed {made['seed']}",
        "seed": made["seed"],
        "weights_sha256": shared_file_hashes().sha256(model / "model.safetensors"),
    }
    (BUNDLED_MODEL / "made_by.json").write_text(json.dumps(made_by, indent=1) + "\n")
    folder = ASSETS / "clips"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = {}
    for clip in read_manifest(run / "corpora" / "dfew-like" / "manifest.jsonl"):
        if clip.split == "test" and clip.label not in chosen and len(chosen) < NUM_SAMPLES:
            chosen[clip.label] = clip
            shutil.copyfile(clip.path, folder / f"{clip.label}.mp4")
    write_manifest(
        folder / "manifest.jsonl", [replace(clip, path=folder / f"{clip.label}.mp4") for clip in chosen.values()]
    )


if __name__ == "__main__":
    boundary.run(app)
