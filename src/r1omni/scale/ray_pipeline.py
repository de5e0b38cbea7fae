"""Batches of clips through Ray Data: decoding on CPUs, the towers and the language model, each an operator of its own.

    batches -> decoding (tasks) -> towers (actors) -> language model (actors) -> results, in the batches' order

A row of the dataset is a batch, so that batches stay whole: rounding depends on what lies in a batch. Between operators
travel arrays, in the number format in which one process would hand them on. Ray Data starts no more of an operator
than the next one and the object store can take (back-pressure), runs again what was lost with a process or a node, and
keeps the order; an actor loads the model once and keeps only its own half. A batch that ends `_TRIES` processes of an
operator ends the run, which can go on later: whoever takes the results keeps them.
"""

import logging
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any, Generic, TypeVar
from uuid import uuid4

from r1omni.config.cluster import ClusterSection
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError, NotReadyError, R1OmniError, StoppedError
from r1omni.infer.clip_reader import ClipReader, ReadClip
from r1omni.infer.clip_windows import Split, as_one_part
from r1omni.infer.encoder import Encoder, release_language_model
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features, Side
from r1omni.infer.scorer import release_towers
from r1omni.scale.arrived_features import ArrivedFeatures

_TRIES = 4
"""Processes that a batch may end, lost nodes included."""
_IN_FLIGHT = 2
"""Batches that an actor has at a time: the one it works on, and the next."""
_SPAN = 20_000
"""Batches of one dataset: its rows are made before it starts, at a millisecond and a few kilobytes each."""
_APART = 1
"""Bytes of memory that decoding asks for, and the towers do not: Ray Data would otherwise make one operator of both."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Found = Sequence[Clip | MediaError]
"""The clips of a batch as they lie on a node, or why one could not be fetched."""
Names = Mapping[Side, str]
"""See `FeatureNames.shared`."""
Begin = Callable[[str, int], int]
"""Called with an operator and the number of a batch; returns how many processes have begun it, this one included."""


@dataclass(frozen=True)
class ClipJob(Generic[Item, Result]):
    """What is done with batches of items. Every callable travels to the workers and runs there."""

    load: Callable[[], Engine]
    """Returns the engine."""
    load_reader: Callable[[Names | None], ClipReader]
    """Returns what decodes, given what features are called in the cache; loads no weights."""
    lend: Callable[[Sequence[Item], Split], AbstractContextManager[Found]]
    """Lends the clips of a batch, with their files on this machine, given what splits a clip into the parts in which it
    is read."""
    answer: Callable[[Engine, Sequence[Item], Found], list[Result]] | None
    """Returns a result per item, by an engine whose encoder has the features; None ends with the towers, and gives the
    error of each clip, or None."""
    in_windows: bool = False
    """Read clips that are longer than the model hears in windows."""
    is_cached: bool = False
    """Whether the engine has a cache of features."""


@dataclass(frozen=True)
class Plan:
    """What the operators take of a cluster."""

    decoders: int
    """Tasks at a time."""
    tower_actors: int
    model_actors: int
    decoder_cpus: float
    """Of each task."""
    actor_cpus: float
    """Of each actor."""
    tower_gpus: float
    model_gpus: float

    @classmethod
    def of(cls, wanted: ClusterSection, nodes: Sequence[Mapping[str, float]]) -> "Plan":
        """Return a plan that also leaves room for the actors of a lost node on others, GPUs apart.

        Args:
            wanted: what was asked for.
            nodes: resources of each live node, as Ray counts them.
        """
        cpus = [node["CPU"] for node in nodes if node.get("CPU")]
        num_gpus = sum(node.get("GPU", 0.0) for node in nodes)
        num_actors = int(num_gpus) or len(cpus) or 1
        share = min(1.0, min(cpus, default=4.0) / 4)
        default_gpus = 0.5 if num_gpus else 0.0
        return cls(
            wanted.decoders or max(1, int(sum(cpus))),
            wanted.tower_actors or num_actors,
            wanted.model_actors or num_actors,
            share,
            wanted.actor_cpus or share,
            default_gpus if wanted.tower_gpus is None else wanted.tower_gpus,
            default_gpus if wanted.model_gpus is None else wanted.model_gpus,
        )


@dataclass(frozen=True)
class Parcel(Generic[Item]):
    """A batch on its way."""

    items: Sequence[Item]
    """What the batch was made of."""
    found: Found = ()
    """Once they are decoded."""
    pieces: Sequence[Sequence[Clip]] = ()
    """Of each clip that was found: itself, or its windows."""
    read: Sequence[ReadClip | MediaError] = ()
    """Of each piece, until the towers have it."""
    features: Sequence[Features | MediaError] = ()
    """Of each piece, from then on."""


@dataclass(frozen=True)
class Failure:
    """Goes on in the place of a batch whose work raised an error, which the driver raises when its turn comes."""

    error: Exception


class _Counter:
    """Counts, outside of the processes that may be lost, how often each operator began each batch."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()

    def begin(self, operator: str, number: int) -> int:
        self._counts[operator, number] += 1
        return self._counts[operator, number]


