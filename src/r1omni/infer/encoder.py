"""Clips to features: decoded in a pool of threads, encoded by the towers in a thread of their own, kept by a cache.

    clips -> decoding, ahead (pool) -> towers, in batches (one thread) -> consumer, in the clips' order

All three go on at the same time. However many clips come in, no more than a batch of them is ever under way: half a
batch in the towers, the others decoded ahead or ready to be taken.

Pictures and sound are cached apart, each under the hash of all that shapes it: what the file holds, the part that is
read, the tower with its weights, the preprocessing, and the version of the decoding code. The modality asked for, the
language model and the batch are no part of it.
"""

import threading
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.media_read import NOTHING_READ, MediaRead
from r1omni.infer.delivery import Delivery
from r1omni.infer.feature_cache import NOTHING, CacheRoom, FeatureCache
from r1omni.infer.feature_names import FeatureNames
from r1omni.infer.features import ClipText, Features, Side
from r1omni.infer.fingerprint import fingerprint_towers, weights_state
from r1omni.media.decode import Modality, load_clip
from r1omni.model.adapters import TrainedModel, beneath_adapters
from r1omni.model.processing import HumanOmniProcessor
from r1omni.runs.file_hashes import FileHashes, shared_file_hashes

_INPUTS: dict[Side, str] = {"pictures": "pixel_values", "sound": "input_features"}
"""Side -> name of what its tower reads, as `process_media` gives it."""
_SIDES: dict[Modality, tuple[Side, ...]] = {
    "auto": ("pictures", "sound"),
    "video+audio": ("pictures", "sound"),
    "video": ("pictures",),
    "audio": ("sound",),
}
_ALONE: dict[Side, Modality] = {"pictures": "video", "sound": "audio"}
_WITHOUT: dict[Side, str] = {"pictures": "no-frames", "sound": "no-sound"}
"""The kind of error that says that a clip lacks a side."""


@dataclass
class _ReadClip:
    """A clip between the pool and the towers."""

    keys: dict[Side, str] = field(default_factory=dict)
    """Names in the cache; empty where nothing is cached."""
    features: dict[Side, Tensor] = field(default_factory=dict)
    """Sides that were in the cache."""
    inputs: dict[Side, Tensor] = field(default_factory=dict)
    """Sides that the towers have to read."""
    read: MediaRead = NOTHING_READ
    """What was read of these sides, now or when they were cached."""
    lacking: tuple[Side, ...] = ()
    """Sides that the clip was found not to have."""
    text: ClipText | None = None
    """Its words, where prompts have a field for them."""


