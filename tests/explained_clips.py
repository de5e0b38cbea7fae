"""Small clips of every awkward kind, explained by the bundled model once for all tests that look at them."""

import wave
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from r1omni.core.clip import Clip
from r1omni.datasets.manifest import read_manifest
from r1omni.evidence.measure import ClipMeasurer
from r1omni.explain.explanation import Explanation, explain_clip
from r1omni.infer.engine import Engine
from r1omni.infer.predict_files import ASSETS, load_engine
from r1omni.media.encode import write_video

RATE_HZ = 16000


@cache
def bundled_engine() -> Engine:
    return load_engine(None, dtype="float32")


@cache
def measurer() -> ClipMeasurer:
    return ClipMeasurer(read_subtitles=False)


def sample_clip(name: str) -> Clip:
    """One of the package's clips: `angry`, `fear` or `neutral`."""
    (found,) = (clip for clip in read_manifest(ASSETS / "clips" / "manifest.jsonl") if clip.path.stem == name)
    return found


@cache
def explained(kind: str) -> Explanation:
    """A sample clip by its name, or a made one: `silent`, `black`, `faceless`, `sound-only`, `pictures-only`."""
    clip = sample_clip(kind) if kind in ("angry", "fear", "neutral") else made_clip(kind, Path(mkdtemp()))
    return explain_clip(bundled_engine(), measurer().measure, clip)


def made_clip(kind: str, folder: Path, duration_s: float = 1.5, side_px: int = 64) -> Clip:
    """Write a clip of a drifting pattern and a tone, in which something is missing."""
    num_frames, rng = round(duration_s * 8), np.random.default_rng(0)
    frames = np.repeat(rng.integers(60, 200, (1, side_px, side_px, 3), np.uint8), num_frames, axis=0)
    tone = 0.2 * np.sin(2 * np.pi * 180 * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ).astype(np.float32)
    path = folder / f"{kind}.mp4"
    if kind == "sound-only":
        path = path.with_suffix(".wav")
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE_HZ, len(tone), "NONE", ""))
            file.writeframes((tone * 32767).astype("<i2").tobytes())
        return Clip(kind, path)
    sound = {"pictures-only": None, "silent": np.zeros_like(tone)}.get(kind, tone)
    write_video(path, np.zeros_like(frames) if kind == "black" else frames, 8, sound, RATE_HZ)
    return Clip(kind, path)
