"""What training and evaluation build before they start: the clips, the engine, and the measure of validation."""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1omni.cli.progress import hide_loading_bars
from r1omni.config.sections import DataSection, EngineSection, LoraSection, VideoPooling
from r1omni.core.clip import Answer, Clip
from r1omni.core.errors import ConfigError
from r1omni.core.labels import label_set

if TYPE_CHECKING:
    from r1omni.infer.engine import Engine


def load_for_use(source: str, video_pooling: VideoPooling | None = None) -> tuple[Any, Any]:
    """Load a model and its processor onto the best device, in the number format it computes best in.

    Args:
        source: a folder or a hub id.
        video_pooling: how a clip's video tokens are pooled; None takes the checkpoint's own.
    """
    import torch

    from r1omni.model.load_model import load_model

    hide_loading_bars()
    return load_model(source, device="cuda" if torch.cuda.is_available() else "cpu", video_pooling=video_pooling)


def build_engine(model: Any, processor: Any, settings: EngineSection) -> "Engine":
    """Build the one engine over a loaded model.

    Args:
        model: HumanOmni.
        processor: its processor.
        settings: the engine's section of a configuration.
    """
    from r1omni.infer.engine import Engine
    from r1omni.infer.feature_cache import FeatureCache

    folder = settings.cache_dir or Path(os.environ.get("R1OMNI_CACHE", "~/.cache/r1omni")).expanduser() / "features"
    return Engine(
        model,
        processor,
        cache=FeatureCache(folder, settings.cache_bytes),
        batch_size=settings.batch_size,
        num_workers=settings.num_workers,
        num_frames=settings.num_frames or processor.num_frames,
        modality=settings.modality,
    )


def training_clips(data: DataSection, *, needs_reasoning: bool = False) -> list[Clip]:
    """Read the training clips of a configuration.

    Args:
        data: which manifests, and which part of them.
        needs_reasoning: refuse clips without reasoning.

    Raises:
        ConfigError: nothing is left to train on, or a clip lacks what is to be learnt.
    """
    from r1omni.datasets.manifest import read_manifest

    clips = [
        clip
        for manifest in data.train
        for clip in read_manifest(manifest)
        if (data.fold is None or clip.fold != data.fold) and (data.split is None or clip.split == data.split)
    ]
    if not clips:
        raise ConfigError("no training clip is left: mend data.train, data.fold or data.split")
    for what in ["label", *(["reasoning"] if needs_reasoning else [])]:
        lacking = [clip.id for clip in clips if not getattr(clip, what)]
        if lacking:
            raise ConfigError(
                f"{len(lacking)} of {len(clips)} training clips have no {what} ({lacking[0]} first); leave them out of "
                "the manifest, or train with --answers label"
            )
    return clips


def load_for_training(
    source: str, lora: LoraSection | None, video_pooling: VideoPooling | None = None
) -> tuple[Any, Any]:
    """Load a model in fp32, with adapters where they are asked for, and its processor.

    Args:
        source: a folder or a hub id.
        lora: the adapters; None trains the parts themselves.
        video_pooling: how a clip's video tokens are pooled; None takes the checkpoint's own.
    """
    import torch

    from r1omni.model.load_model import load_model

    hide_loading_bars()
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    model, processor = load_model(source, dtype=torch.float32, device=device, video_pooling=video_pooling)
    if lora is None:
        return model, processor
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError:
        raise ConfigError("found a [lora] section, and peft is not installed: pip install 'r1omni[train]'") from None
    names = "|".join(lora.target_modules)
    adapters = LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=rf"language_model\..*\.({names})",
    )
    return get_peft_model(model, adapters), processor


def validator(
    engine: Any, data: DataSection, instruction: str, max_new_tokens: int, seed: int
) -> Callable[[Any], dict[str, float]] | None:
    """Return the measure of validation: WAR and UAR of greedy answers, as fractions; None without validation clips.

    Where clips cannot be read, their share stands beside the two.

    Args:
        engine: over the model in training.
        data: which manifests validate.
        instruction: what the model is asked.
        max_new_tokens: limit of an answer.
        seed: draws the clips where there is a limit on their number.
    """
    if not data.validation:
        return None
    from r1omni.datasets.manifest import read_manifest
    from r1omni.infer.greedy_answers import greedy_predictions
    from r1omni.scoring.prediction import validation_figures

    clips = [clip for manifest in data.validation for clip in read_manifest(manifest) if clip.label is not None]
    if data.max_validation_clips is not None and data.max_validation_clips < len(clips):
        clips = random.Random(seed).sample(clips, data.max_validation_clips)
    label_set(clips)

    def validate(model: Any) -> dict[str, float]:
        return validation_figures(list(greedy_predictions(engine, clips, instruction, max_new_tokens)))

    return validate


def named_rewards(weights: Mapping[str, float], labels: Sequence[str]) -> list[Any]:
    """Return the rewards of a run, each over a parsed answer and its clip.

    Args:
        weights: name -> weight.
        labels: the label set that answers are held against.

    Raises:
        ConfigError: there is no reward of that name.
    """
    from r1omni.scoring.rewards import REWARDS
    from r1omni.train.grpo import Reward

    unknown = [name for name in weights if name not in REWARDS]
    if unknown:
        raise ConfigError(f"rewards.{unknown[0]}: no such reward; there are {', '.join(REWARDS)}")

    def over_clip(name: str) -> Callable[[Answer, Clip], float]:
        return lambda answer, clip: REWARDS[name](answer, clip.label or "", labels)

    return [Reward(name, over_clip(name), weight) for name, weight in weights.items()]
