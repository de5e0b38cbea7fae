"""What checks annotations while unit tests run: beartype, with an int accepted where a float is asked for (PEP 484).

jaxtyping's own import hook wraps every function for shapes, which took a fifth of the unit tests' time. Here a function
gets that wrapper only if its annotations have shapes, or cannot be resolved yet; beartype alone checks the others.

Of a long list beartype checks one item, which it draws at random. It gets a generator of its own here: drawing from
Python's global one would change what the code under test draws from it.
"""

import ast
import dataclasses
import inspect
import random
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import TypeVar, get_args, get_type_hints

from beartype import BeartypeConf, beartype
from beartype._check.code import codemain
from jaxtyping import AbstractArray, jaxtyped

assert hasattr(codemain, "getrandbits"), "beartype draws elsewhere now; see test_house_types.py"
codemain.getrandbits = random.Random(0).getrandbits

T = TypeVar("T")
CACHED = ".checked.pyc"
"""Ending of the compiled files of modules that are checked."""

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked_with_shapes(found: T) -> T:
    """Decorate a function, or the generated constructor of a dataclass, with the check that it needs."""
    if isinstance(found, type):
        if dataclasses.is_dataclass(found) and "__init__" in vars(found):
            found.__init__ = _checked_function(found.__init__)
        return found
    return _checked_function(found)


def _checked_function(function: Callable) -> Callable:
    if _needs_shapes(function):
        return jaxtyped(function, typechecker=checked)
    return checked(function)


def _needs_shapes(function: Callable) -> bool:
    if inspect.isgeneratorfunction(function):
        return True  # jaxtyping checks the iterator it returns and leaves alone what that yields
    try:
        hints = get_type_hints(function, include_extras=True)
    except (AttributeError, NameError, TypeError):
        return True  # a name that does not exist yet, such as the class that is being made: jaxtyping takes it for Any
    return any(map(_has_shape, hints.values()))


def _has_shape(hint: object) -> bool:
    if isinstance(hint, list):
        return any(map(_has_shape, hint))
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(map(_has_shape, get_args(hint)))


class _Decorated(ast.NodeTransformer):
    """Every function gets the check as its innermost decorator, every class as its outermost one."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list.append(_decorator(node))
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.decorator_list.insert(0, _decorator(node))
        self.generic_visit(node)
        return node


def _decorator(node: ast.FunctionDef | ast.ClassDef) -> ast.expr:
    """Return the check, on the first line of what it decorates: Python 3.13 keeps the first decorator's for a class."""
    check = ast.parse(f"__import__({__name__!r}).checked_with_shapes", mode="eval").body
    first = node.decorator_list[0] if node.decorator_list else node
    for part in ast.walk(check):
        ast.copy_location(part, first)
    return check


class _Loader(SourceFileLoader):
    def source_to_code(self, data: bytes, path: str, *, _optimize: int = -1) -> CodeType:
        tree = ast.fix_missing_locations(_Decorated().visit(ast.parse(data, path)))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def get_data(self, path: str) -> bytes:
        return super().get_data(path.replace(".pyc", CACHED))

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:
        super().set_data(path.replace(".pyc", CACHED), data, _mode=_mode)


class _Finder(MetaPathFinder):
    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = frozenset(modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.modules:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def check_on_import(modules: Sequence[str]) -> None:
    """Check the annotations of the functions and dataclasses of some modules, from their import on.

    Args:
        modules: full names.
    """
    sys.meta_path.insert(0, _Finder(modules))
