"""What makes a training run this one and no other: every setting that can change what its folder holds.

A setting is part of the identity unless it is named here, so that a new one is compared until somebody decides
otherwise. Paths of the model and of manifests are left out because their content stands for them.
"""

from collections.abc import Mapping
from typing import Any

from r1omni.config.grpo_run import GrpoConfig
from r1omni.config.sft_run import SftConfig

NOT_IDENTITY: Mapping[str, str] = {
    "model": "the weights' content stands for it",
    "data.train": "the manifests' content stands for it",
    "data.validation": "the manifests' content stands for it",
    "output_dir": "says where, not what",
    "resume": "says how to start, not what",
    "trackers": "only told",
    "engine.batch_size": "how many at a time; what a clip gives does not depend on what runs beside it",
    "engine.num_workers": "how fast",
    "engine.cache_dir": "says where, not what",
    "engine.cache_bytes": "how fast",
    "engine.kv_bytes": "how many at a time",
    "training.batch_size": "together with accumulation and processes: `examples_per_step`",
    "training.prompts_per_device": "together with accumulation and processes: `examples_per_step`",
    "training.gradient_accumulation_steps": "together with processes: `examples_per_step`",
    "training.gradient_checkpointing": "the same numbers with less memory",
    "training.keep_checkpoints": "what is kept beside the run's result",
    "training.save_every_steps": "what is kept beside the run's result",
    "training.log_every_steps": "how chatty",
    "training.log_samples_every_steps": "how chatty",
    "training.max_error_share": "when to give up, not what to learn",
}
"""Setting -> why it is no part of a run's identity."""


def training_identity(
    run: SftConfig | GrpoConfig,
    *,
    weights: str,
    train_hashes: tuple[str, ...],
    validation_hashes: tuple[str, ...],
    num_processes: int = 1,
) -> dict[str, Any]:
    """Return a training run's identity: dotted setting -> value, and what stands for paths.

    Args:
        run: the resolved configuration.
        weights: hash of the checkpoint it starts from.
        train_hashes: of the manifests to train on, in their order.
        validation_hashes: of those to validate on.
        num_processes: that share each step.
    """
    settings = {name: value for name, value in _flat(run.model_dump(mode="json")).items() if name not in NOT_IDENTITY}
    training = run.training
    at_once = training.batch_size if isinstance(run, SftConfig) else run.training.prompts_per_device
    return {
        "weights": weights,
        "training manifests": list(train_hashes),
        "validation manifests": list(validation_hashes),
        "examples_per_step": at_once * training.gradient_accumulation_steps * num_processes,
        **settings,
    }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        # `rewards` is one setting, not a section: its names are the user's.
        if isinstance(value, dict) and name != "rewards":
            flat |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat
