"""JSON that any reader accepts, and no other way to print it."""

import ast
import json
from pathlib import Path

import pytest

import r1omni
from r1omni.core.json_text import json_text

ROOT = Path(r1omni.__file__).parent
INTERNAL = {"evaluate/run.py", "serve/supervisor.py", "serve/worker_line.py"}
"""Files whose JSON is hashed, or passed between two processes of this package."""
PRINTING = ("cli", "runs", "reproduce", "serve", "evaluate", "explain", "evidence")


def test_numbers_that_are_not_finite_become_null_at_any_depth():
    value = {"a": float("nan"), "b": [1.5, float("inf"), {"c": (-float("inf"), "NaN")}], "d": True}
    assert json_text(value) == '{"a": null, "b": [1.5, null, {"c": [null, "NaN"]}], "d": true}'


def test_text_is_kept_readable_and_always_encodes():
    assert json_text({"path": "größe"}) == '{"path": "größe"}'
    odd = {"path": b"\xff.mp4".decode(errors="surrogateescape")}
    assert json_text(odd).encode() == b'{"path": "\\udcff.mp4"}' and json.loads(json_text(odd)) == odd


@pytest.mark.parametrize("room", PRINTING)
def test_what_is_printed_or_written_as_json_goes_through_one_writer(room: str):
    own = []
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ("dumps", "dump", "print_json")
                and (isinstance(node.value, ast.Name) and node.value.id.startswith(("json", "rich", "console")))
            ):
                own.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert [place for place in own if place.split(":")[0] not in INTERNAL] == []
