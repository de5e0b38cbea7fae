"""Damaged clips through the server's decoding workers: no crash of the server's side, no hang, memory within its limit.

    python scripts/fuzz_decoding.py --count 10000 --seed 0

Eight small seeds (mp4, webm, mkv, wav, mp3, gif, heic, jpg) are truncated, emptied, overwritten, spliced with each
other, and given absurd numbers in their headers. Each file must end as arrays or as an error with a sentence. Workers
that die or reach their limit of time are replaced and counted: the operating system keeps the rest of the server out
of it.
"""

import argparse
import io
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from PIL import Image

from r1omni.config.serving import ClipLimits
from r1omni.core.errors import MediaError
from r1omni.infer.predict_files import ASSETS
from r1omni.serve.decode_pool import DecodePool, Reading

READING = Reading(num_frames=8, sample_rate_hz=16000, max_sound_s=30.0)
LIMITS = ClipLimits(decoding_s=5.0, decoding_bytes=2**30)
ABSURD = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers that sizes, counts and dimensions are replaced by."""


@dataclass
class Outcome:
    """What became of all files."""

    files: int = 0
    read: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """By kind; `lost` is a worker that died, `late` one that reached its time."""
    by_format: Counter[str] = field(default_factory=Counter)
    """Files of each seed."""
    worst_s: float = 0.0
    """Longest time of one file, waiting for a worker left out."""
    peak_bytes: int = 0
    """Largest resident memory of a worker."""
    replaced: int = 0
    """Workers that were replaced."""
    lost: list[str] = field(default_factory=list)
    """Kind and number of the files that workers died of; `files` gives them again."""


def seeds() -> dict[str, bytes]:
    """Make a small clip of each kind."""
    made = {"mp4": (ASSETS / "clips" / "angry.mp4").read_bytes()}
    made["webm"] = _encode("webm", "libvpx", "libopus")
    made["mkv"] = _encode("matroska", "mpeg4", "aac")
    made["mp3"] = _encode("mp3", None, "libmp3lame")
    made["wav"] = _encode("wav", None, "pcm_s16le")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    moving = [picture.rotate(angle) for angle in range(0, 360, 40)]
    made["gif"] = _save(moving[0], "GIF", save_all=True, append_images=moving[1:], duration=80)
    made["jpg"] = _save(picture, "JPEG")
    try:
        import pillow_heif
    except ModuleNotFoundError:
        return made
    pillow_heif.register_heif_opener()
    return {**made, "heic": _save(picture, "HEIF")}


def damage(content: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Return a damaged copy of a file.

    Args:
        content: the file.
        others: files that pieces may come from.
        draw: makes the choices.
    """
    made = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        if not made:
            break
        place = draw.randrange(len(made))
        # Half of the damage is where headers are.
        place = draw.randrange(min(len(made), 400)) if draw.random() < 0.5 else place
        match draw.randrange(8):
            case 0:
                del made[place:]
            case 1:
                made[place] ^= 1 << draw.randrange(8)
            case 2:
                made[place : place + draw.randrange(1, 64)] = draw.randbytes(draw.randrange(1, 64))
            case 3:
                width, order = draw.choice((1, 2, 4, 8)), draw.choice(("big", "little"))
                number = draw.choice(ABSURD) & ((1 << 8 * width) - 1)
                made[place : place + width] = number.to_bytes(width, order)
            case 4:
                del made[place : place + draw.randrange(1, 512)]
            case 5:
                made[place:place] = made[place : place + draw.randrange(1, 4096)] * draw.choice((1, 2, 50))
            case 6:
                other = draw.choice(others)
                start = draw.randrange(len(other))
                made[place:place] = other[start : start + draw.randrange(1, 4096)]
            case _:
                made[place:place] = bytes(draw.randrange(1, 4096))
    return bytes(made) if draw.random() > 0.002 else b""


def files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged files with the name of their seed.

    Args:
        count: how many.
        seed: the same one gives the same files.
    """
    originals = seeds()
    names, contents = list(originals), list(originals.values())
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        name = names[number % len(names)]
        yield name, damage(originals[name], contents, draw)


def fuzz(count: int, seed: int, num_workers: int = 2) -> Outcome:
    """Decode damaged files.

    Args:
        count: how many.
        seed: of the damage.
        num_workers: decoding processes.
    """
    outcome = Outcome()
    pool = DecodePool(LIMITS, num_workers)

    def decode(number: int, name: str, content: bytes) -> None:
        started_s = time.monotonic()
        kind = "read"
        try:
            pool.decode(content, READING)
        except MediaError as error:
            kind = error.kind
            if "ended its process" in str(error):
                kind = "lost"
                outcome.lost.append(f"{name} {number}")
            if "took longer" in str(error):
                kind = "late"
        outcome.files += 1
        outcome.read += kind == "read"
        outcome.errors[kind] += kind != "read"
        outcome.by_format[name] += 1
        outcome.worst_s = max(outcome.worst_s, time.monotonic() - started_s)
        outcome.peak_bytes = max(outcome.peak_bytes, *(_peak(pid) for pid in pool.pids), 0)

    with ThreadPoolExecutor(num_workers) as threads:
        waiting = []
        for number, (name, content) in enumerate(files(count, seed)):
            waiting.append(threads.submit(decode, number, name, content))
            if len(waiting) >= 4 * num_workers:
                waiting.pop(0).result()
        for future in waiting:
            future.result()
    outcome.replaced = pool.num_replaced
    outcome.errors = +outcome.errors
    pool.close()
    return outcome


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024


def _save(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _encode(container: str, pictures_codec: str | None, sound_codec: str) -> bytes:
    """Write a second of pictures and sound."""
    buffer, draw = io.BytesIO(), np.random.default_rng(0)
    with av.open(buffer, "w", format=container) as out:
        shown = None if pictures_codec is None else out.add_stream(pictures_codec, rate=10)
        heard = out.add_stream(sound_codec, rate=48000)
        assert isinstance(heard, av.AudioStream)
        heard.codec_context.layout = "mono"
        if isinstance(shown, av.VideoStream):
            shown.width, shown.height, shown.pix_fmt = 64, 48, "yuv420p"
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(draw.integers(0, 255, (48, 64, 3), dtype=np.uint8), format="rgb24")
                out.mux(shown.encode(frame))
            out.mux(shown.encode(None))
        wave = (0.3 * np.sin(np.arange(48000) * 0.05)).astype(np.float32)[None]
        sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        sound.sample_rate, sound.pts = 48000, 0
        resampler = av.AudioResampler(heard.codec_context.format, "mono", 48000, heard.codec_context.frame_size or None)
        for part in [*resampler.resample(sound), *resampler.resample(None)]:
            out.mux(heard.encode(part))
        out.mux(heard.encode(None))
    return buffer.getvalue()


def main() -> int:
    """Run it; the exit code is 1 where a limit did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    outcome = fuzz(arguments.count, arguments.seed, arguments.workers)
    print(json.dumps(vars(outcome), indent=2))
    holds = outcome.worst_s < LIMITS.decoding_s + 5 and outcome.peak_bytes <= LIMITS.decoding_bytes
    return int(outcome.files != arguments.count or not holds)


if __name__ == "__main__":
    sys.exit(main())
