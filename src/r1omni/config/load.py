"""How a run is configured: defaults < TOML files left to right < dotted flags.

One schema serves file and flag: `[data]` with `fold = 2` and `--data.fold 2` are the same setting. A flag's value is
read as TOML where it is TOML (`8`, `true`, `["a", "b"]`) and as a plain string otherwise; `none` unsets a field.
"""

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from r1omni.config.schema import Schema
from r1omni.core.errors import ConfigError

Run = TypeVar("Run", bound=Schema)


def load_run(schema: type[Run], files: Sequence[Path] = (), flags: Sequence[str] = ()) -> Run:
    """Resolve one run.

    Args:
        schema: the kind of run.
        files: TOML files; a later one wins over an earlier one, key by key.
        flags: what followed the files on the command line, as `--dotted.key VALUE` or `--dotted.key=VALUE`.

    Raises:
        ConfigError: a file cannot be read, a key is unknown, or a value does not fit; every fault is named at once.
    """
    settings: dict[str, Any] = {}
    for file in files:
        settings = _merge(settings, _read_toml(file))
    settings = _merge(settings, parse_flags(flags))
    try:
        return schema.model_validate(settings)
    except ValidationError as error:
        faults = "; ".join(_describe(schema, fault) for fault in error.errors(include_url=False))
        sources = ", ".join([*map(str, files), *(["flags"] if flags else [])]) or "defaults"
        raise ConfigError(f"{schema.__name__} ({sources}): {faults}") from None


def parse_flags(flags: Sequence[str]) -> dict[str, Any]:
    """Turn dotted flags into nested settings.

    Args:
        flags: `["--data.fold", "2", "--output_dir=runs/a"]`.
    """
    settings: dict[str, Any] = {}
    for key, raw in split_flags(flags):
        value: Any = _read_value(raw)
        for part in reversed(key.split(".")):
            value = {part: value}
        settings = _merge(settings, value)
    return settings


def split_flags(flags: Sequence[str]) -> list[tuple[str, str]]:
    """Pair flags with their texts; a dash in a name is read as the underscore.

    Args:
        flags: `--key VALUE` or `--key=VALUE`; a flag followed by another flag or by nothing is `true`.

    Raises:
        ConfigError: a word stands where a flag was expected.
    """
    pairs = []
    rest = list(flags)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--") or flag == "--":
            raise ConfigError(f"found {flag!r} where a flag was expected: write --key VALUE")
        key, equals, raw = flag[2:].partition("=")
        if not equals:
            raw = "true" if not rest or rest[0].startswith("--") else rest.pop(0)
        pairs.append((key.replace("-", "_"), raw))
    return pairs


def to_toml(run: Schema) -> str:
    """Write a resolved run as TOML that loads back to an equal one; unset fields are left out.

    Args:
        run: any configuration.
    """
    return _table(run.model_dump(mode="json", exclude_none=True), ()).lstrip("\n")


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such configuration file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: expected a TOML file, found: {error}") from None


def _read_value(raw: str) -> Any:
    if raw.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _section_at(schema: type[Schema], path: Sequence[str | int]) -> type[Schema]:
    """The section that lies at the path of a fault; where the path leaves the sections, the last one."""
    for part in path:
        field = schema.model_fields.get(str(part))
        schema = (section_of(field.annotation) if field else None) or schema
    return schema


def _describe(schema: type[Schema], fault: ErrorDetails) -> str:
    key = ".".join(map(str, fault["loc"])) or "the run"
    if fault["type"] == "missing":
        return f"{key} is missing: set it in a file or with --{key} VALUE"
    if fault["type"] == "extra_forbidden":
        new_name = _section_at(schema, fault["loc"][:-1]).renamed.get(str(fault["loc"][-1]))
        if new_name is not None:
            return f"{key} was renamed: write {new_name}"
        near = difflib.get_close_matches(key, [setting.key for setting in list_settings(schema)], n=1, cutoff=0.5)
        return f"unknown key {key}" + (f", did you mean {near[0]}?" if near else "")
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}, found {fault['input']!r}"


class Setting(NamedTuple):
    """One setting of a schema."""

    key: str
    """Its dotted name, as a flag has it."""
    default: str
    """As a file has it; `required` without a default."""
    meaning: str


def list_settings(schema: type[Schema], prefix: str = "") -> Iterator[Setting]:
    """List every setting of a schema, sections included.

    Args:
        schema: a configuration class.
        prefix: what stands before its keys.
    """
    for name, field in schema.model_fields.items():
        section = section_of(field.annotation)
        if section is not None:
            yield from list_settings(section, f"{prefix}{name}.")
        else:
            default = "required" if field.is_required() else literal(field.default)
            yield Setting(prefix + name, default, " ".join((field.description or "").split()))


def section_of(annotation: object) -> type[Schema] | None:
    """Find the section a field holds, also behind `| None`; None for a plain value.

    Args:
        annotation: the field's type.
    """
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, Schema):
            return candidate
    return None


def _table(settings: dict[str, Any], path: tuple[str, ...]) -> str:
    plain = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
    heading = f"\n[{'.'.join(path)}]\n" if path and (plain or not tables) else ""
    lines = "".join(f"{key} = {literal(value)}\n" for key, value in plain.items())
    return heading + lines + "".join(_table(value, (*path, key)) for key, value in tables.items())


def literal(value: object) -> str:
    """Write a value as a file or a flag has it.

    Args:
        value: of a setting; None is written as the word that unsets it in a flag.
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (int, float)):
        return repr(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
