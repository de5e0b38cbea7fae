"""RLVR by GRPO on labels alone. Field names follow TRL's GRPOConfig where it has the field."""

from math import ceil
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from r1omni.config.sections import Paths, Share, StageSettings, TrainingConfig

LossType = Literal["grpo", "bnpo", "dr_grpo", "dapo"]
SamplingLevel = Literal["token", "sequence"]
ScaleRewards = Literal["group", "batch", "none"]
ZeroVariance = Literal["keep", "skip", "resample"]


class GrpoSettings(StageSettings):
    """How RLVR learns; read by `r1omni.train.grpo.train_grpo`."""

    renamed: ClassVar[dict[str, str]] = {
        "prompts_per_micro_batch": "prompts_per_device",
        "prompts_per_step": "prompts_per_device, times gradient_accumulation_steps",
    }

    without_effect: ClassVar[frozenset[str]] = StageSettings.without_effect | {
        "prompts_per_device",
        "num_epochs",
        "max_steps",
        "min_format",
        "min_accuracy",
        "readiness_prompts",
        "log_samples_every_steps",
        "max_kl",
    }

    instruction: str | None = None
    """What is asked about each clip; None asks the paper's question, for an answer in engine.answer_format."""
    learning_rate: PositiveFloat = 1e-6
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
    loss_type: LossType = "grpo"
    """How token losses are averaged."""
    importance_sampling_level: SamplingLevel = "token"
    """Ratio per token (GRPO) or per answer (GSPO)."""
    scale_rewards: ScaleRewards = "group"
    """What the advantages are divided by: the group's spread, the batch's, or nothing."""
    mask_truncated_completions: bool = False
    """Leave answers that reach max_completion_length out of the loss."""
    max_completion_length: PositiveInt = 512
    """Tokens an answer may have."""
    zero_variance: ZeroVariance = "keep"
    """A group whose rewards are all equal is kept (only its KL acts), skipped, or replaced by another clip's."""
    max_resample_rounds: PositiveInt = 2
    """Rounds in which other clips replace such groups; those that stay without variance are then left out."""
    min_format: Share = 0.85
    """Share of well-formed sampled answers below which RLVR refuses to start."""
    min_accuracy: Share = 0.25
    """Share of right sampled answers below which RLVR refuses to start."""
    readiness_prompts: NonNegativeInt = 64
    """Prompts that decide whether the cold start is ready; 0 starts without this check."""
    validate_every_steps: PositiveInt | None = None
    """Steps between validations; None validates only at the end."""
    log_samples_every_steps: PositiveInt = 10
    """Steps between samples written to samples.jsonl."""
    max_kl: PositiveFloat = 10.0
    """Stop when the mean KL to the reference exceeds this."""

    @property
    def prompts_per_process(self) -> int:
        """Groups of one step on each process."""
        return self.prompts_per_device * self.gradient_accumulation_steps

    def steps(self, num_clips: int, num_processes: int = 1) -> int:
        """Number of optimiser steps.

        Args:
            num_clips: clips in one epoch.
            num_processes: processes that share them.
        """
        prompts = self.prompts_per_process * num_processes
        return self.max_steps or ceil(num_clips * self.num_epochs * self.num_iterations / prompts)


class GrpoConfig(TrainingConfig):
    """`r1omni train grpo`."""

    rewards: dict[str, float] = {"accuracy": 1.0, "format": 1.0}
    """Name and weight of each reward in the sum (equation 5): accuracy and format as in the paper; coherence, whether
    the reasons imply the answer; grounding, how much of what is measured in the clip the reasons say rightly."""
    evidence: Paths = ()
    """Files of what was measured in the training clips, for rewards.grounding: JSON lines with each clip's id. Clips of
    a made corpus that are in none of them are taken by the cues in their manifest."""
    training: GrpoSettings = GrpoSettings()

    @model_validator(mode="after")
    def _check(self) -> "GrpoConfig":
        if not any(self.rewards.values()):
            raise ValueError("no reward has a weight: nothing would be learnt")
        if self.lora and self.lora.lora_dropout:
            raise ValueError(
                "lora.lora_dropout must be 0 in RLVR: with dropout the ratio of policy to sampler starts wrong"
            )
        return self
