"""Clips from strangers: limits before and while decoding, and what a decoding process can no longer do."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuzz_decoding import fuzz
from r1omni.config.serving import ClipLimits
from r1omni.core.errors import BusyError, MediaError
from r1omni.infer.predict_files import ASSETS
from r1omni.media.decode import load_media
from r1omni.media.encode import write_video
from r1omni.serve.decode_pool import DecodePool, Reading

READING = Reading(num_frames=4, sample_rate_hz=16000, max_sound_s=30.0)
LIMITS = ClipLimits(
    max_bytes=200_000, max_duration_s=3.0, max_pixels=20_000, max_frames=80, max_streams=2, decoding_s=10.0
)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    made = DecodePool(LIMITS, num_workers=2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def clip() -> bytes:
    return (ASSETS / "clips" / "angry.mp4").read_bytes()


def video(path: Path, num_frames: int = 10, size: int = 32, rate_fps: float = 25.0) -> bytes:
    write_video(path, np.zeros((num_frames, size, size, 3), np.uint8), rate_fps)
    return path.read_bytes()


def test_a_worker_reads_what_load_media_reads(pool: DecodePool, clip: bytes):
    ours = pool.decode(clip, READING)
    theirs = load_media(ASSETS / "clips" / "angry.mp4", num_frames=4, max_sound_s=30.0)
    assert np.array_equal(ours.frames, theirs.frames) and np.array_equal(ours.waveform, theirs.waveform)
    assert ours.read == theirs.read


def test_a_worker_keeps_nothing_of_the_clips_it_decoded(clip: bytes):
    pool = DecodePool(LIMITS, num_workers=1)
    try:
        for _ in range(40):
            assert pool.decode(clip, READING).frames is not None
        (pid,) = pool.pids
        # A decoder that is kept keeps threads.
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) < 8
        assert pool.num_replaced == 0
    finally:
        pool.close()


def test_each_limit_is_an_error_that_names_it(pool: DecodePool, tmp_path: Path):
    cases = {
        "bytes": b"x" * 200_001,
        "seconds": video(tmp_path / "long.mp4", num_frames=8, rate_fps=1.0),
        "pixels": video(tmp_path / "large.mp4", size=160),
        "pictures": video(tmp_path / "many.mp4", num_frames=90, rate_fps=60.0),
    }
    Image.new("RGB", (200, 200)).save(tmp_path / "large.png")
    cases["40,000 pixels"] = (tmp_path / "large.png").read_bytes()
    for words, content in cases.items():
        with pytest.raises(MediaError, match=words) as refused:
            pool.decode(content, READING)
        assert refused.value.kind == "over-limit" and str(refused.value).startswith("the clip: has ")


def test_limits_hold_where_the_header_lies(pool: DecodePool, tmp_path: Path):
    # The duration in mvhd, tkhd and mdhd is made zero; packets tell the truth.
    content = bytearray(video(tmp_path / "lying.mp4", num_frames=8, rate_fps=1.0))
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        place = content.index(box) + offset
        content[place : place + 4] = bytes(4)
    with pytest.raises(MediaError) as refused:
        pool.decode(bytes(content), READING)
    assert refused.value.kind == "over-limit"


def test_a_clip_that_needs_more_memory_than_is_allowed_is_an_error_and_the_next_is_read(clip: bytes, tmp_path: Path):
    Image.new("RGB", (12_000, 12_000)).save(tmp_path / "bomb.png", compress_level=1)  # 432 MB in 2 MB
    bomb = (tmp_path / "bomb.png").read_bytes()
    limits = ClipLimits(max_pixels=10**10, decoding_bytes=900 * 2**20, decoding_s=30.0)
    pool = DecodePool(limits, num_workers=1)
    try:
        with pytest.raises(MediaError):
            pool.decode(bomb, READING)
        assert pool.decode(clip, READING).frames is not None
    finally:
        pool.close()


def test_many_threads_share_the_workers_and_damage_stays_with_its_clip(pool: DecodePool, clip: bytes):
    expected = pool.decode(clip, READING).frames
    mixed = [clip if number % 2 else clip[: 1000 + number] for number in range(24)]

    def read(content: bytes) -> bool:
        try:
            return np.array_equal(pool.decode(content, READING).frames, expected)
        except MediaError:
            return content != clip

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(read, mixed))


def test_a_closed_pool_refuses(clip: bytes):
    pool = DecodePool(LIMITS, num_workers=1)
    pool.close()
    with pytest.raises((BusyError, MediaError)):
        pool.decode(clip, READING)
        pool.decode(clip, READING)


CONFINED = """
    import ctypes, os, signal, socket, subprocess, sys
    from r1omni.serve.sandbox import confine
    secret, parent = sys.argv[1], int(sys.argv[2])
    in_force = confine(2**31)
    def attempt(name, work):
        try:
            work()
        except (OSError, MemoryError) as error:
            print(name, "refused", type(error).__name__)
        else:
            print(name, "allowed")
    print(in_force)
    attempt("socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    attempt("unix", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    attempt("program", lambda: os.execv("/bin/true", ["true"]))
    attempt("read", lambda: open(secret).read())
    attempt("list", lambda: os.listdir(os.path.dirname(secret)))
    attempt("write", lambda: open(os.path.join(os.path.dirname(secret), "new"), "w"))
    attempt("signal", lambda: os.kill(parent, 0))
    attempt("memory", lambda: bytearray(2**32))
    attempt("module", lambda: open(os.__file__).read())
"""


def test_a_confined_process_reaches_neither_network_nor_files_nor_others(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    run = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(CONFINED), str(secret), str(os.getpid())],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = run.stdout.splitlines()
    said = dict(line.split(" ", 1) for line in lines[1:])
    assert said["memory"] == "refused MemoryError" and said["module"] == "allowed"
    if "no socket" in lines[0]:
        assert {said[name] for name in ("socket", "unix", "program", "signal")} == {"refused PermissionError"}
    if "no file but" in lines[0]:
        assert {said[name] for name in ("read", "list", "write")} == {"refused PermissionError"}
    if sys.platform == "linux":
        assert "no socket" in lines[0] or "no file but" in lines[0], "neither seccomp nor Landlock on this Linux"


def test_damaged_files_of_every_kind_become_arrays_or_sentences():
    outcome = fuzz(count=64, seed=1)
    assert outcome.files == 64 and outcome.read + sum(outcome.errors.values()) == 64
    assert set(outcome.by_format) >= {"mp4", "webm", "mkv", "wav", "mp3", "gif", "jpg"}
    assert outcome.read > 0 and outcome.errors
    assert outcome.peak_bytes < 2**30
