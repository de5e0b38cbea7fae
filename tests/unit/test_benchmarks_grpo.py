"""The benchmark of GRPO at toy size: seconds depend on the machine, operations and shares do not."""

import os
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from alone import run_alone
from cost import OperationCounter
from grpo import app, measure_grpo
from r1omni.core.errors import ConfigError

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


def test_memory_is_measured_in_a_fresh_process():
    assert run_alone(os.getpid) not in (os.getpid(), os.getppid())


def test_operations_of_products_and_of_causal_attention_are_counted():
    query = torch.randn(1, 2, 6, 4, requires_grad=True)
    with OperationCounter() as counter:
        torch.randn(3, 5) @ torch.randn(5, 7)
    assert counter.operations == 2 * 3 * 5 * 7
    # Scores and sums: 2 heads x 2 products x 2 x 6 x 6 x 4 = 1,152; backward has 5 products; causal needs half.
    for causal, share in ((False, 1.0), (True, 0.5)):
        with OperationCounter() as counter:
            out = functional.scaled_dot_product_attention(query, query, query, is_causal=causal)
        assert counter.operations == 1152 * share
        with OperationCounter() as counter:
            out.sum().backward()
        assert counter.operations == 2880 * share


@pytest.mark.parametrize("text", ["", "0,1", "1,x"])
def test_counts_that_are_not_positive_integers_are_refused(text):
    result = CliRunner().invoke(app, ["--prompts", text])
    assert isinstance(result.exception, ConfigError)
    assert f"--prompts: found {text!r}, expected positive integers" in str(result.exception)
