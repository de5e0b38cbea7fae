"""Only `runs/` writes files under temporary names."""

import ast
from pathlib import Path

import pytest

import r1omni

ROOT = Path(r1omni.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.parent.name != "runs")
RENAMING = {"mkstemp", "NamedTemporaryFile", "rename", "renames"}


def own_writers(source: str) -> list[str]:
    """What in a module writes atomically by itself: calls that rename, and names of half-written files."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, owner = node.func.attr, node.func.value
            # `replace` of a text takes two arguments, that of a path one; the module `os` has one too.
            one_target = name == "replace" and len(node.args) + len(node.keywords) == 1
            of_os = name == "replace" and isinstance(owner, ast.Name) and owner.id in ("os", "shutil")
            if name in RENAMING or one_target or of_os:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            if node.value.endswith((".partial", ".part", ".tmp")) or node.value.startswith(".partial"):
                found.append(f"line {node.lineno}: {node.value!r}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_but_runs_writes_under_temporary_names(path: Path):
    assert own_writers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "os.replace(a, b)",
        "tempfile.mkstemp(dir=folder)",
        "partial.replace(target)",
        "partial.rename(target)",
        "path.with_suffix('.partial')",
        "path.with_name(f'.{path.name}.part')",
    ],
)
def test_a_writer_of_its_own_is_found(source: str):
    assert own_writers(source)


def test_a_replacement_in_a_text_is_no_writer():
    assert own_writers("text.replace('a', 'b')\ndataclasses.replace(clip, path=path)") == []
