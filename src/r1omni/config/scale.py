"""The settings of `r1omni reproduce`: one frozen schema, filled by one TOML file per scale.

The files lie in `configs/recipe/`; every number that shapes a run stands there and nowhere else.
"""

import tomllib
from importlib.resources import files
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from r1omni.core.errors import ConfigError

ScaleName = Literal["smoke", "tiny", "small"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CorporaSettings(_Settings):
    """How many clips each made corpus has, over all its splits."""

    humanomni_like: PositiveInt
    emer_like: PositiveInt
    dfew_like: PositiveInt
    mafw_like: PositiveInt
    ravdess_like: PositiveInt
    dfew_like_swapped: PositiveInt
    dfew_like_unbiased: PositiveInt

    def sizes(self) -> dict[str, int]:
        """Corpus name -> number of clips."""
        return {name.replace("_", "-"): size for name, size in self.model_dump().items()}


class TowerSettings(_Settings):
    """Training of a tower from scratch; see `train/tower_pretraining.py`."""

    num_epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat


class SftSettings(_Settings):
    """One supervised stage; see `train/sft.py`."""

    num_epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    patience: PositiveInt | None = None
    """Epochs without a better validation WAR before the stage ends; None runs all epochs and validates none."""


class BaseSettings(SftSettings):
    """The base's pretraining mixture."""

    knowledge_examples: PositiveInt
    """Descriptions without a clip that end with what the person feels."""
    labelled_clips: PositiveInt
    """Clips whose label the base has seen."""


class GrpoSettings(_Settings):
    """RLVR; see `train/grpo.py`."""

    max_steps: PositiveInt
    prompts_per_step: PositiveInt
    """A multiple of `prompts_per_micro_batch`."""
    prompts_per_micro_batch: PositiveInt = 8
    """Prompts scored at a time: small parts stay in a processor's cache."""
    num_generations: PositiveInt = 8
    beta: float = Field(default=0.04, ge=0)
    temperature: PositiveFloat = 1.0
    learning_rate: PositiveFloat
    lr_scheduler_type: Literal["cosine", "constant", "linear"] = "cosine"
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    max_completion_length: PositiveInt
    num_iterations: PositiveInt = 1
    zero_variance: Literal["keep", "skip", "resample"] = "skip"
    validate_every_steps: PositiveInt | None = None
    min_format: float = Field(default=0.85, ge=0, le=1)
    min_accuracy: float = Field(default=0.25, ge=0, le=1)


class RecipeSettings(_Settings):
    """Everything that shapes a run of the recipe, the seed apart."""

    scale: ScaleName
    preset: Literal["tiny", "0.5b", "7b"] = "tiny"
    """Size of the model; its towers are trained from scratch too."""
    vocab_size: PositiveInt = 768
    corpora: CorporaSettings
    vision_tower: TowerSettings
    audio_tower: TowerSettings
    projectors: TowerSettings
    """Both projectors, over the frozen towers and on the same targets, before the language model reads them."""
    base: BaseSettings
    cold_start: SftSettings
    label_sft: SftSettings
    grpo: GrpoSettings
    eval_batch_size: PositiveInt = 64
    gallery_clips: PositiveInt = 12


def load_recipe(scale: str) -> RecipeSettings:
    """Read the shipped settings of a scale.

    Args:
        scale: smoke, tiny or small.

    Raises:
        ConfigError: there is no such scale.
    """
    if scale not in get_args(ScaleName):
        raise ConfigError(f"Unknown scale '{scale}'; choose one of {', '.join(get_args(ScaleName))}.")
    text = files("r1omni.config").joinpath("scales", f"{scale}.toml").read_text(encoding="utf-8")
    return RecipeSettings.model_validate(tomllib.loads(text))
