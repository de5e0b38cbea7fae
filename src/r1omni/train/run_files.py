"""The files of a training run besides its checkpoints: metrics, samples, errors, curves, the final model.

    metrics.jsonl  samples.jsonl  errors.jsonl    lines as they come; a resumed run drops those of steps it does again
    curves.html                                   the metrics drawn, anew at each checkpoint
    model/                                        self-contained, adapters folded in
    adapter/                                      the adapters and what trained beside them, where there are any

`model/` is written last and renamed into place: where it is, the run is done.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker
from safetensors import SafetensorError

from r1omni.core.errors import CheckpointError, WriteError
from r1omni.model.adapters import TrainedModel, beneath_adapters, fold_adapters, has_adapters, save_adapters
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.save_model import save_model
from r1omni.report.curves import curves_page
from r1omni.runs.files import append_rows, read_rows, rewind, write_json, write_text
from r1omni.train.sharding import gather_whole
from r1omni.train.trackers import log_to

METRICS, SAMPLES, ERRORS = "metrics.jsonl", "samples.jsonl", "errors.jsonl"
WRITTEN = (METRICS, SAMPLES, ERRORS, "checkpoints", "curves.html", "summary.json", "model", "adapter")
"""What a training run leaves in its folder, its record apart."""


class TrainingFiles:
    """What a training run writes beside its checkpoints.

    Args:
        path: the run folder; made where it is missing.
        writes: whether this process writes; in a distributed run only the first does.
        trackers: receive the metrics too.
    """

    def __init__(self, path: str | Path, writes: bool = True, trackers: Sequence[GeneralTracker] = ()) -> None:
        self.path = Path(path)
        self.writes = writes
        self.trackers = trackers
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def done(self) -> dict[str, Any] | None:
        """The summary of a run that is done, otherwise None."""
        if not (self.path / "model").is_dir():
            return None
        return json.loads((self.path / "summary.json").read_text())

    def append(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Add lines to a JSONL file; numbers that are not finite become null.

        Raises:
            WriteError: the disk is full or not writable.
        """
        if not self.writes or not rows:
            return
        append_rows(self.path / name, rows)

    def record(self, metrics: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl and send it to the trackers."""
        self.append(METRICS, [metrics])
        log_to(self.trackers, metrics)

    def draw_curves(self) -> None:
        """Write curves.html from metrics.jsonl; without the room for it the run goes on."""
        rows = read_rows(self.path / METRICS) if self.writes else []
        if not rows:
            return
        try:
            write_text(self.path / "curves.html", curves_page(self.path.resolve().name, rows))
        except WriteError as error:
            warnings.warn(f"The learning curves were not drawn: {error}", RuntimeWarning, stacklevel=2)

    def rewind(self, step: int) -> None:
        """Drop the lines of steps that are done again, and a last line that was cut.

        Clips that cannot be read are recorded at every start.

        Args:
            step: of the newest checkpoint; 0 without one.
        """
        if self.writes:
            for name in (METRICS, SAMPLES, ERRORS):
                rewind(self.path / name, lambda row: 0 < step >= row["step"] and "kind" not in row)

    def finish(self, model: TrainedModel, processor: HumanOmniProcessor, summary: dict[str, Any]) -> None:
        """Write the curves, the summary and the final model; every process takes part where weights are sharded.

        Raises:
            CheckpointError: the disk is full or not writable; nothing half-written is left under a good name.
        """
        for tracker in self.trackers:
            tracker.finish()
        state = gather_whole(model.state_dict(keep_vars=True), self.writes)
        if not self.writes:
            return
        first: dict[int, str] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            state[name] = state[first.setdefault(id(parameter), name)]  # tied weights are one again
        self.draw_curves()
        adapted = has_adapters(model)
        try:
            if adapted:
                save_adapters(model, processor, self.path / "adapter", state)
            write_json(self.path / "summary.json", summary)
            weights = fold_adapters(model, state) if adapted else state
            save_model(beneath_adapters(model), processor, self.path / "model", state=weights)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"The final model could not be written to {self.path}: {error}. Free some space, then start again with "
                "the same output_dir; the run goes on from its newest checkpoint."
            ) from error
