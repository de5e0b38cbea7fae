"""Unit tests run with every annotation of the package checked, tensor shapes included.

The hook works on modules as they are imported, so a test file run together with others is checked like them, and child
processes, which import anew, are not checked.
"""

from pathlib import Path

from type_checker import check_on_import

PACKAGE = Path(__file__).parents[2] / "src" / "r1omni"
UNCHECKED = {
    "r1omni.model.configuration",  # transformers adds keyword arguments to the dataclass that its signature lacks
    "r1omni.model.processing",  # transformers reads the argument names from the code of the processor's __init__
}


def _modules() -> list[str]:
    files = (path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return [".".join(file.parts) for file in files if not file.name.startswith("__")]


# typer calls the functions of the command line with what a user left out as None, whatever their annotations say.
CHECKED = [name for name in _modules() if name not in UNCHECKED and not name.startswith("r1omni.cli.")]

check_on_import(CHECKED)
