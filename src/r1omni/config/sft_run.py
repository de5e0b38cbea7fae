"""Supervised fine-tuning: the cold start on reasoned examples and the label-only baseline."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from r1omni.config.schema import Schema
from r1omni.config.sections import DataSection, EngineSection, LoraSection, StageSection, Tracker


class SftRecipe(StageSection):
    """How one SFT stage learns: the keyword arguments of `r1omni.train.sft.train_sft`."""

    learning_rate: float = 2e-5
    """Peak learning rate."""
    warmup_ratio: float = 0.03
    """Share of all steps in which the learning rate rises from 0."""
    num_epochs: PositiveInt = 5
    """Passes over the examples."""
    max_steps: PositiveInt | None = None
    """Optimiser steps; None goes by num_epochs."""
    batch_size: PositiveInt = 16
    """Examples per micro-batch and process."""
    max_length: PositiveInt = 2048
    """Tokens of the longest answer accepted; a longer one is refused."""
    log_every_steps: PositiveInt = 10
    """Steps between lines of metrics.jsonl; each line averages over them."""
    validation_metric: str = "war"
    """The best weights are those with the highest value of this."""
    validate_every_epochs: PositiveInt = 1
    """Epochs between validations."""
    patience: PositiveInt | None = None
    """Stop after this many validations without a better value; None goes on to the end."""


class SftConfig(Schema):
    """`r1omni train sft`."""

    model: str
    """Checkpoint to start from: a folder or a hub id."""
    output_dir: Path
    """Run folder: configuration, metrics, checkpoints and the final model."""
    answers: Literal["reasoning", "label"] = "reasoning"
    """What is learnt: reasons and an answer in tags, or the label alone."""
    seed: NonNegativeInt = 0
    """Seed of the order of examples and of every draw."""
    resume: bool = True
    """Go on from the newest checkpoint in output_dir."""
    trackers: tuple[Tracker, ...] = ()
    """Told the metrics too: tensorboard and trackio write on this machine, wandb sends."""
    max_completion_length: PositiveInt = 512
    """Tokens an answer may have in validation."""
    data: DataSection
    engine: EngineSection = EngineSection()
    lora: LoraSection | None = None
    training: SftRecipe = SftRecipe()
