"""The benchmark of GRPO at toy size: seconds depend on the machine, operations and shares do not."""

import os

import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from alone import run_alone
from cost import OperationCounter
from grpo import app
from r1omni.core.errors import ConfigError


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
