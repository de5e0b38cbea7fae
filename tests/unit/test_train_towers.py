"""The pretext stage: a tower learns its targets and is frozen again."""

import torch
from torch import nn

from r1omni.config.scale import TowerSettings
from r1omni.train.tower_pretraining import train_tower


def settings(num_epochs: int, batch_size: int, learning_rate: float) -> TowerSettings:
    return TowerSettings(num_epochs=num_epochs, batch_size=batch_size, learning_rate=learning_rate)


def test_a_tower_explains_a_linear_target_and_a_class() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(256, 5, 6)
    tower = nn.Linear(6, 8)
    regress = inputs[:, :, :2]
    classify = {"sign": (inputs[:, 0, 0] > 0).long()}
    facts = train_tower(tower, tower, inputs, regress, classify, settings=settings(30, 32, 2e-2))
    assert facts["explained"] > 0.95
    assert facts["sign"] > 0.9
    assert not any(parameter.requires_grad for parameter in tower.parameters())


def test_a_head_over_all_tokens_reads_what_several_of_them_contain() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(256, 4, 3)
    tower = nn.Linear(3, 6)
    regress = inputs[:, :1, 0] - inputs[:, 3:, 1]
    facts = train_tower(tower, tower, inputs, regress, {}, settings=settings(40, 32, 2e-2))
    assert set(facts) == {"explained"}
    assert facts["explained"] > 0.95


def test_the_same_seed_trains_the_same_tower() -> None:
    inputs = torch.randn(64, 3, 4, generator=torch.Generator().manual_seed(0))
    weights = []
    for _ in range(2):
        torch.manual_seed(1)
        tower = nn.Linear(4, 4)
        train_tower(tower, tower, inputs, inputs[:, 0], {}, settings=settings(2, 16, 1e-2), seed=5)
        weights.append(tower.weight.detach().clone())
    assert torch.equal(*weights)
