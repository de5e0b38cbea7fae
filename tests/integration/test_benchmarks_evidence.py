"""The benchmark of evidence at toy size."""

import pytest

from evidence import measure_parts


def test_parts_are_timed_apart():
    for package in ("onnxruntime", "silero_vad", "ai_edge_litert"):
        pytest.importorskip(package)
    sound, faces = measure_parts([], 2.0, ("sound", "faces"))
    assert (sound["part"], faces["part"]) == ("sound", "faces")
    for row in (sound, faces):
        assert row["cpu_s"] > 0 and row["items"] > 10 and row["peak_memory_mib"] > 50
        assert row["clip_s"] == pytest.approx(2.0, abs=0.1)
