"""One model as the server holds it: its engine, the thread that owns it, and the features it may use again.

    clip (bytes) -> decoding worker -> arrays -> towers, in batches, in the owner's thread -> features -> tokens

Clips that are asked about at the same time pass the decoder and the towers once. Features are kept in memory only, for
as long as whoever asked has a right to them: see `FeatureShelf`.
"""

import asyncio
import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

from torch import Tensor

from r1omni.core.clip import Modality
from r1omni.core.errors import MediaError
from r1omni.core.instruction import LABEL_INSTRUCTION
from r1omni.core.media_read import MediaRead
from r1omni.infer.completion import Completion, Event
from r1omni.infer.embedding import prompt_lengths
from r1omni.infer.engine import Engine
from r1omni.infer.engine_thread import EngineThread
from r1omni.infer.features import NO_FEATURES, Features
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.serve.decode_pool import DecodePool, Reading

TOWER_BATCH = 4
"""Clips that pass the towers between two tokens of those that are being answered."""

Source = Literal["pictures", "sound", "both"]


@dataclass(frozen=True)
class ClipFile:
    """A file of a request, and what is wanted of it."""

    content: bytes
    source: Source = "both"
    """Which sides it may give."""
    kept_s: float = 0.0
    """Seconds for which its features may be kept."""
    name: str = "clip"
    """What the client calls it."""

    @property
    def modality(self) -> Modality:
        """What is decoded."""
        choices: dict[Source, Modality] = {"pictures": "video", "sound": "audio", "both": "auto"}
        return choices[self.source]


@dataclass
class _Shelved:
    features: Features
    until_s: float


@dataclass
class _UnderWay:
    """A clip that is being read, for one request or several."""

    task: "asyncio.Task[Features]"
    num_waiting: int = 0


