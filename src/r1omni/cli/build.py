"""What training and evaluation build before they start: the clips, the engine, and the measure of validation."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1omni.cli.progress import hide_loading_bars
from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.instruction import LABEL_INSTRUCTION, REASONING_INSTRUCTION
from r1omni.core.labels import DFEW_LABELS, EMOTIONS, MAFW_LABELS, RAVDESS_LABELS

if TYPE_CHECKING:
    from r1omni.infer.engine import Engine

INSTRUCTIONS = {"reasoning": REASONING_INSTRUCTION, "label": LABEL_INSTRUCTION}
"""What a model is asked for -> how."""

LABEL_SETS = {"dfew": DFEW_LABELS, "mafw": MAFW_LABELS, "ravdess": RAVDESS_LABELS, "all": EMOTIONS}


def load_for_use(source: str) -> tuple[Any, Any]:
    """Load a model and its processor onto the best device, in the number format it computes best in.

    Args:
        source: a folder or a hub id.
    """
    import torch

    from r1omni.model.checkpoint import load_model

    hide_loading_bars()
    return load_model(source, device="cuda" if torch.cuda.is_available() else "cpu")


def build_engine(model: Any, processor: Any, settings: EngineSection) -> "Engine":
    """Build the one engine over a loaded model.

    Args:
        model: HumanOmni.
        processor: its processor.
        settings: the engine's section of a configuration.
    """
    from r1omni.infer.cache import FeatureCache
    from r1omni.infer.engine import Engine

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


def label_set(clips: Sequence[Clip]) -> tuple[str, ...]:
    """Return the smallest corpus's label set that holds every gold label of the clips.

    Args:
        clips: a manifest.

    Raises:
        ConfigError: no clip has a label.
    """
    golds = {clip.label for clip in clips if clip.label is not None}
    if not golds:
        raise ConfigError(
            "no clip has a gold label: there is nothing to measure against; mend the manifest or the split"
        )
    return next((labels for labels in LABEL_SETS.values() if golds <= set(labels)), tuple(sorted(golds)))


def greedy_texts(engine: "Engine", instruction: str, max_new_tokens: int) -> Callable[[list[Clip]], list[Any]]:
    """Return a function from clips to the likeliest text, or the error, of each.

    Args:
        engine: the loaded model.
        instruction: what is asked.
        max_new_tokens: limit of an answer.
    """

    def generate(clips: list[Clip]) -> list[str | MediaError]:
        rows = engine.generate(clips, instruction, max_new_tokens=max_new_tokens)
        return [row if isinstance(row, MediaError) else row[0].text for row in rows]

    return generate
