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

import torch
from torch import Tensor

from r1omni.core.clip import Clip, Modality
from r1omni.core.errors import MediaError
from r1omni.core.media_read import MediaRead
from r1omni.infer.clip_reader import INPUTS, ClipReader, ReadClip
from r1omni.infer.delivery import Delivery
from r1omni.infer.feature_cache import NOTHING, CacheRoom, FeatureCache
from r1omni.infer.feature_names import FeatureNames, feature_names
from r1omni.infer.features import ClipText, Features, Side
from r1omni.infer.fingerprint import fingerprint_towers, weights_state
from r1omni.model.adapters import TrainedModel, beneath_adapters
from r1omni.model.processing import HumanOmniProcessor
from r1omni.runs.file_hashes import FileHashes, shared_file_hashes


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
        return max(self.batch_size, self.tower_batch + self.num_workers)

    def stream(self, clips: Iterable[Clip], *, remember: bool = False) -> Generator[Features | MediaError, None, None]:
        """Yield each clip's features, or the error that says why it cannot be read, in the clips' order.

        The clips are taken from their iterable in the caller's thread, as they are needed. An error in a tower is
        raised here. Leaving the iterator early ends its threads.

        Args:
            clips: any number, endless too.
            remember: let `features` find in memory what was yielded, up to `memory_bytes`; otherwise nothing is kept.
        """
        delivery = Delivery[ReadClip | MediaError, Features | MediaError]()
        source = iter(clips)
        waiting: deque[tuple[object, ...]] = deque()
        with ThreadPoolExecutor(self.num_workers, "decode") as pool:
            # A daemon, so that a stream nobody finished does not keep the process from ending.
            towers = threading.Thread(target=self._run_towers, args=(delivery,), name="towers", daemon=True)
            towers.start()
            try:
                reader = self.reader(self.names() if self.cache is not None else None)
                while True:
                    while len(waiting) < self.window and (clip := next(source, None)) is not None:
                        delivery.ask(pool.submit(reader.read, clip))
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
        return self.reader().heard_s

    def reader(self, names: FeatureNames | None = None) -> ClipReader:
        """Return the half that decodes, as this encoder is set now.

        Args:
            names: what features are called in the cache; None looks none up.
        """
        return ClipReader(
            self.processor,
            self.num_frames,
            self.modality,
            self.cache,
            names,
            self.read_text,
            self.load_inputs,
        )

    def windows(self, clip: Clip) -> list[Clip]:
        """Return the windows of a clip that is longer than the model hears, or the clip itself.

        Args:
            clip: the clip.
        """
        return self.reader().windows(clip)

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
        return ClipReader(self.processor, self.num_frames).load_inputs(clip, modality)

    @torch.no_grad()
    def encode(self, inputs: Sequence[Mapping[str, Tensor]]) -> list[Features]:
        """Run the towers, inputs of one shape together, half of `batch_size` at a time.

        Args:
            inputs: what `process_media` returns, one per clip.
        """
        towers = {"pictures": self.model.encode_video, "sound": self.model.encode_audio}
        made: list[dict[Side, Tensor]] = [{} for _ in inputs]
        for side, name in INPUTS.items():
            shapes: dict[tuple[int, ...], list[int]] = {}
            for index, entry in enumerate(inputs):
                if entry.get(name) is not None:
                    shapes.setdefault(tuple(entry[name].shape), []).append(index)
            for same in shapes.values():
                for start in range(0, len(same), self.tower_batch):
                    part = same[start : start + self.tower_batch]
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
        names = self.names() if self.cache is not None else None
        decoded = [
            ReadClip(
                keys={} if names is None else names.of(clip),
                inputs={side: entry[name] for side, name in INPUTS.items() if name in entry},
                read=read,
            )
            for clip, entry, read in zip(clips, inputs, reads, strict=True)
        ]
        return [found for found in self.encode_read(decoded) if isinstance(found, Features)]

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
        num_cached, names, sides = 0, self.names(), self.reader().sides
        for clip in clips:
            keys = names.remembered(clip)
            if keys is not None:
                num_cached += self.cache.keep([keys[side] for side in sides]) == len(sides)
        return CacheRoom(len(clips), num_cached, self.bytes_per_clip(), self.cache.max_bytes, self.cache.free_bytes())

    def bytes_per_clip(self) -> int:
        """Return the size of the features of a clip that has everything that is read."""
        config, sides = self.model.config, self.reader().sides
        numbers = {
            "pictures": self.num_frames * config.grid_patches**2 * config.vision.hidden_size,
            "sound": config.audio_tokens * config.audio.d_model,
        }
        return sum(numbers[side] * self._dtype_of(side).itemsize for side in sides)

    @property
    def tower_batch(self) -> int:
        """Clips that pass the towers at a time."""
        return max(1, self.batch_size // 2)

    def _dtype_of(self, side: Side) -> torch.dtype:
        tower = self.model.vision_tower if side == "pictures" else self.model.audio_tower
        return self.dtype or next(tower.parameters()).dtype

    def _run_towers(self, delivery: "Delivery[ReadClip | MediaError, Features | MediaError]") -> None:
        """Encode clips as they are decoded, until there are no more or nobody wants them; a thread's whole life."""
        try:
            while (asked := delivery.next_batch(self.tower_batch)) is not None:
                read = [future.result() for future in asked]
                delivery.give(self.encode_read(read))
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: the consumer raises it
            delivery.fail(error)

    def encode_read(self, read: Sequence[ReadClip | MediaError]) -> list[Features | MediaError]:
        """Run the towers over what was not cached, and keep what they give.

        Args:
            read: what `ClipReader.read` gave; errors pass through.
        """
        fresh = [clip for clip in read if isinstance(clip, ReadClip) and clip.inputs]
        inputs = [{INPUTS[side]: tensor for side, tensor in clip.inputs.items()} for clip in fresh]
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

    def _keep(self, clip: ReadClip, side: Side, features: Tensor) -> None:
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

    def names(self) -> FeatureNames:
        """Return what the clips' features are called in the cache, for the weights as they are now."""
        hashes = self.hashes or shared_file_hashes()
        with self._lock:
            self._forget_if_weights_changed()
            if self._fingerprints is None:
                self._fingerprints = fingerprint_towers(self.model, hashes)
            fingerprints = self._fingerprints
        return feature_names(
            fingerprints,
            self.processor,
            num_frames=self.num_frames,
            sound_is_invented=self.processor.invents_silence and self.modality == "video",
            audio_pool=self.model.config.audio_pool,
            dtypes={side: self._dtype_of(side) for side in INPUTS},
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


def release_language_model(model: TrainedModel) -> None:
    """Free all of a model but its towers, where it only encodes.

    Args:
        model: HumanOmni; it cannot answer any more.
    """
    base = beneath_adapters(model)
    for name, _ in list(base.named_children()):
        if name not in ("vision_tower", "audio_tower"):
            setattr(base, name, torch.nn.Identity())
