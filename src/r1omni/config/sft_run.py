"""Supervised fine-tuning: the cold start on reasoned examples and the label-only baseline."""

from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from r1omni.config.sections import Share, StageSettings, TrainingConfig


class SftSettings(StageSettings):
    """How one supervised stage learns; read by `r1omni.train.sft.train_sft`."""

    without_effect: ClassVar[frozenset[str]] = StageSettings.without_effect | {"batch_size", "log_every_steps"}

    learning_rate: PositiveFloat = 2e-5
    """Peak learning rate."""
    warmup_ratio: Share = 0.03
    """Share of all steps in which the learning rate rises from 0 to its peak."""
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
    validate_every_epochs: PositiveInt = 1
    """Epochs between validations."""
    patience: PositiveInt | None = None
    """Stop after this many validations without a better value; None goes on to the end."""


class SftConfig(TrainingConfig):
    """`r1omni train sft`."""

    answers: Literal["reasoning", "label"] = "reasoning"
    """What is learnt: reasons and an answer in tags, or the label alone."""
    max_completion_length: PositiveInt = 512
    """Tokens an answer may have in validation."""
    training: SftSettings = SftSettings()
