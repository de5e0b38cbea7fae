"""The files of a training run besides its checkpoints: metrics, samples, errors, curves, the final model.

    metrics.jsonl  samples.jsonl  errors.jsonl    lines as they come; a resumed run drops those of steps it does again
    curves.html                                   the metrics drawn, anew at each checkpoint
    model/                                        self-contained, adapters folded in
    adapter/                                      the adapters alone, where there are any

`model/` is written last and renamed into place: where it is, the run is done.
"""

import json
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from safetensors import SafetensorError
from torch import Tensor

from r1omni.core.clip import Clip
from r1omni.core.errors import CheckpointError, MediaError, WriteError
from r1omni.infer.features import Features
from r1omni.report.curves import curves_page
from r1omni.runs.files import (
    append_rows,
    read_rows,
    remove_folder,
    replaced_folder,
    rewind,
    sweep,
    write_json,
    write_text,
)
from r1omni.train.processes import gather_rows, sum_over
from r1omni.train.sharding import gather_whole
from r1omni.train.trackers import log_to

FeaturesOf = Callable[[Sequence[Clip]], list[Features | MediaError]]
"""Clips -> their features; `Engine.features`."""

RESUMES = "the same command goes on from there."
"""What a run that stopped says of its next start."""

_CHUNK = 256
"""Clips asked for at a time when all are checked."""


class RunFolder:
    """A run's folder.

    Args:
        path: made if it is not there.
        writes: whether this process writes; in a distributed run only the first does.
        trackers: told the metrics too.
    """

    def __init__(self, path: str | Path, writes: bool = True, trackers: Sequence[GeneralTracker] = ()) -> None:
        self.path = Path(path)
        self.writes = writes
        self.trackers = trackers
        self.path.mkdir(parents=True, exist_ok=True)
        if writes:
            sweep(self.path)
            sweep(self.path / "checkpoints")

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
        """Add a line to metrics.jsonl and tell the trackers."""
        self.append("metrics.jsonl", [metrics])
        log_to(self.trackers, metrics)

    def draw_curves(self) -> None:
        """Write curves.html from metrics.jsonl; without the room for it the run goes on."""
        rows = read_rows(self.path / "metrics.jsonl") if self.writes else []
        if not rows:
            return
        try:
            write_text(self.path / "curves.html", curves_page(self.path.resolve().name, rows))
        except WriteError as error:
            warnings.warn(f"The learning curves were not drawn: {error}", RuntimeWarning, stacklevel=2)

    def rewind(self, step: int) -> None:
        """Drop the lines of steps after this one, and a last line that was cut."""
        for name in ("metrics.jsonl", "samples.jsonl", "errors.jsonl"):
            if self.writes:
                rewind(self.path / name, lambda row: row["step"] <= step)

    def clear(self) -> None:
        """Remove what an earlier run left, for a run that starts anew."""
        if self.writes:
            for name in ("checkpoints", "model", "adapter"):
                remove_folder(self.path / name)
            for name in ("metrics.jsonl", "samples.jsonl", "errors.jsonl", "summary.json", "curves.html"):
                (self.path / name).unlink(missing_ok=True)

    def finish(self, model: Any, processor: Any, summary: dict[str, Any]) -> None:
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
        adapters = hasattr(model, "peft_config")
        try:
            if adapters:
                with replaced_folder(self.path / "adapter") as partial:
                    model.save_pretrained(partial, state_dict=state)
            write_json(self.path / "summary.json", summary)
            with replaced_folder(self.path / "model") as partial:
                if adapters:
                    model.get_base_model().save_pretrained(partial, state_dict=folded(model, state))
                else:
                    model.save_pretrained(partial, state_dict=state)
                processor.save_pretrained(partial)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"The final model could not be written to {self.path}: {error}. Free some space, then start again with "
                "the same output_dir; the run goes on from its newest checkpoint."
            ) from error


def folded(model: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the model without adapters that computes what the adapted one does: W + scale * B A.

    Args:
        model: with adapters; left as it is.
        state: its weights, whole.
    """
    weights = dict(state)
    for name, module in model.named_modules():
        for adapter in getattr(module, "lora_A", {}):
            down, up = (weights.pop(f"{name}.lora_{side}.{adapter}.weight") for side in "AB")
            weights[f"{name}.base_layer.weight"] = weights[f"{name}.base_layer.weight"] + module.scaling[adapter] * (
                up @ down
            )
    prefix = "base_model.model."
    return {name.removeprefix(prefix).replace(".base_layer.", "."): tensor for name, tensor in weights.items()}


def readable_clips(
    features: FeaturesOf, clips: Sequence[Clip], folder: RunFolder, max_error_share: float, accelerator: Accelerator
) -> tuple[list[Clip], int]:
    """Encode every clip once, shared among the processes, and leave out, and record, those that cannot be read.

    Args:
        features: clips to features.
        clips: each clip once.
        folder: takes the errors.
        max_error_share: how many may be left out.
        accelerator: of the run.

    Returns:
        The readable clips and the number left out.

    Raises:
        MediaError: too many clips cannot be read; the first one's error.
    """
    own = clips[accelerator.process_index :: accelerator.num_processes]
    failed: list[tuple[str, MediaError]] = []
    for start in range(0, len(own), _CHUNK):
        chunk = own[start : start + _CHUNK]
        results = zip(chunk, features(chunk), strict=True)
        failed += [(clip.id, result) for clip, result in results if isinstance(result, MediaError)]
    failed = gather_rows(accelerator, failed)
    lost = {clip_id for clip_id, _ in failed}
    folder.append(
        "errors.jsonl", [{"step": 0, "clip": clip_id, "kind": e.kind, "error": str(e)} for clip_id, e in failed]
    )
    if len(failed) > max_error_share * len(clips):
        first = failed[0][1]
        raise MediaError(
            first.kind,
            f"{len(failed)} of {len(clips)} clips cannot be read, more than max_error_share = {max_error_share:g} "
            f"allows. See {folder.path / 'errors.jsonl'}. The first: {first}",
        )
    return [clip for clip in clips if clip.id not in lost], len(failed)


class StopRequest:
    """Notes SIGTERM while a loop runs, so that it can save and stop between two steps."""

    def __init__(self) -> None:
        self.wanted = False
        self._previous: Any = None

    def __enter__(self) -> "StopRequest":
        """Listen; outside the main thread Python allows no listening, and nothing is noted."""
        try:
            self._previous = signal.signal(signal.SIGTERM, self._note)
        except ValueError:
            self._previous = None
        return self

    def __exit__(self, *_: object) -> None:
        """Restore what listened before."""
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def agreed(self, accelerator: Accelerator) -> bool:
        """Whether any process was asked to stop; all of them must ask."""
        return self.wanted if accelerator.num_processes == 1 else sum_over(accelerator, float(self.wanted))[0] > 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True
