"""RLVR by GRPO on labels alone. Field names follow TRL's GRPOConfig where it has the field."""

from math import ceil
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from r1omni.config.schema import Schema
from r1omni.config.sections import DataSection, EngineSection, LoraSection, Share, StageSection, Tracker


class GrpoRecipe(StageSection):
    """How RLVR learns: the keyword arguments of `r1omni.train.grpo.train_grpo`, save num_epochs and rewards."""

    learning_rate: float = 1e-6
    """Peak learning rate."""
    num_epochs: PositiveFloat = 2.0
    """Passes over the clips; sets the number of steps where max_steps does not."""
    max_steps: PositiveInt | None = None
    """Optimiser steps; None goes by num_epochs."""
    num_generations: int = Field(default=8, ge=2)
    """G, the answers sampled per prompt."""
    prompts_per_device: PositiveInt = 8
    """Groups per micro-batch and process."""
    num_iterations: PositiveInt = 1
    """Optimiser steps taken on each batch of samples."""
    beta: NonNegativeFloat = 0.04
    """Weight of the KL to the reference; 0 needs no reference model."""
    epsilon: PositiveFloat = 0.2
    """Clip range of the probability ratio below 1, and above where epsilon_high is None."""
    epsilon_high: PositiveFloat | None = None
    """Clip range of the probability ratio above 1."""
    temperature: PositiveFloat = 1.0
    """Temperature of the sampling, and of the log-probabilities that are differentiated."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    """How token losses are averaged."""
    importance_sampling_level: Literal["token", "sequence"] = "token"
    """Ratio per token (GRPO) or per answer (GSPO)."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What the advantages are divided by: the group's spread, the batch's, or nothing."""
    mask_truncated_completions: bool = False
    """Leave answers that hit max_completion_length out of the loss."""
    max_completion_length: PositiveInt = 512
    """Tokens an answer may have."""
    zero_variance: Literal["keep", "skip", "resample"] = "keep"
    """What happens to a group whose rewards are all equal."""
    max_resample_rounds: PositiveInt = 2
    """Rounds of new prompts drawn in place of such groups."""
    min_format: Share = 0.85
    """Share of well-formed sampled answers below which RLVR refuses to start."""
    min_accuracy: Share = 0.25
    """Share of right sampled answers below which RLVR refuses to start."""
    readiness_prompts: NonNegativeInt = 64
    """Prompts that decide whether the cold start is ready; 0 starts unasked."""
    validation_metric: str = "war"
    """The best weights are those with the highest value of this."""
    validate_every_steps: PositiveInt | None = None
    """Steps between validations; None validates only at the end."""
    log_samples_every_steps: PositiveInt = 10
    """Steps between samples written to samples.jsonl."""
    max_kl: PositiveFloat = 10.0
    """Stop when the mean KL to the reference exceeds this."""

    def steps(self, num_clips: int, num_processes: int = 1) -> int:
        """Number of optimiser steps.

        Args:
            num_clips: clips in one epoch.
            num_processes: processes that share them.
        """
        prompts = self.prompts_per_device * self.gradient_accumulation_steps * num_processes
        return self.max_steps or ceil(num_clips * self.num_epochs * self.num_iterations / prompts)


class GrpoConfig(Schema):
    """`r1omni train grpo`."""

    model: str
    """The cold start: a folder or a hub id. Also the reference of the KL."""
    output_dir: Path
    """Run folder: configuration, metrics, samples, checkpoints and the final model."""
    rewards: dict[str, float] = {"accuracy": 1.0, "format": 1.0}
    """Name and weight of each reward in the sum (equation 5)."""
    seed: NonNegativeInt = 0
    """Seed of the order of clips and of every sampled token."""
    resume: bool = True
    """Go on from the newest checkpoint in output_dir."""
    trackers: tuple[Tracker, ...] = ()
    """Told the metrics too: tensorboard and trackio write on this machine, wandb sends."""
    data: DataSection
    engine: EngineSection = EngineSection()
    lora: LoraSection | None = None
    training: GrpoRecipe = GrpoRecipe()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(self.rewards.values()):
            raise ValueError("no reward has a weight: nothing would be learnt")
        if self.lora and self.lora.lora_dropout:
            raise ValueError(
                "lora.lora_dropout must be 0 in RLVR: with dropout the ratio of policy to sampler starts wrong"
            )
        return self
