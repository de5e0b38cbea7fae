"""The command line as a user meets it: help, exit codes, and what it loads."""

import subprocess
import sys
from typing import get_args

import pytest

from conftest import Command
from r1omni.cli.app import app
from r1omni.cli.synth import Corpus
from r1omni.synth.corpus import CORPORA

VERBS = [command.name for command in app.registered_commands]


def test_help_loads_neither_torch_nor_transformers():
    code = (
        "import sys\nsys.argv = ['r1omni', '--help']\n"
        "try:\n    from r1omni.cli.app import main; main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'av', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(r1omni_in_process: Command, verb: str):
    run = r1omni_in_process(verb, "--help")
    assert run.returncode == 0
    assert f"Example: r1omni {verb} " in " ".join(run.stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["synth"],
        ["predict"],
        ["synth", "nothing", "--out", "x"],
        ["predict", "a.mp4", "--modality", "smell"],
    ],
    ids=" ".join,
)
def test_wrong_use_exits_with_2(r1omni: Command, arguments: list[str]):
    run = r1omni(*arguments)
    assert run.returncode == 2
    assert "Usage: " in run.stderr and run.stdout == ""


def test_the_version_is_the_packages(r1omni: Command):
    from importlib.metadata import version

    assert r1omni("--version").stdout == f"{version('r1omni')}\n"


def test_synth_offers_every_corpus():
    assert get_args(Corpus) == tuple(CORPORA)
