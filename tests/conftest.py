"""For every test: one thread, no network, and a command line that runs as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def r1omni(tmp_path: Path) -> Command:
    """Run `r1omni ...` in an empty folder; returns its exit code, standard output and standard error."""

    def run(*arguments: str | Path, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "r1omni.cli", *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env={**os.environ, "COLUMNS": "120", **environment}, capture_output=True, text=True
        )

    return run
