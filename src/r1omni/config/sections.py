"""What both kinds of training share, each choice defined once: clips, engine, adapters, optimiser, and the run."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from r1omni.config.schema import Schema
from r1omni.core.answer_format import AnswerFormat
from r1omni.core.clip import Modality


def _one_is_a_list_of_one(value: object) -> object:
    return [value] if isinstance(value, (str, Path)) else value


Paths = Annotated[tuple[Path, ...], BeforeValidator(_one_is_a_list_of_one)]
"""One path or several."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Part = Literal["language_model", "projector", "audio_projector", "router_gate", "router"]
Schedule = Literal["cosine", "linear", "constant"]
VideoPooling = Literal["none", "slow_fast"]
TextField = Literal["none", "manifest", "subtitles", "transcript"]
Tracker = Literal["tensorboard", "trackio", "wandb"]
Precision = Literal["no", "bf16"]
AnswerFormatSpelling = Annotated[str, AfterValidator(lambda text: str(AnswerFormat.spelled(text)))]

TRAINED_PARTS: tuple[Part, ...] = ("language_model", "projector", "audio_projector", "router_gate")
"""What the official scripts train."""


def text_field_fault(text_field: TextField, whisper: str | None) -> str | None:
    """Return why a text field and a Whisper checkpoint do not go together; None where they do.

    Args:
        text_field: what the field holds.
        whisper: folder or hub id.
    """
    if (text_field == "transcript") == (whisper is not None):
        return None
    return (
        f"text_field is {text_field!r} and whisper is {whisper!r}: a transcript needs a Whisper checkpoint, and "
        "nothing else uses one"
    )


class DataSection(Schema):
    """Which clips train and which validate."""

    train: Paths
    """Manifests to train on, one after the other."""
    validation: Paths = ()
    """Manifests to validate on; empty validates on nothing and keeps the last weights."""
    fold: NonNegativeInt | None = None
    """Leave out the training clips of this fold, the one whose test part they are; None trains on all."""
    split: str | None = None
    """Keep only the training clips of this split; None keeps all."""
    max_validation_clips: PositiveInt | None = None
    """Validate on this many clips, drawn by the seed; None takes all."""


class EngineSection(Schema):
    """How clips become features and answers."""

    num_frames: PositiveInt | None = None
    """Frames sampled evenly from a clip; None takes the checkpoint's own number."""
    modality: Modality = "auto"
    """What is read of a clip; auto reads the modalities the file has."""
    answer_format: AnswerFormatSpelling | None = None
    """Tagged parts of an answer, in order: think,answer in the paper. `answer` holds the emotion, all others the
    reasoning; where another part holds the emotion, mark it: emotion:answer,why. None takes the checkpoint's own."""
    video_pooling: VideoPooling | None = None
    """none: the language model reads every video token; slow_fast: all frames pooled 2x2, then every fourth in full, as
    in HumanOmni's own 7B model; None takes the checkpoint's own."""
    text_field: TextField = "none"
    """Words of the clip that its prompt has as a field of their own: the manifest's subtitle, subtitles read in the
    pictures by OCR, or a transcript heard by `whisper`; none has no such field."""
    whisper: str | None = None
    """Whisper checkpoint of the transcript: a folder or a hub id."""
    batch_size: PositiveInt = 32
    """Clips encoded, and prompts answered, at a time."""
    kv_bytes: PositiveInt | None = None
    """Bytes that the keys and values of prompts and answers in progress may take; prompts that do not fit wait. None
    sets no limit."""
    num_workers: PositiveInt = 2
    """Threads that decode clips."""
    cache_dir: Path | None = None
    """Folder of the feature cache, which all runs share; None takes `$R1OMNI_CACHE`, else `~/.cache/r1omni`."""
    cache_bytes: PositiveInt = 20 * 2**30
    """Bytes the feature cache may take on disk."""

    @model_validator(mode="after")
    def _check_whisper(self) -> "EngineSection":
        if (fault := text_field_fault(self.text_field, self.whisper)) is not None:
            raise ValueError(fault)
        return self


class LoraSection(Schema):
    """Low-rank adapters on the language model, in place of training it whole."""

    r: PositiveInt = 16
    """Rank of each adapter."""
    lora_alpha: PositiveInt = 32
    """Scale: the adapter's output is multiplied by lora_alpha / r."""
    lora_dropout: Share = 0.0
    """Dropout before each adapter; RLVR needs 0, so that policy and ratio agree."""
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Names of the linear layers that get an adapter."""


class StageSettings(Schema):
    """What every stage of training has: AdamW, its schedule, what it may change, and what it keeps."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        {"gradient_accumulation_steps", "gradient_checkpointing", "keep_checkpoints", "save_every_steps"}
        | {"max_error_share"}
    )
    """Settings that may change between two starts of one run: what is learnt does not depend on them, or, for the size
    of micro-batches, only through a product that is compared in their place."""

    learning_rate: PositiveFloat
    """Peak learning rate."""
    lr_scheduler_type: Schedule = "cosine"
    """Course of the learning rate after the warm-up."""
    warmup_ratio: Share = 0.0
    """Share of all steps in which the learning rate rises from 0 to its peak."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay; norms and biases do not decay."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients whose norm is larger are scaled down to it."""
    gradient_accumulation_steps: PositiveInt = 1
    """Micro-batches per optimiser step."""
    mixed_precision: Precision = "no"
    """Arithmetic of sampling and of the training step; weights and optimiser stay fp32."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: a third more time, much less memory."""
    trainable: tuple[Part, ...] = TRAINED_PARTS
    """Parts that are trained; the towers are always frozen."""
    keep_checkpoints: PositiveInt = 2
    """Newest checkpoints kept, besides the best by validation."""
    save_every_steps: PositiveInt | None = None
    """Steps between checkpoints; None saves only at validations and at the end."""
    one_sided: Share = 0.0
    """Share of the examples, or of the groups in RLVR, that are shown without their pictures or without their sound,
    drawn anew in each epoch, among clips that have both; reasons that would describe the absent side are left out."""
    validation_metric: str = "war"
    """The best weights are those with the highest value of this."""
    max_error_share: Share = 0.05
    """Stop when more than this share of the clips cannot be read, or of the rewards fail."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide what is learnt."""
        return self.model_dump(mode="json", exclude=set(self.without_effect))


class TrainingConfig(Schema):
    """What every command that trains has besides the settings of its stage."""

    model: str
    """Checkpoint to start from: a folder or a hub id (owner/name@revision). In RLVR the cold start, and
    also the reference of the KL."""
    output_dir: Path
    """Run folder: configuration, metrics, samples, checkpoints and the final model."""
    seed: NonNegativeInt = 0
    """Seed of the order of clips and of everything that is drawn."""
    resume: bool = True
    """Go on from the newest checkpoint in output_dir."""
    trackers: tuple[Tracker, ...] = ()
    """Also receive the metrics: tensorboard and trackio write on this machine, wandb sends."""
    data: DataSection
    engine: EngineSection = EngineSection()
    lora: LoraSection | None = None
