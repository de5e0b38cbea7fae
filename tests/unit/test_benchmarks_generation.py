"""The benchmark of continuous batching at toy size: both ways answer the same requests; figures are not asserted."""

from dataclasses import replace

import pytest
import torch

from generation import CASES, build, compare


@pytest.mark.parametrize(
    ("name", "lengths", "num_tokens"),
    [("spread", (3, 9, 1, 6), 19), ("equal", (4, 4, 4), 12), ("groups", (2, 5), 7 * 8)],
)
def test_both_ways_write_the_same_answers_of_the_lengths_asked_for(name, lengths, num_tokens):
    model, processor = build("tiny", None, torch.device("cpu"), torch.float32)
    case = replace(CASES[name], lengths=lengths, max_prompts=2)
    found = compare(model, processor, case, prompt_tokens=8, rounds=1)
    assert found["same_answers"] == 1.0
    assert found["num_tokens"] == num_tokens
    for way, (seconds,) in found["seconds"].items():
        assert found["tokens_per_s"][way] == pytest.approx(num_tokens / seconds)
    assert found["ratio"] == pytest.approx(found["seconds"]["fixed"][0] / found["seconds"]["continuous"][0])


def test_cases_are_those_of_the_agreement():
    lengths = CASES["spread"].lengths
    assert (len(lengths), min(lengths), max(lengths)) == (64, 8, 128)
    assert len(CASES["equal"].lengths) == 64 and len(set(CASES["equal"].lengths)) == 1
    assert (len(CASES["groups"].lengths), CASES["groups"].num_samples) == (24, 8)
