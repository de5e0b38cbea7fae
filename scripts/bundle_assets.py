"""The bundled model and sample clips, taken from a finished run (`make assets`).

What is bundled is what the recipe made, unchanged, with the run's scale, seed and the weights' hash beside it.
"""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from r1omni.datasets.manifest import read_manifest, write_manifest
from r1omni.infer.predict_files import ASSETS, BUNDLED_MODEL
from r1omni.reproduce.recipe import weights_sha256

SAMPLES = 3


def bundle(run: Path) -> None:
    """Copy the RLVR model of a finished run, and the first test clips of three emotions, into the package.

    Args:
        run: the folder of `r1omni reproduce`.
    """
    model = run / "stages" / "r1-omni" / "model"
    shutil.rmtree(BUNDLED_MODEL, ignore_errors=True)
    shutil.copytree(model, BUNDLED_MODEL)
    settings = json.loads((run / "settings.json").read_text())
    made_by = {
        "command": f"r1omni reproduce --scale {settings['settings']['scale']} --seed {settings['seed']}",
        "seed": settings["seed"],
        "weights_sha256": weights_sha256(model),
    }
    (BUNDLED_MODEL / "made_by.json").write_text(json.dumps(made_by, indent=1) + "\n")
    folder = ASSETS / "clips"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = {}
    for clip in read_manifest(run / "corpora" / "dfew-like" / "manifest.jsonl"):
        if clip.split == "test" and clip.label not in chosen and len(chosen) < SAMPLES:
            chosen[clip.label] = clip
            shutil.copyfile(clip.path, folder / f"{clip.label}.mp4")
    write_manifest(
        folder / "manifest.jsonl", [replace(clip, path=folder / f"{clip.label}.mp4") for clip in chosen.values()]
    )


if __name__ == "__main__":
    bundle(Path(sys.argv[1]))
