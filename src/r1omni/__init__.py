"""R1-Omni: emotion recognition from pictures and sound that gives its reasons, and the recipe that trains it.

The names below load on first use, so that `import r1omni` loads neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r1omni.core.clip import Answer, Clip, Score
    from r1omni.core.errors import R1OmniError
    from r1omni.core.instruction import parse_answer

_HOME = {
    "Answer": "r1omni.core.clip",
    "Clip": "r1omni.core.clip",
    "R1OmniError": "r1omni.core.errors",
    "Score": "r1omni.core.clip",
    "parse_answer": "r1omni.core.instruction",
}
"""Each exported name and the module it lives in."""

__all__ = ["Answer", "Clip", "R1OmniError", "Score", "parse_answer"]


def __getattr__(name: str) -> Any:
    """Load an exported name from its home, once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the exported names."""
    return sorted(__all__)
