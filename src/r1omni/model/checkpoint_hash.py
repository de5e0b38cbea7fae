"""What a checkpoint is, by content: one hash over everything that is loaded from it, whatever path or hub id names it.

Weights are read from headers alone and hashed through `runs.file_hashes`, which remembers files by path, size and
times; no model is built or loaded.
"""

import hashlib
import json
import os
from pathlib import Path

from r1omni.core.errors import CheckpointError
from r1omni.model.configuration import VideoPooling
from r1omni.model.published_towers import Towers
from r1omni.model.read_checkpoint import read_checkpoint
from r1omni.runs.file_hashes import FileHashes, shared_file_hashes

_SETTINGS = ("*.json", "*.txt", "*.jinja", "*/*.json", "*/*.txt", "*/*.jinja")
"""Configuration, processor and vocabularies, those of the router's tokenizer in a folder below."""


def checkpoint_identity(
    path_or_id: str | os.PathLike[str],
    *,
    video_pooling: VideoPooling | None = None,
    towers: Towers | None = None,
    base: str | None = None,
    hashes: FileHashes | None = None,
) -> dict[str, str]:
    """Return what a run's identity says of the model it uses.

    Args:
        path_or_id: a folder of ours, a published folder, an adapter folder, or a hub id.
        video_pooling: how video tokens are pooled; None takes the checkpoint's own.
        towers: where a published checkpoint's towers come from; None takes the defaults.
        base: the model that an adapter was trained on; None takes the recorded one.
        hashes: remembers files; None takes those that all of this package remembers.

    Returns:
        `weights`, a hash of weights, settings and vocabularies; and `video_pooling`, resolved.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
    """
    checkpoint = read_checkpoint(path_or_id, towers=towers, base=base, video_pooling=video_pooling)
    checkpoint.raise_problems()
    folder, official = checkpoint.folder, checkpoint.official
    weights = set(checkpoint.weights_files)
    towers_used = () if official is None else (official.router_folder, official.vision_folder)
    others = {path for path in towers_used if path is not None}
    folders = {folder, *others, *(path.parent for path in weights)}
    files = weights | {path for place in folders for pattern in _SETTINGS for path in place.glob(pattern)}
    return {
        "weights": _sha256_of(folder, files, hashes or shared_file_hashes()),
        "video_pooling": checkpoint.config.video_pooling,
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