def worked(rows: Mapping[str, Any], operator: str, begin: Begin, does: Callable[[Any], object]) -> dict[str, list[Any]]:
    """Do an operator's work with the one batch of a row, as Ray Data calls it.

    An error travels on in the place of the batch: the driver raises it when the batch's turn comes.

    Args:
        rows: `number` and `content` of one batch.
        operator: its name, for messages.
        begin: counts the processes that began this batch.
        does: the work.
    """
    (number,), (content,) = rows["number"], rows["content"]
    number, parcel = int(number), pickle.loads(content)  # what the operator before wrote, never a file
    if not isinstance(parcel, Failure):
        try:
            if begin(operator, number) > _TRIES:
                raise StoppedError(
                    f"Batch {number} of this start has ended {_TRIES} processes of the operator {operator}; look into "
                    "Ray's logs. What is answered is kept: the same command goes on there."
                )
            parcel = does(parcel)
        except Exception as error:  # noqa: BLE001 - the process's boundary: the driver raises it
            parcel = Failure(error)
    return {"number": [number], "content": [pickle.dumps(parcel, protocol=5)]}


_READERS: dict[str, ClipReader] = {}
"""Of this process: decoding tasks come and go, and what decodes stays."""


def decoding(
    job: ClipJob[Item, Result], begin: Begin, names: Names | None
) -> Callable[[Mapping[str, Any]], dict[str, list[Any]]]:
    """Return the first operator, a task per batch: decodes what the towers read.

    Args:
        job: what is done.
        begin: counts the processes that begin a batch.
        names: what features are called in the cache; None looks none up.
    """
    token = uuid4().hex

    def decode(parcel: Parcel[Item]) -> Parcel[Item]:
        if token not in _READERS:
            _READERS[token] = job.load_reader(names)
        reader = _READERS[token]
        split: Split = reader.windows if job.in_windows else as_one_part
        with job.lend(parcel.items, split) as found:
            here = [clip for clip in found if isinstance(clip, Clip)]
            pieces = [split(clip) for clip in here]
            read = [reader.read(piece) for parts in pieces for piece in parts]
        return Parcel(parcel.items, found, pieces, read)

    return lambda rows: worked(rows, "decoding", begin, decode)


class Towers(Generic[Item, Result]):
    """The second operator, an actor: holds the towers, and makes features of what they read.

    Args:
        job: what is done.
        begin: counts the processes that begin a batch.
    """

    def __init__(self, job: ClipJob[Item, Result], begin: Begin) -> None:
        self._job, self._begin = job, begin
        self._encoder = _loaded(job)
        if isinstance(self._encoder, Engine):
            self._encoder = self._encoder.encoder
            release_language_model(self._encoder.model)

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Encode the batch of a row; see `worked`."""
        return worked(rows, "towers", self._begin, self._encode)

    def _encode(self, parcel: Parcel[Item]) -> object:
        if isinstance(self._encoder, Exception):
            raise self._encoder
        features = encode_in_order(self._encoder, parcel.read)
        if self._job.answer is not None:
            return Parcel(parcel.items, parcel.found, parcel.pieces, features=features)
        encoded = iter(features)
        outcomes = [clip if isinstance(clip, MediaError) else next(encoded) for clip in parcel.found]
        return [outcome if isinstance(outcome, MediaError) else None for outcome in outcomes]


class LanguageModel(Generic[Item, Result]):
    """The third operator, an actor: holds the model without its towers, and answers.

    Args:
        job: what is done.
        begin: counts the processes that begin a batch.
    """

    def __init__(self, job: ClipJob[Item, Result], begin: Begin) -> None:
        self._job, self._begin = job, begin
        self._engine = _loaded(job)
        if isinstance(self._engine, Engine):
            release_towers(self._engine.model)
            self._engine.encoder = ArrivedFeatures(self._engine.encoder)

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Answer the batch of a row; see `worked`."""
        return worked(rows, "model", self._begin, self._answer)

    def _answer(self, parcel: Parcel[Item]) -> list[Result]:
        if isinstance(self._engine, Exception):
            raise self._engine
        assert self._job.answer is not None and isinstance(self._engine.encoder, ArrivedFeatures)
        self._engine.encoder.take(parcel.pieces, parcel.features)
        return self._job.answer(self._engine, parcel.items, parcel.found)