class Encoder:
    """Features of clips.

    Args:
        model: HumanOmni, with or without adapters; its towers are run, nothing else of it is.
        processor: prepares what the towers read.
        cache: features on disk; None keeps none.
        batch_size: clips under way in a stream; half as many pass the towers at a time.
        num_workers: threads that decode clips.
        num_frames: frames sampled from a clip.
        modality: what is read of a clip; `auto` reads the sides it has.
        memory_bytes: features that `features` holds in memory.
        dtype: number format of the features; None leaves them in that of the tower's weights.
        hashes: remembers what files hold; None takes those that the whole package shares.
        read_text: reads the words of a clip, see `text_field`; None where prompts have no field for them.
    """

    def __init__(
        self,
        model: TrainedModel,
        processor: HumanOmniProcessor,
        *,
        cache: FeatureCache | None = None,
        batch_size: int = 32,
        num_workers: int = 2,
        num_frames: int = 8,
        modality: Modality = "auto",
        memory_bytes: int = 2**30,
        dtype: torch.dtype | None = None,
        hashes: FileHashes | None = None,
        read_text: Callable[[Clip], ClipText | None] | None = None,
    ) -> None:
        self.model, self.processor, self.cache = beneath_adapters(model), processor, cache
        self.batch_size, self.num_workers, self.num_frames = batch_size, num_workers, num_frames
        self.modality: Modality = modality
        self.memory_bytes, self.dtype = memory_bytes, dtype
        self.hashes, self.read_text = hashes, read_text
        self._memory: OrderedDict[tuple[object, ...], Features] = OrderedDict()
        self._memory_used = 0
        self._lock = threading.Lock()
        self._fingerprints: dict[Side, str] | None = None
        self._fingerprints_of: object = None

    @property
    def window(self) -> int:
        """Clips that are taken from a stream's input and not yet delivered, at most."""
        return max(self.batch_size, self._tower_batch + self.num_workers)

    def stream(self, clips: Iterable[Clip], *, remember: bool = False) -> Generator[Features | MediaError, None, None]:
        """Yield each clip's features, or the error that says why it cannot be read, in the clips' order.

        The clips are taken from their iterable in the caller's thread, as they are needed. An error in a tower is
        raised here. Leaving the iterator early ends its threads.

        Args:
            clips: any number, endless too.
            remember: let `features` find in memory what was yielded, up to `memory_bytes`; otherwise nothing is kept.
        """
        delivery = Delivery[_ReadClip | MediaError, Features | MediaError]()
        source = iter(clips)
        waiting: deque[tuple[object, ...]] = deque()
        with ThreadPoolExecutor(self.num_workers, "decode") as pool:
            # A daemon, so that a stream nobody finished does not keep the process from ending.
            towers = threading.Thread(target=self._run_towers, args=(delivery,), name="towers", daemon=True)
            towers.start()
            try:
                names = self._names() if self.cache is not None else None
                while True:
                    while len(waiting) < self.window and (clip := next(source, None)) is not None:
                        delivery.ask(pool.submit(self._read, clip, names))
                        waiting.append(_identity(clip) if remember else ())
                    if len(waiting) < self.window:
                        delivery.ask(None)
                    if not waiting:
                        return
                    features, name = delivery.take(), waiting.popleft()
                    if remember and isinstance(features, Features):
                        self._remember(name, features)
                    yield features
            finally:
                delivery.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                towers.join()

    def features(self, clips: Sequence[Clip]) -> list[Features | MediaError]:
        """Return each clip's features, or the error that says why it cannot be read, and remember them in memory.

        Args:
            clips: few enough for their features to be held.
        """
        names = [_identity(clip) for clip in clips]
        with self._lock:
            self._forget_if_weights_changed()
            found: list[Features | MediaError | None] = [self._recall(name) for name in names]
        missing = {name: index for index, name in enumerate(names) if found[index] is None}
        fresh: dict[tuple[object, ...], Features | MediaError] = {}
        if missing:
            streamed = self.stream([clips[index] for index in missing.values()], remember=True)
            fresh = dict(zip(missing, streamed, strict=True))
        return [fresh[name] if features is None else features for name, features in zip(names, found, strict=True)]

    @property
    def heard_s(self) -> float:
        """Seconds of sound that the model hears: what is behind them is not read."""
        heard = self.processor.feature_extractor
        return heard.n_samples / heard.sampling_rate

    def load_inputs(self, clip: Clip, modality: Modality) -> tuple[Mapping[str, Tensor], MediaRead]:
        """Decode a clip; runs in the pool's threads.

        Args:
            clip: the clip.
            modality: what is read of it.

        Returns:
            What the towers read of it, as `process_media` gives it, and what was read of the file.

        Raises:
            MediaError: the clip cannot be read.
        """
        media = load_clip(clip, num_frames=self.num_frames, modality=modality, max_sound_s=self.heard_s)
        return self.processor.process_media(media), media.read

    @torch.no_grad()
    def encode(self, inputs: Sequence[Mapping[str, Tensor]]) -> list[Features]:
        """Run the towers, inputs of one shape together, half of `batch_size` at a time.

        Args:
            inputs: what `process_media` returns, one per clip.
        """
        towers = {"pictures": self.model.encode_video, "sound": self.model.encode_audio}
        made: list[dict[Side, Tensor]] = [{} for _ in inputs]
        for side, name in _INPUTS.items():
            shapes: dict[tuple[int, ...], list[int]] = {}
            for index, entry in enumerate(inputs):
                if entry.get(name) is not None:
                    shapes.setdefault(tuple(entry[name].shape), []).append(index)
            for same in shapes.values():
                for start in range(0, len(same), self._tower_batch):
                    part = same[start : start + self._tower_batch]
                    stacked = torch.stack([inputs[index][name] for index in part]).to(self.model.device)
                    encoded = towers[side](stacked).to(dtype=self._dtype_of(side)).cpu()
                    for index, features in zip(part, encoded, strict=True):
                        made[index][side] = features.clone()
        return [Features(parts.get("pictures"), parts.get("sound")) for parts in made]

    def encode_decoded(
        self, clips: Sequence[Clip], inputs: Sequence[Mapping[str, Tensor]], reads: Sequence[MediaRead]
    ) -> list[Features]:
        """Run the towers over what `load_inputs` gave earlier, and keep the features as `stream` would.

        Args:
            clips: few enough for their features to be held.
            inputs: what the towers read of each; a side that is left out stays unknown to the cache.
            reads: what was read of each.

        Raises:
            OSError: a clip's file cannot be read.
        """
        names = self._names() if self.cache is not None else None
        decoded = [
            _ReadClip(
                keys={} if names is None else names.of(clip),
                inputs={side: entry[name] for side, name in _INPUTS.items() if name in entry},
                read=read,
            )
            for clip, entry, read in zip(clips, inputs, reads, strict=True)
        ]
        return [found for found in self._encode_read(decoded) if isinstance(found, Features)]

    def room_needed(self, clips: Sequence[Clip]) -> CacheRoom | None:
        """Return how much room clips need in the cache, and mark as used what it holds of them already.

        Call it before a run over these clips: what it marks never goes for a new entry. Files that were never hashed
        are not read for it. Every process of a run calls it.

        Args:
            clips: each clip once.

        Returns:
            None where nothing is cached.
        """
        if self.cache is None:
            return None
        num_cached, names, sides = 0, self._names(), self._sides()
        for clip in clips:
            keys = names.remembered(clip)
            if keys is not None:
                num_cached += self.cache.keep([keys[side] for side in sides]) == len(sides)
        return CacheRoom(len(clips), num_cached, self.bytes_per_clip(), self.cache.max_bytes, self.cache.free_bytes())

    def bytes_per_clip(self) -> int:
        """Return the size of the features of a clip that has everything that is read."""
        config, sides = self.model.config, self._sides()
        numbers = {
            "pictures": self.num_frames * config.grid_patches**2 * config.vision.hidden_size,
            "sound": config.audio_tokens * config.audio.d_model,
        }
        return sum(numbers[side] * self._dtype_of(side).itemsize for side in sides)

    @property
    def _tower_batch(self) -> int:
        return max(1, self.batch_size // 2)

    def _dtype_of(self, side: Side) -> torch.dtype:
        tower = self.model.vision_tower if side == "pictures" else self.model.audio_tower
        return self.dtype or next(tower.parameters()).dtype

    def _sides(self) -> tuple[Side, ...]:
        """Sides that a clip with both gives."""
        sides = _SIDES[self.modality]
        return _SIDES["auto"] if self.processor.invents_silence and "pictures" in sides else sides

    def _read(self, clip: Clip, names: FeatureNames | None) -> _ReadClip | MediaError:
        """Take a clip's sides from the cache, and decode those that are not there."""
        found = _ReadClip()
        if self.cache is not None and names is not None:
            # A file that cannot be hashed cannot be decoded either, and that error says why.
            with suppress(OSError):
                found.keys = names.of(clip)
            for side in self._sides():
                if side in found.keys and (entry := self.cache.get(found.keys[side])) is not None:
                    found.features[side] = entry.features
                    found.read = found.read.with_sides_of(entry.read)
        try:
            if self.read_text is not None:
                found.text = self.read_text(clip)
            return found if self._is_complete(found) else self._decode(clip, found)
        except MediaError as error:
            return error
        except OSError as error:
            return MediaError("unreadable", f"{clip.path}: {error}; check the file's permissions and the disk.")

    def _is_complete(self, found: _ReadClip) -> bool:
        """Whether nothing has to be decoded: a clip that lacks what was asked for is read again for its error."""
        has = [side in found.features and found.features[side].numel() > 0 for side in _SIDES[self.modality]]
        is_known = all(side in found.features for side in self._sides())
        return is_known and (any(has) if self.modality == "auto" else all(has))

    def _decode(self, clip: Clip, found: _ReadClip) -> _ReadClip:
        """Decode what is missing, and nothing else where one side alone is."""
        held: list[Side] = [side for side, features in found.features.items() if features.numel()]
        missing: list[Side] = [side for side in self._sides() if side not in held]
        is_one_side = bool(held) and not self.processor.invents_silence
        try:
            inputs, read = self.load_inputs(clip, _ALONE[missing[0]] if is_one_side else self.modality)
        except MediaError as error:
            if is_one_side and self.modality == "auto" and error.kind == _WITHOUT[missing[0]]:
                found.lacking = (missing[0],)
                return found
            raise
        found.inputs = {side: inputs[_INPUTS[side]] for side in missing if _INPUTS[side] in inputs}
        found.lacking = tuple(side for side in missing if side not in found.inputs)
        found.read = found.read.with_sides_of(read)
        return found

    def _run_towers(self, delivery: "Delivery[_ReadClip | MediaError, Features | MediaError]") -> None:
        """Encode clips as they are decoded, until there are no more or nobody wants them; a thread's whole life."""
        try:
            while (asked := delivery.next_batch(self._tower_batch)) is not None:
                read = [future.result() for future in asked]
                delivery.give(self._encode_read(read))
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: the consumer raises it
            delivery.fail(error)

    def _encode_read(self, read: Sequence[_ReadClip | MediaError]) -> list[Features | MediaError]:
        """Run the towers over what was not cached, and keep what they give."""
        fresh = [clip for clip in read if isinstance(clip, _ReadClip) and clip.inputs]
        inputs = [{_INPUTS[side]: tensor for side, tensor in clip.inputs.items()} for clip in fresh]
        for clip, encoded in zip(fresh, self.encode(inputs), strict=True):
            for side in clip.inputs:
                features = encoded.video if side == "pictures" else encoded.audio
                assert features is not None
                clip.features[side] = features
                self._keep(clip, side, features)
        results: list[Features | MediaError] = []
        for clip in read:
            if isinstance(clip, MediaError):
                results.append(clip)
                continue
            for side in clip.lacking:
                clip.features.setdefault(side, NOTHING)
                self._keep(clip, side, NOTHING)
            parts = {side: features for side, features in clip.features.items() if features.numel()}
            results.append(Features(parts.get("pictures"), parts.get("sound"), clip.read, clip.text))
        return results

    def _keep(self, clip: _ReadClip, side: Side, features: Tensor) -> None:
        """Write to the cache; a full disk costs time, not the run."""
        if self.cache is None or side not in clip.keys:
            return
        try:
            self.cache.put(clip.keys[side], features, clip.read.only(side))
        except OSError as error:
            warnings.warn(
                f"Features cannot be written to {self.cache.folder} and will be computed again next time: {error}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _names(self) -> FeatureNames:
        """What the clips' features are called in the cache, for the weights as they are now."""
        hashes = self.hashes or shared_file_hashes()
        with self._lock:
            self._forget_if_weights_changed()
            if self._fingerprints is None:
                self._fingerprints = fingerprint_towers(self.model, hashes)
            fingerprints = self._fingerprints
        return FeatureNames(
            fingerprints,
            self.processor,
            num_frames=self.num_frames,
            sound_is_invented=self.processor.invents_silence and self.modality == "video",
            audio_pool=self.model.config.audio_pool,
            dtypes={side: self._dtype_of(side) for side in _INPUTS},
            hashes=hashes,
        )

    def _forget_if_weights_changed(self) -> None:
        state = weights_state(self.model.vision_tower), weights_state(self.model.audio_tower)
        if state != self._fingerprints_of:
            self._fingerprints_of, self._fingerprints = state, None
            self._memory.clear()
            self._memory_used = 0

    def _recall(self, name: tuple[object, ...]) -> Features | None:
        if name in self._memory:
            self._memory.move_to_end(name)
        return self._memory.get(name)

    def _remember(self, name: tuple[object, ...], features: Features) -> None:
        if features.num_bytes > self.memory_bytes:
            return
        with self._lock:
            previous = self._memory.pop(name, None)
            self._memory[name] = features
            self._memory_used += features.num_bytes - (previous.num_bytes if previous else 0)
            while self._memory_used > self.memory_bytes:
                _, oldest = self._memory.popitem(last=False)
                self._memory_used -= oldest.num_bytes


def _identity(clip: Clip) -> tuple[object, ...]:
    """What tells a clip's features from others in memory."""
    files = [clip.path, clip.path.with_name(f"{clip.path.name}.wav")] if clip.path.is_dir() else [clip.path]
    looks: list[object] = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            looks.append(None)
        else:
            looks += [status.st_size, status.st_mtime_ns, status.st_ino]
    return (clip.path, clip.start_s, clip.stop_s, clip.meta.get("frame_rate_fps"), clip.subtitle, *looks)
