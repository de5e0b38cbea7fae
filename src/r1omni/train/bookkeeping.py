"""What both training loops keep beside the weights: where a run stands, what was best, when it saves, how it ends.

    begin      the folder is claimed; a run that is done gives back its summary and its weights
    resume     the newest checkpoint is put back, or the seed is set
    end_step   metrics, then validation, then a checkpoint, then whether the run was asked to stop
    finish     the best weights are put back and the final model is written

A loop owns the rest: what a step is, and the metrics of it.
"""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Literal, TypeVar

import torch
from accelerate import Accelerator
from torch import nn

from r1omni.config.sections import StageSettings, Tracker
from r1omni.core.answer_format import PAPER_FORMAT
from r1omni.core.errors import StoppedError
from r1omni.infer.engine import Engine
from r1omni.runs.run_folder import RunFolder
from r1omni.train.checkpoints import Checkpoints, generator_state, restore_generators
from r1omni.train.optimise import set_trainable
from r1omni.train.processes import gather_rows, sum_over
from r1omni.train.run_files import WRITTEN, TrainingFiles
from r1omni.train.start_weights import weights_checksum
from r1omni.train.trackers import start_trackers
from r1omni.train.validation import Validate, measure_together
from r1omni.train.zero3 import TrainingOptimizer

OnStep = Callable[[dict[str, Any]], None]
"""Called with the metrics of each step."""


@dataclass(frozen=True)
class TrainingRun:
    """Where a run lies, what its draws depend on, and how its folder is treated."""

    output_dir: str | Path
    seed: int = 0
    """Seed of the order of clips and of everything that is drawn."""
    resume: bool = True
    """Go on from the newest checkpoint; False starts over."""
    trackers: tuple[Tracker, ...] = ()
    """Receive the metrics besides metrics.jsonl."""
    configuration: str | None = None
    """The resolved configuration as TOML, kept as run.toml; None if the caller has no file."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else run.json says of the run; see `runs.record.run_facts`."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What the loop cannot see and still could change what the folder holds, such as the clips of validation."""


@dataclass
class Summary:
    """What a run did."""

    steps: int = 0
    best_step: int | None = None
    """None without validation."""
    best_value: float | None = None
    seconds: float = 0.0
    num_errors: int = 0
    """Clips left out because they cannot be read."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Validations: step, epoch and metrics."""


S = TypeVar("S", bound=Summary)