def _loaded(job: ClipJob[Item, Result]) -> Any:
    """The engine, or why there is none: the driver raises that with the first batch."""
    try:
        return job.load()
    except Exception as error:  # noqa: BLE001 - the process's boundary
        return error


def encode_in_order(encoder: Encoder, read: Sequence[ReadClip | MediaError]) -> list[Features | MediaError]:
    """Run the towers over the parts in which a stream of the encoder would run them.

    Args:
        encoder: over the towers.
        read: the pieces of a batch.
    """
    features: list[Features | MediaError] = []
    for start in range(0, len(read), encoder.batch_size):
        batch = read[start : start + encoder.batch_size]
        for first in range(0, len(batch), encoder.tower_batch):
            features += encoder.encode_read(batch[first : first + encoder.tower_batch])
    return features


def results_on_ray(
    job: ClipJob[Item, Result], wanted: ClusterSection, batches: Iterable[Sequence[Item]]
) -> Iterator[list[Result]]:
    """Yield the results of each batch, in the batches' order.

    The cluster is the one at RAY_ADDRESS, or the one that Ray is connected to, or one that is started here.

    Args:
        job: what is done.
        wanted: what the operators take.
        batches: any number.

    Raises:
        NotReadyError: Ray is not installed, or an actor cannot load the model.
        StoppedError: a batch has ended too many processes, or what was lost cannot be made again.
    """
    try:
        ray, data = import_module("ray"), import_module("ray.data")
    except ImportError as error:
        raise NotReadyError("--engine ray needs Ray Data: pip install 'r1omni[cluster]'") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    plan = Plan.of(wanted, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    source = enumerate(batches)
    try:
        names = _names(ray, job, plan) if job.is_cached else None
        while span := list(islice(source, _SPAN)):
            for row in _dataset(ray, data, job, plan, names, span).iter_rows():
                results = pickle.loads(row["content"])
                if isinstance(results, Failure):
                    raise results.error
                yield results
    except ray.exceptions.RayError as error:
        if isinstance(cause := getattr(error, "cause", None), R1OmniError):
            raise cause from error
        raise StoppedError(
            f"Ray lost work that it could not do again ({type(error).__name__}: {str(error).splitlines()[0]}). What is "
            "answered is kept: the same command goes on there."
        ) from error


def _names(ray: Any, job: ClipJob[Item, Result], plan: Plan) -> Names:
    """What features are called in the cache: only who has the towers' weights can tell."""
    load = job.load

    def names() -> Names:
        return load().encoder.names().shared

    return ray.get(ray.remote(num_cpus=plan.actor_cpus, num_gpus=plan.tower_gpus)(names).remote())


def _dataset(
    ray: Any,
    data: Any,
    job: ClipJob[Item, Result],
    plan: Plan,
    names: Names | None,
    span: Sequence[tuple[int, Sequence[Item]]],
) -> Any:
    """The pipeline over some batches; it runs when it is iterated over."""
    context = data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = context.print_on_execution_start = False
    counter = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Counter).remote()

    def begin(operator: str, number: int) -> int:
        return import_module("ray").get(counter.begin.remote(operator, number))

    rows = [{"number": number, "content": pickle.dumps(Parcel(items), protocol=5)} for number, items in span]

    def pool(size: int) -> Any:
        return data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=_IN_FLIGHT)

    with data.DataContext.current(context):
        made = data.from_items(rows, override_num_blocks=len(rows))
        made = made.map_batches(
            decoding(job, begin, names), compute=data.TaskPoolStrategy(size=plan.decoders),
            batch_size=1, num_cpus=plan.decoder_cpus, memory=_APART,
        )  # fmt: skip
        made = made.map_batches(
            Towers, fn_constructor_args=(job, begin), compute=pool(plan.tower_actors),
            batch_size=1, num_cpus=plan.actor_cpus, num_gpus=plan.tower_gpus,
        )  # fmt: skip
        if job.answer is None:
            return made
        return made.map_batches(
            LanguageModel, fn_constructor_args=(job, begin), compute=pool(plan.model_actors),
            batch_size=1, num_cpus=plan.actor_cpus, num_gpus=plan.model_gpus,
        )  # fmt: skip