class FeatureShelf:
    """Features in memory until their time is over.

    Args:
        max_bytes: what they may take; those that were not used for longest go first.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.num_bytes = max_bytes, 0
        self._entries: OrderedDict[str, _Shelved] = OrderedDict()

    def get(self, key: str, now_s: float) -> Features | None:
        """Return what is kept under a key.

        Args:
            key: of the clip and what is read of it.
            now_s: the monotonic clock.
        """
        self.sweep(now_s)
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key].features

    def put(self, key: str, features: Features, until_s: float) -> None:
        """Keep features.

        Args:
            key: of the clip and what is read of it.
            features: what the towers gave.
            until_s: on the monotonic clock; a later one that is set already stays.
        """
        previous = self._remove(key)
        until_s = max(until_s, previous.until_s if previous else 0.0)
        self._entries[key] = _Shelved(features, until_s)
        self.num_bytes += features.num_bytes
        while self.num_bytes > self.max_bytes:
            self._remove(next(iter(self._entries)))

    def sweep(self, now_s: float) -> None:
        """Forget what is over.

        Args:
            now_s: the monotonic clock.
        """
        for key in [key for key, entry in self._entries.items() if entry.until_s <= now_s]:
            self._remove(key)

    def forget(self, digest: str) -> None:
        """Forget everything of one file.

        Args:
            digest: of its content.
        """
        for key in [key for key in self._entries if key.startswith(digest)]:
            self._remove(key)

    def _remove(self, key: str) -> _Shelved | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.num_bytes -= entry.features.num_bytes
        return entry


class ServedModel:
    """Answers for one name.

    Args:
        name: what requests call it.
        engine: the loaded model.
        pool: decodes clips.
        max_queued: requests that wait for the owner.
        features_bytes: see `FeatureShelf`.
        note: what the model is and is not for.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        pool: DecodePool,
        *,
        max_queued: int,
        features_bytes: int,
        note: str | None = None,
    ) -> None:
        self.name, self.engine, self.note = name, engine, note
        self.created = int(time.time())
        self.pool = pool
        self.shelf = FeatureShelf(features_bytes)
        self.thread = EngineThread(engine.generator, max_queued=max_queued)
        self._under_way: dict[str, _UnderWay] = {}
        self._waiting: deque[tuple[Mapping[str, Tensor], Future[Features]]] = deque()
        """What the towers have not read."""
        self._lock = threading.Lock()

    @property
    def instruction(self) -> str:
        """Asks for reasons and an answer, in the words and tags of the model's training."""
        return self.engine.answer_format.request(LABEL_INSTRUCTION)

    def reading(self, modality: Modality) -> Reading:
        """Return what the model needs of a clip.

        Args:
            modality: what is read of it.
        """
        encoder, rate_hz = self.engine.encoder, self.engine.processor.feature_extractor.sampling_rate
        return Reading(encoder.num_frames, rate_hz, encoder.heard_s, modality)

    async def features(self, files: Sequence[ClipFile], modality: Modality) -> Features:
        """Return the features of one clip.

        Args:
            files: none for text alone; one, or one with pictures and one with sound.
            modality: what is read of them.

        Raises:
            MediaError: a file cannot be read, or lacks what was asked for.
        """
        parts = await asyncio.gather(*(self._file_features(file) for file in files))
        video = next((part.video for part in parts if part.video is not None), None)
        audio = next((part.audio for part in parts if part.audio is not None), None)
        found = NO_FEATURES
        if files:
            sides = [
                *(part.read.only("pictures") for part in parts if part.video is not None),
                *(part.read.only("sound") for part in parts if part.audio is not None),
            ]
            found = Features(video, audio, reduce(MediaRead.with_sides_of, sides))
        if modality in ("video", "video+audio") and video is None:
            raise MediaError("no-frames", f"the clip has no pictures; modality {modality!r} asks for them")
        if modality in ("audio", "video+audio") and audio is None:
            raise MediaError("no-sound", f"the clip has no sound; modality {modality!r} asks for it")
        if modality == "video":
            return found.without("sound")
        return found.without("pictures") if modality == "audio" else found

    async def _file_features(self, file: ClipFile) -> Features:
        key = f"{hashlib.sha256(file.content).hexdigest()}/{file.source}"
        now_s = time.monotonic()
        features = self.shelf.get(key, now_s)
        if features is None:
            features = await self._join(key, file)
        if file.kept_s > 0:
            self.shelf.put(key, features, now_s + file.kept_s)
        return features

    async def _join(self, key: str, file: ClipFile) -> Features:
        """Wait for a clip's features with others that asked for them; the last one to leave ends the work."""
        work = self._under_way.get(key)
        if work is None:
            work = self._under_way[key] = _UnderWay(asyncio.create_task(self._encode(file)))
        work.num_waiting += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.num_waiting -= 1
            if work.task.done() or work.num_waiting == 0:
                work.task.cancel()
                if self._under_way.get(key) is work:
                    del self._under_way[key]

    async def _encode(self, file: ClipFile) -> Features:
        reading = self.reading(file.modality)

        def prepare() -> tuple[Mapping[str, Tensor], MediaRead]:
            media = self.pool.decode(file.content, reading)
            return self.engine.processor.process_media(media), media.read

        loop = asyncio.get_running_loop()
        inputs, read = await loop.run_in_executor(self.pool.threads, prepare)
        future: Future[Features] = Future()
        with self._lock:
            self._waiting.append((inputs, future))
        self.thread.call(self._run_towers)
        return replace(await asyncio.wrap_future(future), read=read)

    def _run_towers(self) -> None:
        """Encode what is waiting; each clip makes one call, and the first call takes those of others along."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(TOWER_BATCH, len(self._waiting)))]
        if not taken:
            return
        try:
            encoded = self.engine.encoder.encode([inputs for inputs, _ in taken])
        except Exception as error:  # noqa: BLE001 - the boundary of the clips in this batch: each gets the error
            for _, future in taken:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
            return
        for (_, future), features in zip(taken, encoded, strict=True):
            if future.set_running_or_notify_cancel():
                future.set_result(features)

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Return how many tokens a prompt has, those of its clip included.

        Args:
            prompt: what is asked.
        """
        return prompt_lengths(self.engine.processor, [prompt])[0]

    @asynccontextmanager
    async def answering(
        self, prompt: Prompt, sampling: Sampling, timeout_s: float
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Hand out the tokens of a request as they are made; leaving early frees its rows.

        Args:
            prompt: what is asked.
            sampling: how it is answered.
            timeout_s: seconds from now until it ends where it is.

        Raises:
            BusyError: the queue is full, or the model has ended.
        """
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event | None] = asyncio.Queue()

        def pass_on(event: Event | None) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        ticket = self.thread.submit(prompt, sampling, timeout_s=timeout_s, on_event=pass_on)

        async def stream() -> AsyncIterator[Event]:
            while (event := await events.get()) is not None:
                yield event
            for completion in ticket.result(0):
                if completion.finish_reason == "cancelled":
                    raise TimeoutError

        try:
            yield stream()
        finally:
            if not ticket.is_done:
                ticket.cancel()

    async def answers(self, prompt: Prompt, sampling: Sampling, timeout_s: float) -> list[Completion]:
        """Return the answers to a prompt.

        Args:
            prompt: what is asked.
            sampling: how it is answered.
            timeout_s: seconds from now.

        Raises:
            TimeoutError: they are not written by then.
            ConfigError: the request exceeds the memory that answers may take.
            GenerationError: it could not be answered.
            BusyError: the queue is full, or the model has ended.
        """
        found: dict[int, Completion] = {}
        async with self.answering(prompt, sampling, timeout_s) as events:
            async for event in events:
                if event.completion is not None:
                    found[event.sample] = event.completion
        return [found[sample] for sample in range(sampling.num_samples)]

    async def label_probabilities(self, prompt: Prompt, text: str, labels: Sequence[str]) -> dict[str, float]:
        """Return how likely each label is after what the model wrote.

        Args:
            prompt: what was asked.
            text: the answer.
            labels: the label set.
        """
        scorer = self.engine.scorer
        call = self.thread.call(lambda: scorer.label_probabilities([prompt], [text], labels)[0])
        return await asyncio.wrap_future(call)

    def close(self, *, finish: bool, timeout_s: float) -> None:
        """End the owner.

        Args:
            finish: answer what was begun first.
            timeout_s: seconds to wait for it.
        """
        self.thread.close(finish=finish, timeout_s=timeout_s)
