"""What the feature cache holds and costs: bytes of a clip, hits of shuffled passes, seconds of a hit, a long stream."""

import json as jsonlib
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from alone import run_alone
from options import Json, new_app
from r1omni.cli import boundary
from r1omni.core.clip import Clip
from r1omni.core.media_read import NOTHING_READ, MediaRead
from r1omni.infer.encoder import Encoder
from r1omni.infer.feature_cache import DEFAULT_CACHE_BYTES, FeatureCache
from r1omni.infer.predict_files import BUNDLED_MODEL
from r1omni.media.decode import Modality
from r1omni.media.encode import write_video
from r1omni.model.load_model import load_model
from r1omni.model.presets import preset_config
from r1omni.runs.file_hashes import SETTLED_AFTER_S, FileHashes

PAPER_CLIPS = 16_689
"""Clips of the paper's RLVR training set."""

app = new_app()


@app.command(epilog="Example: python benchmarks/features.py --megabytes 200 --json")
def main(
    megabytes: Annotated[int, typer.Option(min=1, help="Size of the video file whose hit is timed.")] = 500,
    json: Json = False,
) -> None:
    """Measure the feature cache and the stream of features."""
    results = {
        "sizes": {f"{preset} {name}": row for preset, name, row in sizes()},
        "hits_of_shuffled_passes": {str(share): hit_rates(share) for share in (2.0, 5.73)},
        "hit": run_alone(_time_hit, megabytes),
        "stream": {str(count): run_alone(_stream, count) for count in (100, 10_000)},
    }
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for name, row in results["sizes"].items():
        typer.echo(f"{name:<16}{row['bytes_per_clip']:>12,} bytes a clip{row['clips_in_default']:>8,} in 20 GiB")
    for share, rates in results["hits_of_shuffled_passes"].items():
        typer.echo(f"set {share} times the cache: hits by pass {', '.join(f'{rate:.1%}' for rate in rates)}")
    typer.echo(jsonlib.dumps({name: results[name] for name in ("hit", "stream")}, indent=2))


def sizes() -> Iterator[tuple[str, str, dict[str, int]]]:
    """Yield preset, number format, bytes of a clip, and the paper's clips that the default cache holds of it."""
    for preset in ("0.5b", "7b"):
        config = preset_config(preset)
        vision, audio = config.vision, config.audio
        numbers = config.num_frames * config.grid_patches**2 * vision.hidden_size + config.audio_tokens * audio.d_model
        for name, itemsize in (("fp32", 4), ("bf16", 2)):
            num_bytes = numbers * itemsize
            fitting = min(PAPER_CLIPS, DEFAULT_CACHE_BYTES // num_bytes)
            yield preset, name, {"bytes_per_clip": num_bytes, "clips_in_default": fitting}


def hit_rates(share: float, num_clips: int = 1000, passes: int = 4) -> list[float]:
    """Hits of shuffled passes over a set so many times as large as the cache, each pass after the first."""
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(folder, round(num_clips / share) * (400 + 187))  # the numbers; header and record
        for seed in range(passes + 1):
            order, hits = list(range(num_clips)), 0
            random.Random(seed).shuffle(order)
            for number in order:
                key = f"{number % 256:02x}{number:062d}"
                if cache.get(key) is not None:
                    hits += 1
                else:
                    cache.put(key, torch.zeros(100))
            rates.append(hits / num_clips)
    return rates[1:]


def _time_hit(megabytes: int) -> dict[str, float]:
    """Seconds to find a clip's features, with its file's hash remembered and with the file read again."""
    torch.set_num_threads(1)
    model, processor = load_model(str(BUNDLED_MODEL), dtype=torch.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "clip.mp4"
        write_video(path, np.zeros((25, 96, 96, 3), np.uint8), 25, np.zeros(16000, np.float32))
        with path.open("ab") as file:  # a box that players pass over
            padding = megabytes * 10**6
            file.write(padding.to_bytes(4, "big") + b"free" + bytes(padding - 8))
        time.sleep(SETTLED_AFTER_S + 0.5)
        clip, seconds = Clip("clip", path), {}

        def encoder(hashes: FileHashes) -> Encoder:
            cache = FeatureCache(folder / "cache")
            return Encoder(model, processor, cache=cache, num_frames=processor.num_frames, hashes=hashes)

        list(encoder(FileHashes(folder)).stream([clip]))
        for label, hashes in (("remembered_s", FileHashes(folder)), ("read_again_s", FileHashes(None))):
            made = encoder(hashes)
            list(made.stream([Clip("none", folder / "none.mp4")]))  # fingerprints of the towers are not the file's
            times = []
            for _ in range(1 if label == "read_again_s" else 5):
                started = time.perf_counter()
                list(made.stream([clip]))
                times.append(time.perf_counter() - started)
            seconds[label] = sorted(times)[len(times) // 2]
    return seconds


class _MadeUpInputs(Encoder):
    """Decodes nothing, so that ten thousand clips cost seconds."""

    def load_inputs(self, clip: Clip, modality: Modality) -> tuple[Mapping[str, Tensor], MediaRead]:
        size = self.model.config.vision.image_size
        return {"pixel_values": torch.full((1, 3, size, size), float(clip.id))}, NOTHING_READ


def _stream(count: int) -> dict[str, Any]:
    """Clips under way, and the process's peak memory, while so many are streamed."""
    torch.set_num_threads(1)
    model, processor = load_model(str(BUNDLED_MODEL), dtype=torch.float32)
    encoder = _MadeUpInputs(model, processor)
    taken = delivered = most = 0

    def clips() -> Iterator[Clip]:
        nonlocal taken
        for number in range(count):
            taken += 1
            yield Clip(str(number), Path("made-up"))

    started = time.perf_counter()
    for _ in encoder.stream(clips()):
        most = max(most, taken - delivered)
        delivered += 1
    return {
        "most_clips_under_way": most,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seconds": time.perf_counter() - started,
    }


if __name__ == "__main__":
    boundary.run(app)
