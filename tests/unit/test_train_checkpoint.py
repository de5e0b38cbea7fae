"""Checkpoints: complete or absent."""

import random

import numpy as np
import pytest
import torch

from r1omni.core.errors import CheckpointError
from r1omni.train.checkpoints import Checkpoints, generator_state, restore_generators, trained_state
from small_disk import small_files_only


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(30, 30), torch.nn.BatchNorm1d(30))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.randn(4, 30)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def test_weights_buffers_and_moments_come_back(tmp_path):
    model, optimizer = trained()
    Checkpoints(tmp_path, 2).save(3, model, optimizer, {"position": 7})
    other = torch.nn.Sequential(torch.nn.Linear(30, 30), torch.nn.BatchNorm1d(30))
    fresh = torch.optim.AdamW(other.parameters(), fused=True)
    assert Checkpoints(tmp_path, 2).load(3, other, fresh) == {"step": 3, "position": 7}
    assert all(torch.equal(value, trained_state(model)[name]) for name, value in trained_state(other).items())
    assert "1.running_mean" in trained_state(other)
    for mine, theirs in zip(optimizer.state.values(), fresh.state.values(), strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in ("step", "exp_avg", "exp_avg_sq"))


def test_generators_come_back():
    state = generator_state()
    drawn = random.random(), np.random.random(), torch.rand(1)
    restore_generators([state])
    assert drawn == (random.random(), np.random.random(), torch.rand(1))


def test_newest_and_best_are_kept(tmp_path):
    model, optimizer = trained()
    checkpoints = Checkpoints(tmp_path, 2)
    for step in range(1, 7):
        checkpoints.save(step, model, optimizer, {"best_step": 2 if step > 1 else None})
    assert checkpoints.steps() == [2, 5, 6]


def test_a_full_disk_leaves_no_half_checkpoint(tmp_path):
    model, optimizer = trained()
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(1, model, optimizer, {})
    with small_files_only(2000), pytest.raises(CheckpointError, match="Free some space"):
        checkpoints.save(2, model, optimizer, {})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    model, optimizer = trained()
    Checkpoints(tmp_path, 2).save(1, model, optimizer, {})
    # Seven of the saved model and two of the other, no name in common.
    with pytest.raises(CheckpointError, match="disagree about 9 trained tensors"):
        Checkpoints(tmp_path, 2).load_model(1, torch.nn.Linear(30, 30))
    with pytest.raises(CheckpointError, match="is missing"):
        Checkpoints(tmp_path, 2).load_model(9, model)
