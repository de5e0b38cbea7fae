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


@pytest.fixture
def r1omni_in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `r1omni ...` as the fixture above does, but in this process, where torch is imported already."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        from r1omni.cli.app import main

        command = ["r1omni", *map(str, arguments)]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", command)
        for name, value in {"COLUMNS": "120", "TRANSFORMERS_VERBOSITY": "error"}.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return subprocess.CompletedProcess(command, left.value.code, said.out, said.err)

    return run
