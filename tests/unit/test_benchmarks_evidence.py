"""The benchmark of evidence at toy size."""

import pytest

from evidence import PARTS, measure_parts


def test_every_part_is_timed():
    for package in ("onnxruntime", "silero_vad", "rapidocr", "ai_edge_litert"):
        pytest.importorskip(package)
    rows = measure_parts([], 2.0)
    assert [row["part"] for row in rows] == list(PARTS)
    assert all(row["cpu_s"] > 0 and row["clip_s"] == pytest.approx(2.0, abs=0.1) for row in rows)
    items = {row["part"]: row["items"] for row in rows}
    assert items["with subtitles"] >= items["sound and faces"] > max(items["sound"], items["faces"])
