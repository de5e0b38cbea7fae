"""What a checkpoint is, by content: one hash over everything that is loaded from it, whatever path or hub id names it.

Weights are read from headers alone and hashed through `runs.file_hashes`, which remembers files by path, size and
times; no model is built or loaded.
"""

import hashlib
import json
import os
from pathlib import Path

from r1omni.core.errors import CheckpointError
from r1omni.model.configuration import HumanOmniConfig, VideoPooling
from r1omni.model.official import is_official, published_pooling, read_official
from r1omni.model.published_towers import Towers, fetch
from r1omni.model.weights import read_inventory, read_json
from r1omni.runs.file_hashes import FileHashes, shared_file_hashes

_SETTINGS = ("*.json", "*.txt", "*.jinja", "*/*.json", "*/*.txt", "*/*.jinja")
"""Configuration, processor and vocabularies, those of the router's tokenizer in a folder below."""


def checkpoint_identity(
    path_or_id: str | os.PathLike[str],
    *,
    video_pooling: VideoPooling | None = None,
    towers: Towers | None = None,
    hashes: FileHashes | None = None,
) -> dict[str, str]:
    """Return what a run's identity says of the model it uses.

    Args:
        path_or_id: a folder of ours, a published folder, or a hub id.
        video_pooling: how video tokens are pooled; None takes the checkpoint's own.
        towers: where a published checkpoint's towers come from; None takes the defaults.
        hashes: remembers files; None takes those that all of this package remembers.

    Returns:
        `weights`, a hash of weights, settings and vocabularies; and `video_pooling`, resolved.

    Raises:
        CheckpointError: the checkpoint cannot be read.
    """
    folder = fetch(os.fspath(path_or_id), "the model")
    raw = read_json(folder / "config.json", "the model's settings")
    if is_official(raw):
        checkpoint = read_official(folder, towers or Towers())
        weights = {stored.file for stored in checkpoint.sources.values()}
        others = {path for path in (checkpoint.router_folder, checkpoint.vision_folder) if path is not None}
        own_pooling = published_pooling(path_or_id)
    else:
        weights, others = {stored.file for stored in read_inventory(folder).values()}, set()
        own_pooling = HumanOmniConfig.from_pretrained(folder).video_pooling
    folders = {folder, *others, *(path.parent for path in weights)}
    files = weights | {path for place in folders for pattern in _SETTINGS for path in place.glob(pattern)}
    return {
        "weights": _sha256_of(folder, files, hashes or shared_file_hashes()),
        "video_pooling": video_pooling or own_pooling,
    }


def _sha256_of(folder: Path, files: set[Path], hashes: FileHashes) -> str:
    """Hash names and contents; names are relative, so that a folder that was moved stays what it was."""
    try:
        rows = sorted(
            [str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name, hashes.sha256(path)]
            for path in files
            if path.is_file()
        )
    except OSError as error:
        raise CheckpointError(
            f"{error.filename} cannot be read ({error.strerror}); download the folder again"
        ) from error
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
