"""Training as a configuration describes it: clips, model, engine, rewards and validation put together, then the loop.

The command line calls these, and so can any other front door.
"""

from collections.abc import Callable, Sequence

import torch

from r1omni.config.grpo_run import GrpoConfig
from r1omni.config.load import to_toml
from r1omni.config.sections import StageSettings, TrainingConfig
from r1omni.config.sft_run import SftConfig
from r1omni.core.clip import Clip
from r1omni.core.instruction import instruction_for
from r1omni.core.labels import label_set
from r1omni.datasets.manifest import manifest_hash
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.text_field import text_field_identity
from r1omni.model.load_model import load_model
from r1omni.model.stored_answer_format import answer_format_of
from r1omni.runs.file_hashes import shared_file_hashes
from r1omni.runs.record import run_facts
from r1omni.runs.run_folder import dotted
from r1omni.train.bookkeeping import OnStep, TrainingRun
from r1omni.train.grpo import GrpoSummary, train_grpo
from r1omni.train.measured_clips import evidence_by_clip
from r1omni.train.rollout import named_rewards, needs_evidence
from r1omni.train.sft import SftSummary, train_sft
from r1omni.train.starting_model import load_starting_model
from r1omni.train.training_data import label_examples, reasoned_examples, training_clips, validation_clips
from r1omni.train.validation import validator

READ_OF_A_CLIP = ("modality", "num_frames", "video_pooling")
"""Settings of the engine that change what the model reads; the others change only how fast."""

Announce = Callable[[str], None]
"""Called before a run starts with what it needs."""


def run_sft(config: SftConfig, announce: Announce, on_step: OnStep | None = None) -> SftSummary:
    """Run `r1omni train sft`.

    Args:
        config: the resolved run.
        announce: called with the room that the feature cache needs and has.
        on_step: called with the metrics of each step.

    Raises:
        R1OmniError: see `train_sft`, `training_clips` and `load_starting_model`.
    """
    answer_format = answer_format_of(config.model, config.engine.answer_format)
    is_reasoned = config.answers == "reasoning"
    clips = training_clips(config.data, reasoned_in=answer_format if is_reasoned else None)
    held_out = validation_clips(config.data, config.seed)
    engine = training_engine(config, config.training)
    announce_room(engine, [*clips, *held_out], announce)
    return train_sft(
        engine,
        reasoned_examples(clips, answer_format) if is_reasoned else label_examples(clips),
        config.training,
        training_run(config),
        validate=validator(
            engine, held_out, instruction_for(config.answers, answer_format), config.max_completion_length
        ),
        on_step=on_step,
    )


def run_grpo(config: GrpoConfig, announce: Announce, on_step: OnStep | None = None) -> GrpoSummary:
    """Run `r1omni train grpo`.

    Args:
        config: the resolved run.
        announce: called with the room that the feature cache needs and has.
        on_step: called with the metrics of each step.

    Raises:
        R1OmniError: see `train_grpo`, `training_clips`, `evidence_by_clip` and `load_starting_model`.
    """
    clips, held_out = training_clips(config.data), validation_clips(config.data, config.seed)
    labels, settings = label_set(clips), config.training
    answer_format = answer_format_of(config.model, config.engine.answer_format)
    instruction = settings.instruction or instruction_for("reasoning", answer_format)
    measured = evidence_by_clip(clips, config.evidence) if needs_evidence(config.rewards) else {}
    rewards = named_rewards(config.rewards, lambda clip: labels, lambda clip: measured.get(clip.id))
    engine, reference = training_engine(config, settings), None
    if settings.beta != 0.0 and config.lora is None:
        pooling = config.engine.video_pooling
        reference, _ = load_model(config.model, dtype="float32", device="auto", video_pooling=pooling)
    announce_room(engine, [*clips, *held_out], announce)
    return train_grpo(
        engine,
        reference,
        clips,
        rewards,
        settings,
        training_run(config),
        validate=validator(engine, held_out, instruction, settings.max_completion_length),
        on_step=on_step,
    )


def training_engine(config: TrainingConfig, settings: StageSettings) -> Engine:
    """Return the engine over the model that a configured run starts from.

    Args:
        config: the resolved run.
        settings: of its stage; where it computes in bf16, features are kept in bf16 too.
    """
    model, processor = load_starting_model(config.model, config.lora, config.engine.video_pooling)
    engine = build_engine(model, processor, config.engine)
    if settings.mixed_precision == "bf16":
        engine.encoder.dtype = torch.bfloat16
    return engine


def training_run(config: SftConfig | GrpoConfig) -> TrainingRun:
    """Return where a configured run lies, with what its record says of it.

    Its identity is what the loop cannot know: which clips validate and how, what is read of a clip, and the adapters.

    Args:
        config: the resolved run.
    """
    hashes = {str(manifest): manifest_hash(manifest) for manifest in (*config.data.train, *config.data.validation)}
    return TrainingRun(
        config.output_dir,
        config.seed,
        config.resume,
        config.trackers,
        configuration=to_toml(config),
        facts=run_facts(config.seed, hashes),
        identity={
            "validation": [hashes[str(manifest)] for manifest in config.data.validation],
            "data.max_validation_clips": config.data.max_validation_clips,
            **dotted(config.engine.model_dump(mode="json", include=set(READ_OF_A_CLIP)), "engine."),
            **dotted(text_field_identity(config.engine), "engine."),
            "lora": None if config.lora is None else config.lora.model_dump(mode="json"),
            **({"max_completion_length": config.max_completion_length} if isinstance(config, SftConfig) else {}),
            **({"evidence": measured} if (measured := _evidence_hashes(config)) else {}),
        },
    )


def _evidence_hashes(config: SftConfig | GrpoConfig) -> list[str]:
    """Hash the files of what was measured, where a reward reads them."""
    if not isinstance(config, GrpoConfig) or not needs_evidence(config.rewards):
        return []
    return [shared_file_hashes().sha256(file) for file in config.evidence]


def announce_room(engine: Engine, clips: Sequence[Clip], announce: Announce) -> None:
    """Say how much room the features of a run's clips need in the cache, and how much it has.

    Args:
        engine: encodes the clips; its cache holds on to what it has of them.
        clips: of training and validation.
        announce: called with the sentence.
    """
    room = engine.encoder.room_needed(list({clip.path: clip for clip in clips}.values()))
    if room is not None:
        announce(str(room))
