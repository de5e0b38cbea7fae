"""Batches answered on a Ray cluster: actors that hold the model, and a driver that keeps their rows in order.

The driver lists, writes and resumes exactly as the local way does; only who answers differs, so that the rows are the
same. Each actor loads the model once and decodes beside it, as an engine does. At most `_AHEAD` batches per actor are
handed out or wait for an earlier one (back-pressure). An actor that is lost, with its node or alone, is replaced, and
its batches go to others; a batch that ends `_TRIES` processes ends the run, which can go on later.

Left out on purpose: Ray Data. Its operators neither keep batches whole nor their order through a lost node without a
sort of everything at the end, and both are what makes rows equal to the local ones.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

from r1omni.config.annotation_run import AnnotationConfig
from r1omni.core.errors import NotReadyError, StoppedError
from r1omni.infer.engine import Engine
from r1omni.scale.annotation import AnswerBatches, Row, answer_batch
from r1omni.scale.archive import ListedClip

_AHEAD = 4
"""Batches per actor that are handed out and not yet kept."""
_DEPTH = 2
"""Batches that an actor has at a time: the one it answers, and the next."""
_TRIES = 3
"""Processes that a batch may end, and actors that may fail to start one after the other."""

Batch = Sequence[ListedClip]


class Answerer:
    """One actor: a model, loaded once, that answers batches.

    Args:
        run: which model answers what.
        load: returns the engine.
    """

    def __init__(self, run: AnnotationConfig, load: Callable[[], Engine]) -> None:
        self._run, self._engine = run, load()

    def is_ready(self) -> bool:
        """Return once the model is loaded."""
        return True

    def answer(self, clips: Batch) -> list[Row]:
        """Return the rows of one batch.

        Args:
            clips: one batch.
        """
        return answer_batch(self._run, self._engine, clips)


@dataclass
class _Task:
    """A batch that is not kept yet."""

    number: int
    clips: Batch
    num_losses: int = 0
    """Actors that were lost while they had it."""


@dataclass
class _Actors:
    """The actors of one run."""

    ray: Any
    start: Callable[[], Any]
    """Starts one more actor."""
    starting: dict[Any, Any] = field(default_factory=dict)
    """Reference of its readiness -> actor."""
    ready: list[Any] = field(default_factory=list)
    running: dict[Any, tuple[Any, _Task]] = field(default_factory=dict)
    """Reference of its rows -> actor, task."""
    num_failed_starts: int = 0

    def add(self) -> None:
        """Start an actor; the cluster may take its time."""
        actor = self.start()
        self.starting[actor.is_ready.remote()] = actor

    def free(self) -> Any | None:
        """Return the actor with the fewest batches; None where all have enough."""
        loads = {id(actor): 0 for actor in self.ready}
        for actor, _ in self.running.values():
            if id(actor) in loads:
                loads[id(actor)] += 1
        actor = min(self.ready, key=lambda actor: loads[id(actor)], default=None)
        return actor if actor is not None and loads[id(actor)] < _DEPTH else None

    def give(self, actor: Any, task: _Task) -> None:
        """Hand a batch to an actor."""
        self.running[actor.answer.remote(task.clips)] = (actor, task)

    def next_outcome(self) -> tuple[_Task, list[Row] | None] | None:
        """Wait for one thing to happen: a batch with its rows, a batch that was lost, or None for an actor's start.

        Raises:
            NotReadyError: actors cannot be started.
        """
        (reference, *_), _ = self.ray.wait([*self.running, *self.starting], num_returns=1)
        lost = (self.ray.exceptions.RayActorError, self.ray.exceptions.WorkerCrashedError)
        if reference in self.starting:
            actor = self.starting.pop(reference)
            try:
                self.ray.get(reference)
            except lost as error:
                self.num_failed_starts += 1
                if self.num_failed_starts >= _TRIES and not self.ready:
                    raise NotReadyError(f"No Ray actor could load the model: {error}") from error
                self.add()
                return None
            self.num_failed_starts = 0
            self.ready.append(actor)
            return None
        actor, task = self.running.pop(reference)
        try:
            return task, self.ray.get(reference)
        except lost:
            if actor in self.ready:
                self.ready.remove(actor)
                self.ray.kill(actor)
                self.add()
            task.num_losses += 1
            return task, None

    def end(self) -> None:
        """End every actor."""
        for actor in [*self.ready, *self.starting.values()]:
            self.ray.kill(actor)


def answers_on_ray(run: AnnotationConfig, load: Callable[[], Engine]) -> AnswerBatches:
    """Return what answers batches on a Ray cluster, in their order.

    The cluster is the one at RAY_ADDRESS, or the one that Ray is connected to, or one that is started here.

    Args:
        run: which model answers what.
        load: returns the engine; called once in each actor.

    Raises:
        NotReadyError: Ray is not installed.
    """
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise NotReadyError("--engine ray needs Ray: pip install 'r1omni[cluster]'") from error
    return partial(_answered, ray, run, load)


def _answered(
    ray: Any, run: AnnotationConfig, load: Callable[[], Engine], batches: Iterable[Batch]
) -> Iterator[list[Row]]:
    """Yield the rows of each batch in order.

    Raises:
        NotReadyError: see `_Actors.next_outcome`.
        StoppedError: a batch has ended `_TRIES` processes.
    """
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    num_actors = run.actors or num_gpus or sum(node["Alive"] for node in ray.nodes())
    remote = ray.remote(num_cpus=1, num_gpus=1 if num_gpus else 0, max_restarts=0, max_task_retries=0)(Answerer)
    actors = _Actors(ray, lambda: remote.remote(run, load))
    tasks = (_Task(number, clips) for number, clips in enumerate(batches))
    again: deque[_Task] = deque()
    done: dict[int, list[Row]] = {}
    num_given = num_kept = 0
    is_more = True
    try:
        for _ in range(num_actors):
            actors.add()
        while True:
            while (actor := actors.free()) is not None:
                if again:
                    actors.give(actor, again.popleft())
                    continue
                task = next(tasks, None) if num_given - num_kept < _AHEAD * num_actors else None
                if task is None:
                    is_more = num_given - num_kept >= _AHEAD * num_actors
                    break
                num_given += 1
                actors.give(actor, task)
            if not (is_more or actors.running or again):
                return
            outcome = actors.next_outcome()
            if outcome is not None and outcome[1] is None:
                task = outcome[0]
                if task.num_losses >= _TRIES:
                    names = f"{task.clips[0].clip.id} to {task.clips[-1].clip.id}"
                    raise StoppedError(
                        f"The batch of clips {names} has ended {_TRIES} Ray actors; look into their logs. What is "
                        "answered is kept: the same command goes on there."
                    )
                again.append(task)
            elif outcome is not None and outcome[1] is not None:
                done[outcome[0].number] = outcome[1]
            while num_kept in done:
                yield done.pop(num_kept)
                num_kept += 1
    finally:
        actors.end()
