"""Explanations as files: the page of one clip, or a folder with an index and a page per clip."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.explain.explanation import Explanation, Measure, Question, explain_clip
from r1omni.infer.engine import Engine
from r1omni.report.explanation_page import explanation_index, explanation_page
from r1omni.runs.files import write_text

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class ExplainedClip:
    """A clip with its explanation, or with the reason why there is none."""

    clip: Clip
    explanation: Explanation | None
    error: MediaError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record of `explain --json`: the explanation's, or the clip's id and the error."""
        if self.explanation is not None:
            return self.explanation.to_json()
        assert self.error is not None
        return {
            "id": self.clip.id,
            "path": self.clip.path.name,
            "error": {"kind": self.error.kind, "sentence": str(self.error)},
        }


def explain_clips(
    engine: Engine, measure: Measure, clips: Sequence[Clip], question: Question | None = None
) -> Iterator[ExplainedClip]:
    """Explain clips one after the other, in their order; a clip that cannot be read gives its error.

    Args:
        engine: see `explain_clip`.
        measure: likewise.
        clips: any number.
        question: likewise.
    """
    for clip in clips:
        try:
            yield ExplainedClip(clip, explain_clip(engine, measure, clip, question))
        except MediaError as error:
            yield ExplainedClip(clip, None, error)


def clip_page(explanation: Explanation, note: str | None = None) -> str:
    """Return the page of one clip as one HTML document.

    Args:
        explanation: of the clip.
        note: what a reader should know about the model, as a sentence.
    """
    return explanation_page(explanation.to_json(), explanation.pictures, note)


class PageFolder:
    """Writes a page per clip, and at last the index.

    Args:
        folder: is made if missing; pages of the same names are replaced.
        title: of the index.
        note: what a reader should know about the model, as a sentence.
    """

    def __init__(self, folder: Path, title: str, note: str | None = None) -> None:
        self.folder, self.title, self.note = folder, title, note
        self._rows: list[dict[str, Any]] = []

    def add(self, explained: ExplainedClip) -> None:
        """Write a clip's page; a clip that could not be read is a line of the index.

        Args:
            explained: the clip.
        """
        record = explained.to_json()
        if explained.explanation is None:
            self._rows.append({"id": explained.clip.id, "error": record["error"]["sentence"]})
            return
        safe = _UNSAFE.sub("-", explained.clip.id).strip(".-")[-_LONGEST_NAME:] or "clip"
        name = f"{len(self._rows) + 1:05}-{safe}.html"
        write_text(self.folder / name, clip_page(explained.explanation, self.note))
        slim = {key: value for key, value in record.items() if key not in ("tracks", "evidence", "claims")}
        self._rows.append({"page": name, "record": slim})

    def write_index(self) -> Path:
        """Write the index of what was added, and return its path."""
        index = self.folder / "index.html"
        write_text(index, explanation_index(self._rows, self.title, self.note))
        return index
