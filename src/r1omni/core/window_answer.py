"""The answer to one window of a longer clip, beside the answer that is joined from all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from r1omni.core.media_read import NOTHING_READ, MediaRead


@dataclass(frozen=True)
class WindowAnswer:
    """What the model said of one window."""

    start_s: float
    """Seconds from the file's beginning."""
    stop_s: float
    """End (exclusive), likewise."""
    text: str | None = None
    """The whole output; None where the window could not be read."""
    reasoning: str | None = None
    """Its think part; None without one."""
    answer: str | None = None
    """Its answer part, lower-cased; None where the tags are broken or the window could not be read."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Label -> how likely it was after the reasons; empty where nobody asked."""
    read: MediaRead = NOTHING_READ
    """What was read of the window."""
    error: str | None = None
    """Why the window could not be read, as a sentence."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON has it, without the text: `error` only where the window could not be read."""
        record: dict[str, Any] = {
            "start_s": self.start_s,
            "stop_s": self.stop_s,
            "reasoning": self.reasoning,
            "answer": self.answer,
            "probabilities": dict(self.probabilities) or None,
            "read": self.read.to_json(),
        }
        return record if self.error is None else record | {"error": self.error}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "WindowAnswer":
        """Read what `to_json` wrote; the text is not there.

        Args:
            record: its fields.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is not what `to_json` writes.
        """
        known = {name: record[name] for name in ("start_s", "stop_s", "reasoning", "answer")}
        probabilities = record["probabilities"] or {}
        return cls(
            **known, probabilities=probabilities, read=MediaRead.from_json(record["read"]), error=record.get("error")
        )