class Bookkeeping(Generic[S]):
    """The books of one run.

    Args:
        run: where it lies.
        settings: of its stage.
        accelerator: of its processes.
        engine: over the model that is trained.
        summary: an empty one.
        validate: measures the model; None keeps the last weights.
    """

    def __init__(
        self,
        run: TrainingRun,
        settings: StageSettings,
        accelerator: Accelerator,
        engine: Engine,
        summary: S,
        validate: Validate | None,
    ) -> None:
        self.run, self.settings, self.accelerator = run, settings, accelerator
        self.model, self.processor = engine.model, engine.processor
        self.summary, self.validate = summary, validate
        self.step = 0
        """Optimiser steps done."""
        trackers = start_trackers(run.trackers, Path(run.output_dir))
        self.files = TrainingFiles(run.output_dir, accelerator.is_main_process, trackers)
        self.checkpoints = Checkpoints(self.files.path, settings.keep_checkpoints)
        self._started_s = time.monotonic()
        self._stop = StopRequest()

    @property
    def seconds(self) -> float:
        """Since this start of the run."""
        return time.monotonic() - self._started_s

    def has_patience(self, patience: int | None) -> bool:
        """Whether fewer validations than this came after the best one; always, where it is None."""
        num_since_best = sum(row["step"] > (self.summary.best_step or 0) for row in self.summary.history)
        return patience is None or num_since_best < patience

    def begin(self, kind: Literal["sft", "grpo"], identity: Mapping[str, Any]) -> bool:
        """Freeze what does not train, and claim the folder for this run.

        Args:
            kind: of the run.
            identity: what the run learns from; settings, seed and weights are added.

        Returns:
            Whether the run is done; then the model has its weights, and `summary` is that of the run.

        Raises:
            ConfigError: the folder holds another run.
        """
        self.model.to(self.accelerator.device)
        set_trainable(self.model, self.settings.trainable)
        identity = {**self.settings.identity(), **identity, **self.run.identity, "seed": self.run.seed}
        identity["weights"] = weights_checksum(self.model)
        if self.processor.answer_format != str(PAPER_FORMAT):
            identity["answer_format"] = self.processor.answer_format
        folder = RunFolder(self.files.path, kind, identity, self.run.facts, self.run.configuration)
        if not self.run.resume and self.accelerator.is_main_process:
            folder.start_over(WRITTEN)
        self.accelerator.wait_for_everyone()
        folder.claim()
        self.files.rewind(max(self.checkpoints.steps(), default=0))
        done = self.files.done
        if done is None:
            return False
        self.summary = type(self.summary)(**done)
        self.checkpoints.load_model(self.summary.best_step or self.summary.steps, self.model)
        return True

    def resume(self, optimizer: TrainingOptimizer) -> dict[str, Any]:
        """Put back the newest checkpoint, or set the seed.

        Args:
            optimizer: what `distribute` returned.

        Returns:
            What the loop gave to `end_step` when that checkpoint was saved; empty at the start.
        """
        state: dict[str, Any] = {}
        if steps := self.checkpoints.steps():
            state = self.checkpoints.load(steps[-1], self.model, optimizer)
            restore_generators(state["generators"], self.accelerator.process_index)
            self.step, self.summary = state["step"], type(self.summary)(**state["summary"])
        if self.step == 0:
            torch.manual_seed(self.run.seed)
        self._optimizer = optimizer
        return state.get("loop", {})

    def __enter__(self) -> "Bookkeeping[S]":
        """Note a request to stop from now on."""
        self._stop.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave SIGTERM to whoever handled it before."""
        self._stop.__exit__()

    def end_step(self, scorer: nn.Module, epoch: float, *, validates: bool, saves: bool, loop: dict[str, Any]) -> None:
        """Validate, save and stop, as far as it is due.

        Args:
            scorer: what `distribute` returned.
            epoch: passes over the data so far.
            validates: whether validation is due.
            saves: whether a checkpoint is due; one is written after each validation in any case.
            loop: what the loop needs to go on from here, as JSON.

        Raises:
            StoppedError: SIGTERM came; a checkpoint was saved.
        """
        self.summary.steps = self.step
        if validates and self.validate is not None:
            measured = measure_together(self.accelerator, self.validate, self.model, scorer)
            self.summary.history.append({"step": self.step, "epoch": epoch, **measured})
            self.files.record({"step": self.step, "epoch": epoch, "validation": measured})
            value = measured[self.settings.validation_metric]
            if self.summary.best_value is None or value > self.summary.best_value:
                self.summary.best_step, self.summary.best_value = self.step, value
            self._save(loop)
        elif saves:
            self._save(loop)
        if self._stop.agreed(self.accelerator):
            self._save(loop)
            raise StoppedError(f"Stopped on request after step {self.step}; the same command goes on from there.")

    def finish(self) -> S:
        """Put back the best weights and write the final model; returns the summary."""
        self.accelerator.wait_for_everyone()
        if self.summary.best_step is not None and self.summary.best_step != self.step:
            self.checkpoints.load_model(self.summary.best_step, self.model)
        self.summary.seconds = self.seconds
        self.model.eval()
        self.files.finish(self.model, self.processor, asdict(self.summary))
        return self.summary

    def _save(self, loop: dict[str, Any]) -> None:
        generators = gather_rows(self.accelerator, [generator_state()])
        state = {"generators": generators, "loop": loop, "summary": asdict(self.summary)}
        state["best_step"] = self.summary.best_step
        writes = self.accelerator.is_main_process
        self.checkpoints.save(self.step, self.model, self._optimizer, state, writes=writes)
        self.files.draw_curves()


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
