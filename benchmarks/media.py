"""How fast clips are read, compared with the readers that others use.

Each reader runs in a process of its own, so that its peak memory is its own. The clip is generated: moving texture at
25 frames a second with 44.1 kHz stereo sound. Readers that are not installed are left out.
"""

import importlib.util
import json as jsonlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import typer

from alone import run_alone
from options import Json, new_app
from r1omni.cli import boundary
from r1omni.media.decode import load_media
from r1omni.media.sample import sample_frame_indices

HEARD_S = 30.0
"""How much of a clip's sound the published models use: Whisper's window."""

_FPS, _SOUND_RATE_HZ, _NUM_FRAMES = 25, 44100, 8

app = new_app()


@app.command(epilog="Example: python benchmarks/media.py --repeats 10")
def main(
    clip_seconds: Annotated[float, typer.Option(min=0.5, help="Length of the generated clip, in seconds.")] = 5.0,
    repeats: Annotated[int, typer.Option(min=1, help="Timed readings per reader.")] = 20,
    json: Json = False,
) -> None:
    """Read a generated clip with every reader that is installed."""
    results = measure_readers(clip_seconds=clip_seconds, repeats=repeats)
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for name, row in results["readers"].items():
        memory = "" if row["peak_memory_mib"] is None else f"{row['peak_memory_mib']:8.0f} MiB"
        sound = "" if row["reads_sound"] else "  pictures only"
        typer.echo(f"{name:<12}{row['clips_per_s']:8.1f} clips/s{1000 * row['median_s']:9.1f} ms{memory}{sound}")
    for mine, shares in results["time_share"].items():
        listed = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())
        typer.echo(f"CPU time of {mine}: {listed}")


def measure_readers(
    clip_seconds: float = 5, size: tuple[int, int] = (640, 360), repeats: int = 20
) -> dict[str, dict[str, Any]]:
    """Time each installed reader on one generated clip.

    Args:
        clip_seconds: length of the clip.
        size: width and height in pixels, even.
        repeats: timed readings; an untimed one comes first.

    Returns:
        `readers`: reader -> `clips_per_s`, `median_s`, `median_cpu_s`, `peak_memory_mib` (of the whole process; None
        off Linux) and `reads_sound`. `ours` reads 8 frames and all sound at 16 kHz mono, `ours-heard` only as much
        sound as the published models use; `full-decode` decodes every frame and all sound with the same library and
        keeps nothing. `time_share`: CPU time of `ours` and `ours-heard` over that of each other reader.
    """
    installed = [name for name in READERS if name in _BUILT_IN or importlib.util.find_spec(name)]
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _make_clip(clip, clip_seconds, size)
        readers = {name: run_alone(_measure, name, str(clip), repeats) for name in installed}
    others = [name for name in installed if not name.startswith("ours")]
    shares = {
        mine: {name: readers[mine]["median_cpu_s"] / readers[name]["median_cpu_s"] for name in others}
        for mine in ("ours", "ours-heard")
    }
    return {"readers": readers, "time_share": shares}


def _measure(name: str, clip: str, repeats: int) -> dict[str, Any]:
    read, reads_sound = READERS[name]
    read(clip)
    times_s, cpu_s = [], []
    for _ in range(repeats):
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        read(clip)
        times_s.append(time.perf_counter() - start_s)
        cpu_s.append(time.process_time() - cpu_start_s)
    return {
        "clips_per_s": repeats / sum(times_s),
        "median_s": float(np.median(times_s)),
        "median_cpu_s": float(np.median(cpu_s)),
        "peak_memory_mib": _peak_memory_mib(),
        "reads_sound": reads_sound,
    }


def _peak_memory_mib() -> float | None:
    """Read this process's own peak from /proc; getrusage would include the parent's."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _make_clip(path: Path, clip_seconds: float, size: tuple[int, int]) -> None:
    width, height = size
    rng = np.random.default_rng(0)
    texture = np.repeat(np.repeat(rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8), 8, 0), 8, 1)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        pictures = container.add_stream("libx264", rate=_FPS, options={"preset": "veryfast"})
        pictures.width, pictures.height, pictures.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=_SOUND_RATE_HZ, layout="stereo")
        for index in range(round(clip_seconds * _FPS)):
            y, x = (int(room / 2 * (1 + np.sin(index / 15 + room))) for room in (height // 2, width // 2))
            noise = rng.integers(-6, 7, (height, width, 1))
            frame = np.clip(texture[y : y + height, x : x + width] // 2 + 60 + noise, 0, 255).astype(np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(pictures.encode(None))
        waveform = 0.1 * rng.standard_normal((2, round(clip_seconds * _SOUND_RATE_HZ)))
        chunk = av.AudioFrame.from_ndarray(waveform.astype(np.float32), format="fltp", layout="stereo")
        chunk.sample_rate, chunk.pts = _SOUND_RATE_HZ, 0
        container.mux(sound.encode(chunk))
        container.mux(sound.encode(None))


def _read_ours(clip: str) -> None:
    load_media(clip, num_frames=_NUM_FRAMES)


def _read_as_heard(clip: str) -> None:
    load_media(clip, num_frames=_NUM_FRAMES, max_sound_s=HEARD_S)


def _read_fully(clip: str) -> None:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16000)
    with av.open(clip) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode():
            if isinstance(frame, av.AudioFrame):
                resampler.resample(frame)


def _read_with_decord(clip: str) -> None:
    decord: Any = importlib.import_module("decord")
    reader = decord.VideoReader(clip, num_threads=1)
    reader.get_batch(sample_frame_indices(len(reader), _NUM_FRAMES)).asnumpy()
    decord.AudioReader(clip, sample_rate=16000, mono=True)[:].asnumpy()


def _read_with_cv2(clip: str) -> None:
    cv2: Any = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(clip)
    wanted = set(sample_frame_indices(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), _NUM_FRAMES))
    for index in range(max(wanted) + 1):
        capture.grab()
        if index in wanted:
            capture.retrieve()


READERS: dict[str, tuple[Callable[[str], None], bool]] = {
    "ours": (_read_ours, True),
    "ours-heard": (_read_as_heard, True),
    "full-decode": (_read_fully, True),
    "decord": (_read_with_decord, True),
    "cv2": (_read_with_cv2, False),
}
"""Reader -> its function, and whether it reads sound as well."""
_BUILT_IN = ("ours", "ours-heard", "full-decode")

if __name__ == "__main__":
    boundary.run(app)
