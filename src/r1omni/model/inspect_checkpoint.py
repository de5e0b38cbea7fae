"""What `r1omni checkpoint inspect` reports: the parts of a checkpoint and everything that keeps it from loading."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from r1omni.core.errors import CheckpointError
from r1omni.model.configuration import HumanOmniConfig, VideoPooling
from r1omni.model.finite_weights import not_finite, sentence
from r1omni.model.official import PARTS, part_of
from r1omni.model.published_towers import Towers
from r1omni.model.read_checkpoint import Checkpoint, read_checkpoint
from r1omni.model.weights import Stored


@dataclass(frozen=True)
class PartReport:
    """One part of a checkpoint."""

    name: str
    num_parameters: int
    """Parameters that are read."""
    dtypes: tuple[str, ...]
    """As stored, the most frequent first."""
    files: tuple[str, ...]
    """The files that contain them."""


@dataclass(frozen=True)
class CheckpointReport:
    """What `r1omni checkpoint inspect` shows."""

    folder: Path
    """Of the whole model; of an adapter, its base's."""
    layout: str
    """`r1omni` or `official`."""
    config: HumanOmniConfig
    parts: tuple[PartReport, ...]
    num_unread_parameters: int
    """Stored but unused: the vision tower's last layer and heads, poolers, classifiers, names of no part."""
    problems: tuple[str, ...]
    """Problems that keep it from loading, one sentence each."""
    adapter: Path | None = None
    """The LoRA adapters that are folded in."""
    num_adapted: int = 0
    """Weights that they change."""


def inspect_checkpoint(
    path_or_id: str | os.PathLike[str],
    *,
    vision: str | None = None,
    audio: str | None = None,
    router: str | None = None,
    base: str | None = None,
    video_pooling: VideoPooling | None = None,
    reads_values: bool = False,
) -> CheckpointReport:
    """Report a checkpoint's parts and problems, from headers, settings and tokenizers.

    Args:
        path_or_id: the folder or hub id.
        vision: see `load_model`.
        audio: see `load_model`.
        router: see `load_model`.
        base: see `load_model`.
        video_pooling: see `load_model`.
        reads_values: also read every weight and report NaN and infinity.

    Raises:
        CheckpointError: it is no checkpoint, or config.json or the weights cannot be read at all.
        ConfigError: `base` is given for a checkpoint that is not an adapter.
    """
    checkpoint = read_checkpoint(
        path_or_id, towers=Towers(vision, audio, router), base=base, video_pooling=video_pooling
    )
    checkpoint.note_pooling()
    problems = list(checkpoint.problems)
    if not problems:
        try:
            checkpoint.generation_config(checkpoint.processor())
        except CheckpointError as error:
            problems.append(str(error))
    if reads_values and not problems:
        problems += _bad_values(checkpoint)
    adapter = checkpoint.adapter
    return CheckpointReport(
        checkpoint.folder,
        checkpoint.layout,
        checkpoint.config,
        tuple(_part_report(part, checkpoint.sources) for part in PARTS),
        sum(stored.num_parameters for stored in checkpoint.unread),
        tuple(problems),
        None if adapter is None else adapter.folder,
        0 if adapter is None else len(adapter.deltas) + len(adapter.replaced),
    )


def _bad_values(checkpoint: Checkpoint) -> list[str]:
    bad = [(name, tensor) for name, tensor in checkpoint.tensors(keeps_dtype=True) if not_finite({name: tensor})]
    return [sentence(*bad[0], checkpoint.place_of(bad[0][0]), len(bad))] if bad else []


def _part_report(part: str, sources: dict[str, Stored]) -> PartReport:
    held = [stored for name, stored in sources.items() if part_of(name) == part]
    dtypes = Counter(stored.dtype for stored in held)
    return PartReport(
        part,
        sum(stored.num_parameters for stored in held),
        tuple(dtype for dtype, _ in dtypes.most_common()),
        tuple(sorted({str(stored.file) for stored in held})),
    )
