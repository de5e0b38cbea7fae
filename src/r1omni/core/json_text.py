"""The one way values become JSON text: numbers that are not finite become null, because JSON has no NaN or Infinity."""

import json
import math
from collections.abc import Mapping


def json_text(value: object, *, indent: int | None = None) -> str:
    """Write a value as one JSON document that any reader accepts.

    Args:
        value: what JSON can hold; NaN and infinity become null, tuples become arrays.
        indent: spaces per level; None writes one line.
    """
    finite = _finite(value)
    text = json.dumps(finite, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except (
        UnicodeEncodeError
    ):  # a file name that is not UTF-8: its bytes are lone surrogates, which only escapes can hold
        return json.dumps(finite, indent=indent, allow_nan=False)
    return text


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
