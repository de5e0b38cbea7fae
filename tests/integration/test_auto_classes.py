"""What `import r1omni` gives to transformers' Auto classes, in a process of its own for each order of the imports."""

import subprocess
import sys

import pytest

AUTO = "from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor"
ORDERS = {"first": ("import r1omni", AUTO), "after": (AUTO, "import r1omni")}
LOAD = """
import sys
print(*sys.modules)
from importlib.resources import files
folder = str(files("r1omni") / "assets" / "drawn-people")
print(*(type(auto.from_pretrained(folder)).__name__ for auto in (AutoConfig, AutoProcessor, AutoModelForCausalLM)))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, tuple[str, str]]:
    """Order of the imports -> the modules that they load, and the classes of the bundled model's parts."""
    lines = {}
    for name, order in ORDERS.items():
        command = [sys.executable, "-c", "\n".join([*order, LOAD])]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded, classes = run.stdout.splitlines()[-2:]
        lines[name] = loaded, classes
    return lines


@pytest.mark.parametrize("order", ORDERS)
def test_auto_classes_load_our_checkpoints_whether_r1omni_is_imported_first_or_last(said, order: str):
    assert said[order][1] == "HumanOmniConfig HumanOmniProcessor HumanOmniForConditionalGeneration"


def test_importing_transformers_beside_r1omni_loads_none_of_our_model_code(said):
    loaded = said["first"][0].split()
    assert "transformers.models.auto.processing_auto" in loaded
    assert not {name for name in loaded if name.startswith("r1omni.model.")} - {"r1omni.model.auto_classes"}
