"""What measuring a clip costs: CPU seconds per second of clip on one core, by part, and peak memory.

Without clips, one is generated: a bundled drawn person who speaks, 640 x 360 at 25 frames a second with noise, so that
every part has something to find. Each part runs in a process of its own, nets loaded before the clock starts.
"""

import json as jsonlib
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from alone import run_alone
from options import Json, new_app
from r1omni.cli import boundary
from r1omni.core.clip import Clip, Modality
from r1omni.evidence.measure import ClipMeasurer
from r1omni.media.decode import load_media
from r1omni.media.encode import write_video

PARTS: dict[str, tuple[Modality, bool]] = {
    "sound": ("audio", False),
    "faces": ("video", False),
    "sound and faces": ("auto", False),
    "with subtitles": ("auto", True),
}
"""Part -> what is read, and whether subtitles are looked for."""

_FPS, _SIZE = 25, (640, 360)

app = new_app()


@app.command(epilog="Example: python benchmarks/evidence.py --clip-seconds 60")
def main(
    clips: Annotated[list[Path] | None, typer.Argument(help="Clips; none generates one.")] = None,
    clip_seconds: Annotated[float, typer.Option(min=2.0, help="Length of the generated clip, in seconds.")] = 20.0,
    json: Json = False,
) -> None:
    """Measure the evidence of clips, part by part."""
    results = measure_parts(clips or [], clip_seconds)
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for row in results:
        typer.echo(
            f"{row['part']:<16}{row['cpu_s'] / row['clip_s']:8.3f} CPU s per s of clip"
            f"{row['peak_memory_mib']:8.0f} MiB  {row['items']:3d} items  {row['clip_s']:7.1f} s  {row['clip']}"
        )


def measure_parts(clips: list[Path], clip_seconds: float, parts: Sequence[str] = tuple(PARTS)) -> list[dict[str, Any]]:
    """Measure each clip by each part.

    Args:
        clips: files with pictures and sound; empty generates one.
        clip_seconds: length of the generated clip.
        parts: keys of `PARTS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        if not clips:
            clips = [Path(folder) / "made.mp4"]
            make_clip(clips[0], clip_seconds)
        return [run_alone(_measure, part, str(clip)) for clip in clips for part in parts]


def _measure(part: str, path: str) -> dict[str, Any]:
    modality, reads_subtitles = PARTS[part]
    measurer = ClipMeasurer(read_subtitles=reads_subtitles)
    started_s = time.process_time()
    evidence = measurer.measure(Clip("clip", Path(path)), modality).evidence
    return {
        "part": part,
        "clip": Path(path).name,
        "clip_s": evidence.duration_s,
        "cpu_s": time.process_time() - started_s,
        "items": len(evidence.items),
        "peak_memory_mib": int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024,
    }


def make_clip(path: Path, clip_seconds: float) -> None:
    """Write a clip of a bundled drawn person who speaks, 640 x 360 at 25 frames a second with noise.

    Args:
        path: an mp4 file.
        clip_seconds: its length.
    """
    media = load_media(Path(str(files("r1omni"))) / "assets" / "clips" / "neutral.mp4", num_frames=48)
    assert media.frames is not None and media.waveform is not None
    side = _SIZE[1]
    people = [np.asarray(Image.fromarray(frame).resize((side, side))) for frame in media.frames]
    rng = np.random.default_rng(0)
    frames = np.full((round(clip_seconds * _FPS), side, _SIZE[0], 3), 110, np.uint8)
    frames[:, :, (_SIZE[0] - side) // 2 : (_SIZE[0] + side) // 2] = np.resize(people, (len(frames), side, side, 3))
    for frame in frames:
        frame[:] = np.clip(frame + rng.integers(-6, 7, (side, _SIZE[0], 1)), 0, 255)
    sound = np.resize(media.waveform, round(clip_seconds * media.sample_rate_hz))
    write_video(path, frames, _FPS, sound, media.sample_rate_hz)


if __name__ == "__main__":
    boundary.run(app)
