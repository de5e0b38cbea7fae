"""Annotations of the package: types are named, and functions take few parameters."""

import ast
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from r1omni.core.instruction import parse_answer
from r1omni.core.media_read import PicturesRead
from r1omni.infer.features import Features
from r1omni.model.projector import slow_fast
from type_checker import checked

PACKAGE = Path(__file__).parents[2] / "src" / "r1omni"
MAX_BARE_ANY = 20
MAX_PARAMETERS = 12
CONVENTION = {
    ("model/modeling.py", "forward"),  # transformers' model call
    ("model/processing.py", "__init__"),  # transformers saves a processor by the arguments of its __init__
    ("cli/annotate.py", "annotate"),  # typer: a parameter is an option
    ("cli/explain.py", "explain"),  # likewise
    ("cli/evaluate.py", "evaluate"),  # likewise
    ("cli/predict.py", "predict"),  # likewise
    ("datasets/adapters/table.py", "read"),  # `r1omni data`: a parameter is an option
}
"""Functions whose parameters a library's convention, or the command line's, asks for."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_of(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def parameters(function: Function) -> list[ast.arg]:
    spec = function.args
    every = [*spec.posonlyargs, *spec.args, spec.vararg, *spec.kwonlyargs, spec.kwarg]
    return [parameter for parameter in every if parameter is not None and parameter.arg not in ("self", "cls")]


def bare_any(function: Function) -> list[str]:
    return [
        f"{function.name}({parameter.arg})"
        for parameter in parameters(function)
        if parameter.annotation is not None and ast.unparse(parameter.annotation) == "Any"
    ]


@cache
def functions() -> tuple[tuple[str, Function], ...]:
    """Every function of the package with its file."""
    return tuple(
        (path.relative_to(PACKAGE).as_posix(), function)
        for path in sorted(PACKAGE.rglob("*.py"))
        for function in functions_of(path.read_text(encoding="utf-8"))
    )


def test_what_is_counted():
    source = (
        "def f(self, a: Any, *b: Any, c: int, d: dict[str, Any] = {}, **e: Any): ...\nasync def g(a, b: 'Any'): ..."
    )
    first, second = functions_of(source)
    assert bare_any(first) == ["f(a)", "f(b)", "f(e)"] and bare_any(second) == []
    assert len(parameters(first)) == 5 and len(parameters(second)) == 2


def test_hardly_any_parameter_is_a_bare_any():
    found = [f"{path}: {name}" for path, function in functions() for name in bare_any(function)]
    assert len(found) <= MAX_BARE_ANY, "name their types:\n" + "\n".join(found)


def test_no_function_takes_more_than_twelve_parameters():
    long = {
        (path, function.name): len(parameters(function))
        for path, function in functions()
        if len(parameters(function)) > MAX_PARAMETERS
    }
    assert {key: count for key, count in long.items() if key not in CONVENTION} == {}


def test_every_exception_is_still_needed():
    long = {(path, function.name) for path, function in functions() if len(parameters(function)) > MAX_PARAMETERS}
    assert long >= CONVENTION


def test_the_package_is_checked_shapes_included():
    assert slow_fast(torch.zeros(1, 8, 4), 2).shape == (1, 2 + 4, 4)
    with pytest.raises(TypeCheckError, match="batch tokens hidden"):
        slow_fast(torch.zeros(8, 4), 2)
    with pytest.raises(TypeCheckError, match="num_frames"):
        slow_fast(torch.zeros(1, 8, 4), "two")  # pyright: ignore[reportArgumentType]


def test_functions_and_dataclasses_are_checked_with_and_without_shapes():
    with pytest.raises(BeartypeCallHintViolation, match="text"):
        parse_answer(1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(BeartypeCallHintViolation, match="num_frames"):
        PicturesRead("eight", 1.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeCheckError, match="video"):
        Features(torch.zeros(4), None)


def test_checking_draws_nothing_from_the_generator_of_the_code_under_test():
    state = random.getstate()
    assert checked_length([1, 2, 3]) == 3
    with pytest.raises(BeartypeCallHintViolation):
        checked_length(["one"])
    assert random.getstate() == state


@checked
def checked_length(numbers: list[int]) -> int:
    return len(numbers)
