"""Parses cells of users' tables: missing values, numbers, times, folds."""

import re

_MISSING = frozenset({"", "nan", "n/a", "#n/a", "na", "none", "null", "<na>", "nat", "-"})
_WHOLE = re.compile(r"(-?\d+)(?:[.,]0*)?")
_SECONDS = re.compile(r"(\d+(?:[.,]\d*)?|[.,]\d+)\s*(?:s|sec|seconds)?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)")
_FOLD = re.compile(r"(?:fold)?[\s_-]*(\d+)(?:\.0*)?", re.IGNORECASE)


def is_missing(text: str) -> bool:
    """Return whether a cell is a missing value, as spreadsheets, pandas and people write it.

    Args:
        text: the cell.
    """
    return text.strip().lower() in _MISSING


def whole_number(text: str) -> str | None:
    """Return a whole number without its zero decimals (`3.0` is `3`); None for any other text.

    Args:
        text: the cell.
    """
    match = _WHOLE.fullmatch(text.strip())
    return match[1] if match else None


def seconds(text: str) -> float:
    """Read a time: `1.5`, `1,5`, `1.5 s`, `01:02`, `00:01:02.5`, `00:01:02,500`.

    Args:
        text: the cell.

    Raises:
        ValueError: the cell has another format.
    """
    text = text.strip()
    if match := _CLOCK.fullmatch(text):
        hours, minutes, rest = match.groups(default="0")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
    if match := _SECONDS.fullmatch(text):
        return float(match[1].replace(",", "."))
    raise ValueError(f"{text!r}, which is neither seconds nor hh:mm:ss")


def fold_number(text: str) -> int:
    """Read a fold: `1`, `1.0`, `fold_1`.

    Args:
        text: the cell.

    Raises:
        ValueError: the cell has another format.
    """
    match = _FOLD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r}, which is not the number of a fold")
    return int(match[1])
