"""The benchmark of annotation at toy size."""

import pytest

from annotating import measure_ways
from r1omni.infer.predict_files import BUNDLED_MODEL


def test_an_annotation_with_evidence_is_timed_and_weighed():
    for package in ("onnxruntime", "silero_vad", "ai_edge_litert"):
        pytest.importorskip(package)
    settings = {"model": str(BUNDLED_MODEL), "whisper": None, "batch_size": 2, "max_new_tokens": 8}
    (row,) = measure_ways(2, 2.0, settings, ("with evidence",))
    assert row["way"] == "with evidence" and row["cpu_s"] > 0 and row["clips_per_s"] > 0
    assert row["row_bytes"] > 4000 and row["peak_memory_mib"] > 50  # evidence of a speaking face has dozens of items
