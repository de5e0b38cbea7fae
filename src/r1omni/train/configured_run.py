"""Training as a configuration describes it: clips, model, engine, rewards and validation put together, then the loop.

The command line calls these, and so can any other front door.
"""

from collections.abc import Callable, Sequence

from r1omni.config.grpo_run import GrpoConfig
from r1omni.config.load import to_toml
from r1omni.config.sections import TrainingConfig
from r1omni.config.sft_run import SftConfig
from r1omni.core.clip import Clip
from r1omni.core.instruction import INSTRUCTIONS
from r1omni.core.labels import label_set
from r1omni.datasets.manifest import manifest_hash
from r1omni.infer.engine import Engine, build_engine
from r1omni.model.load_model import load_model
from r1omni.runs.record import run_facts
from r1omni.train.bookkeeping import OnStep, TrainingRun
from r1omni.train.grpo import GrpoSummary, train_grpo
from r1omni.train.rollout import named_rewards
from r1omni.train.sft import SftSummary, train_sft
from r1omni.train.starting_model import load_starting_model
from r1omni.train.training_data import label_examples, reasoned_examples, training_clips, validation_clips
from r1omni.train.validation import validator

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
    clips = training_clips(config.data, needs_reasoning=config.answers == "reasoning")
    held_out = validation_clips(config.data, config.seed)
    engine = build_engine(*load_starting_model(config.model, config.lora, config.engine.video_pooling), config.engine)
    announce_room(engine, [*clips, *held_out], announce)
    return train_sft(
        engine,
        reasoned_examples(clips) if config.answers == "reasoning" else label_examples(clips),
        config.training,
        training_run(config),
        validate=validator(engine, held_out, INSTRUCTIONS[config.answers], config.max_completion_length),
        on_step=on_step,
    )


def run_grpo(config: GrpoConfig, announce: Announce, on_step: OnStep | None = None) -> GrpoSummary:
    """Run `r1omni train grpo`.

    Args:
        config: the resolved run.
        announce: called with the room that the feature cache needs and has.
        on_step: called with the metrics of each step.

    Raises:
        R1OmniError: see `train_grpo`, `training_clips` and `load_starting_model`.
    """
    clips, held_out = training_clips(config.data), validation_clips(config.data, config.seed)
    labels, settings = label_set(clips), config.training
    rewards = named_rewards(config.rewards, lambda clip: labels)
    pooling = config.engine.video_pooling
    engine = build_engine(*load_starting_model(config.model, config.lora, pooling), config.engine)
    reference = None
    if settings.beta != 0.0 and config.lora is None:
        reference, _ = load_model(config.model, dtype="float32", device="auto", video_pooling=pooling)
    announce_room(engine, [*clips, *held_out], announce)
    return train_grpo(
        engine,
        reference,
        clips,
        rewards,
        settings,
        training_run(config),
        validate=validator(engine, held_out, settings.instruction, settings.max_completion_length),
        on_step=on_step,
    )


def training_run(config: TrainingConfig) -> TrainingRun:
    """Return where a configured run lies, with what its record says of it.

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
        identity={"validation": [hashes[str(manifest)] for manifest in config.data.validation]},
    )


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
