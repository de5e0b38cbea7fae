"""What an import loads, and what the package root exports."""

import subprocess
import sys
from pathlib import Path

import pytest

import r1omni

HEAVY = ("torch", "transformers", "av", "numpy")


def modules_loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n' + ' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import r1omni",
        "import r1omni.config.sft_run, r1omni.config.grpo_run, r1omni.config.load",
        "import r1omni.core.clip, r1omni.core.instruction, r1omni.core.labels, r1omni.core.errors",
    ],
)
def test_import_loads_neither_torch_nor_transformers(code: str):
    assert not modules_loaded_by(code) & set(HEAVY)


def test_the_root_exports_at_most_twenty_sorted_names():
    assert r1omni.__all__ == sorted(r1omni.__all__)
    assert len(r1omni.__all__) <= 20


def test_every_exported_name_resolves_and_hides_no_room():
    rooms = {path.name for path in Path(r1omni.__file__).parent.iterdir() if path.is_dir()}
    for name in r1omni.__all__:
        assert callable(getattr(r1omni, name))
        assert name not in rooms


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        r1omni.nothing  # noqa: B018 - the access itself is the test


def test_the_package_says_that_it_is_typed():
    assert (Path(r1omni.__file__).parent / "py.typed").is_file()
