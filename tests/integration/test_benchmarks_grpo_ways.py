"""The benchmark of GRPO, every way of it, at toy size: what is compared does not depend on the machine."""

from collections.abc import Callable

import pytest

from grpo import measure_grpo

RATIOS = (
    "speedup_vs_plain",
    "speedup_vs_plain_cached",
    "speedup_vs_encode_once",
    "speedup_vs_encode_once_first_epoch",
    "peak_memory_ratio",
    "matmul_fraction",
)


def made_memory(watch: Callable[..., dict[str, int | None]], way: str, *sizes: object) -> dict[str, int | None]:
    """Run a measurement in this process, where three fresh ones would import torch for half a minute; peaks made up."""
    peaks = {"plain": 40, "encode_once": 30, "engine": 20}
    return dict.fromkeys(watch(way, *sizes), peaks[way]) | {"weights": 10}


def test_every_way_is_measured():
    results = measure_grpo(
        preset="tiny", layers=1, num_generations=2, answer_tokens=4, prompts=(1,), run_memory=made_memory
    )
    # The prompt is computed once instead of twice, the towers not at all: fewer operations, whatever the clock says.
    operations = {name: way["operations_per_prompt"] for name, way in results["ways"].items()}
    assert operations["engine_cached"] < operations["engine"] < operations["encode_once"] < operations["plain"]
    assert all(results[name] > 0 for name in RATIOS)
    # 20 / 40, and without the weights (20 - 10) / (40 - 10).
    assert results["peak_memory_ratio"] == 0.5
    assert results["peak_memory_ratio_above_weights"] == pytest.approx(1 / 3)
    assert results["largest_logprob_difference"] < 1e-4
    assert operations["encode_once_cached"] < operations["encode_once"]
    # A quarter of the language model's 4 layers, of 1,024 words and of 4 vision layers; of 3 audio layers, 0.75 -> 1.
    sizes = results["sizes"]
    assert (sizes["language_layers"], sizes["vision_layers"], sizes["audio_layers"]) == (1, 1, 1)
    assert sizes["vocab_size"] == 256
