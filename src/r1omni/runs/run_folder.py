"""A run's folder belongs to one run: its record says which, and any other run is refused.

    run.json    kind, identity and facts of the run; written when the folder is claimed, and never again
    run.toml    the configuration that starts the same run again, where the run has one

The identity is everything that could change what the folder holds: settings, weights and data by their content, the
instruction, limits. What only says where, how fast or how chattily a run works (paths, workers, batch sizes of
evaluation, caches, trackers, devices) is no part of it, and neither is what only grades answers that are kept: grading
is done again instead. Facts (versions, revision, manifests by path) are kept for the reader and never compared.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from r1omni.core.errors import ConfigError
from r1omni.core.json_text import json_text
from r1omni.runs.files import remove_folder, sweep, write_json_once, write_text

RunKind = Literal["evaluation", "annotation", "sft", "grpo", "reproduction"]

RECORD = "run.json"
CONFIGURATION = "run.toml"

_WAY_OUT: dict[RunKind, str] = {
    "evaluation": "Give another --out, or start over with --no-resume.",
    "annotation": "Give another --out, or remove the folder.",
    "sft": "Give another output_dir, or start over with --resume false.",
    "grpo": "Give another output_dir, or start over with --resume false.",
    "reproduction": "Give another --out, or remove the folder.",
}
_CONTENT = (
    "predictions*.jsonl",
    "scores.json",
    "annotations.json",
    "shards",
    "metrics.jsonl",
    "checkpoints",
    "model",
    "stages",
    "table.json",
)
"""What only a run writes: a folder that holds one of these without a record holds a run that nobody can name."""
_MOST_NAMED = 3
"""Differences that a refusal spells out."""
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path
    kind: RunKind
    identity: Mapping[str, Any]
    """Name -> value, as JSON has it, of everything that could change what the folder holds."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the record says; see `run_facts`."""
    configuration: str | None = None
    """The resolved configuration as TOML; None where the run has none."""

    def claim(self) -> None:
        """Take the folder for this run, or go on in it: a record that is there already stays as it is.

        Temporary files of writers that were killed are removed.

        Raises:
            ConfigError: the folder holds a run of another kind or identity, or files of a run without a record.
            WriteError: the disk is full or the folder not writable.
        """
        record = self._read_record()
        if record is None:
            self._refuse_content()
            identity = json.loads(json_text(self.identity))
            written = {"kind": self.kind, "identity": identity, "facts": dict(self.facts)}
            if self.configuration is not None:
                write_text(self.path / CONFIGURATION, self.configuration)
            # Of several processes that claim at once, one writes; the others hold themselves against it.
            record = written if write_json_once(self.path / RECORD, written) else self._read_record() or written
        self._compare(record)
        for folder in (self.path, *(path for path in self.path.iterdir() if path.is_dir())):
            sweep(folder)

    def start_over(self, content: Iterable[str]) -> None:
        """Remove a run of this kind, whatever its identity.

        Args:
            content: patterns of the files and folders that such a run writes, beside its record.

        Raises:
            ConfigError: the folder holds a run of another kind.
        """
        record = self._read_record()
        if record is not None:
            self._compare_kind(record)
        for pattern in (*content, CONFIGURATION, RECORD):
            for path in self.path.glob(pattern):
                if path.is_dir():
                    remove_folder(path)
                else:
                    path.unlink(missing_ok=True)

    def _read_record(self) -> dict[str, Any] | None:
        return read_record(self.path) if (self.path / RECORD).exists() else None

    def _refuse_content(self) -> None:
        found = sorted(path.name for pattern in _CONTENT for path in self.path.glob(pattern))
        if found:
            raise ConfigError(
                f"{self.path} holds {found[0]} but no {RECORD} that says which run wrote it. {_WAY_OUT[self.kind]}"
            )

    def _compare_kind(self, record: Mapping[str, Any]) -> None:
        if record["kind"] != self.kind:
            raise ConfigError(
                f"{self.path} holds another run: its kind is {record['kind']}, this one's is {self.kind}. "
                "Give another folder."
            )

    def _compare(self, record: Mapping[str, Any]) -> None:
        self._compare_kind(record)
        known, own = record["identity"], json.loads(json_text(self.identity))
        differing = [name for name in {**known, **own} if known.get(name) != own.get(name)]
        if not differing:
            return
        shown = [
            f"its {name} is {_shown(known.get(name), own.get(name))}, "
            f"this one's is {_shown(own.get(name), known.get(name))}"
            for name in differing[:_MOST_NAMED]
        ]
        more = f"; {len(differing) - _MOST_NAMED} more differ" if len(differing) > _MOST_NAMED else ""
        raise ConfigError(f"{self.path} holds another run: {'; '.join(shown)}{more}. {_WAY_OUT[self.kind]}")


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a run: `kind`, `identity` and `facts`.

    Args:
        folder: the run folder.

    Raises:
        ConfigError: there is no record, or it cannot be read.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{folder}: found no {RECORD}; expected the folder of a run") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error}); remove the folder or give another") from error
    if not isinstance(record, dict) or not {"kind", "identity", "facts"} <= record.keys():
        raise ConfigError(f"{path} is no record of a run: expected kind, identity and facts; give another folder")
    return record


def dotted(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings, so that a refusal names the one that differs: `training.learning_rate`.

    Args:
        settings: as JSON has them.
        prefix: of every name.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _shown(value: object, other: object) -> str:
    """Write a value so that what tells it from another one is seen, however long both are."""
    if value is None:
        return "not set"
    text, against = (json_text(item) for item in (value, other))
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    same = next((i for i, (a, b) in enumerate(zip(text, against, strict=False)) if a != b), len(against))
    start = max(0, min(same - _SHOWN_CHARACTERS // 3, len(text) - _SHOWN_CHARACTERS))
    stop = start + _SHOWN_CHARACTERS
    return f"{'...' if start else ''}{text[start:stop]}{'...' if stop < len(text) else ''}"
