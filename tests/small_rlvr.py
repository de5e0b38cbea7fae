"""RLVR on the small model, with rewards that an untrained policy gets sometimes."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from r1omni.config.grpo_run import GrpoSettings
from r1omni.train.bookkeeping import TrainingRun
from r1omni.train.checkpoints import trained_state
from r1omni.train.grpo import GrpoSummary, train_grpo
from r1omni.train.rollout import Reward
from small_model import MadeUpFeatures, small_clips, small_model

LETTERS = Reward("accuracy", lambda answer, clip, lacking: min(1.0, answer.text.count("e") / 8))
SHORT = Reward("format", lambda answer, clip, lacking: float(len(answer.text) < 20), weight=0.5)


def run(folder: Path, **options: Any) -> tuple[nn.Module, GrpoSummary]:
    """Train a new small model; returns it, and the run's summary."""
    model, processor = small_model()
    reference, _ = small_model()
    engine = options.pop("engine", MadeUpFeatures)(model, processor)
    rewards = options.pop("rewards", [LETTERS, SHORT])
    around = {name: options.pop(name) for name in ("validate", "on_step") if name in options}
    where = TrainingRun(
        folder, **{name: options.pop(name) for name in ("trackers", "resume", "seed") if name in options}
    )
    settings = GrpoSettings(
        **dict(
            max_steps=4,
            num_generations=4,
            prompts_per_device=6,
            max_completion_length=8,
            learning_rate=3e-3,
            readiness_prompts=0,
            lr_scheduler_type="constant",
        )
        | options
    )
    return model, train_grpo(engine, reference, small_clips(12), rewards, settings, where, **around)


def lines(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """Rows of a file of a run."""
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def equal_states(first: nn.Module, second: nn.Module) -> bool:
    """Whether two models have the same trained weights, bit by bit."""
    one, two = trained_state(first), trained_state(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
