"""What a run is made with: versions, git revision, seed and manifests. Kept in its record, never compared."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = ("r1omni", "torch", "transformers", "accelerate", "peft", "numpy", "av")


def run_facts(seed: int | None = None, manifest_hashes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Say what a run is made with.

    Args:
        seed: the run's seed; None where nothing is drawn.
        manifest_hashes: manifest's path -> SHA-256 of its content.
    """
    return {
        "seed": seed,
        "manifests": dict(manifest_hashes or {}),
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in RECORDED_PACKAGES},
    }


def git_revision() -> str | None:
    """Return the revision this package runs from, `-dirty` where it was changed; None where it is not under git."""
    here = Path(__file__)
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
