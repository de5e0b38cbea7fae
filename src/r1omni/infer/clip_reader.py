"""From a clip to what the towers read of it: the half of encoding that needs no model, for threads and other processes.

A side that is in the cache is taken from there; what is missing is decoded, and nothing else.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from torch import Tensor

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.media_read import NOTHING_READ, MediaRead
from r1omni.infer.clip_windows import windows_of
from r1omni.infer.feature_cache import FeatureCache
from r1omni.infer.feature_names import FeatureNames
from r1omni.infer.features import ClipText, Side
from r1omni.media.decode import Modality, load_clip
from r1omni.model.processing import HumanOmniProcessor

INPUTS: dict[Side, str] = {"pictures": "pixel_values", "sound": "input_features"}
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

LoadInputs = Callable[[Clip, Modality], tuple[Mapping[str, Tensor], MediaRead]]
"""Decodes a clip: what the towers read of it, as `process_media` gives it, and what was read of the file."""


@dataclass
class ReadClip:
    """A clip between the decoder and the towers."""

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


@dataclass(frozen=True)
class ClipReader:
    """Reads clips up to the towers."""

    processor: HumanOmniProcessor
    """Prepares what the towers read."""
    num_frames: int
    """Frames sampled from a clip."""
    modality: Modality = "auto"
    """What is read of a clip; `auto` reads the sides it has."""
    cache: FeatureCache | None = None
    """Features on disk; None decodes every clip."""
    names: FeatureNames | None = None
    """What features are called there."""
    read_text: Callable[[Clip], ClipText | None] | None = None
    """Reads the words of a clip, see `text_field`; None where prompts have no field for them."""
    decode: LoadInputs | None = None
    """Takes the place of `load_inputs`."""

    @property
    def heard_s(self) -> float:
        """Seconds of sound that the model hears: what is behind them is not read."""
        heard = self.processor.feature_extractor
        return heard.n_samples / heard.sampling_rate

    @property
    def sides(self) -> tuple[Side, ...]:
        """Sides that a clip with both gives."""
        sides = _SIDES[self.modality]
        return _SIDES["auto"] if self.processor.invents_silence and "pictures" in sides else sides

    def windows(self, clip: Clip) -> list[Clip]:
        """Return the windows of a clip that is longer than the model hears, or the clip itself.

        Args:
            clip: the clip.
        """
        return windows_of(clip, self.heard_s, self.modality)

    def load_inputs(self, clip: Clip, modality: Modality) -> tuple[Mapping[str, Tensor], MediaRead]:
        """Decode a clip.

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

    def read(self, clip: Clip) -> ReadClip | MediaError:
        """Take a clip's sides from the cache, and decode those that are not there.

        Args:
            clip: the clip.

        Returns:
            The clip, or the error that says why it cannot be read.
        """
        found = ReadClip()
        if self.cache is not None and self.names is not None:
            # A file that cannot be hashed cannot be decoded either, and that error says why.
            with suppress(OSError):
                found.keys = self.names.of(clip)
            for side in self.sides:
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

    def _is_complete(self, found: ReadClip) -> bool:
        """Whether nothing has to be decoded: a clip that lacks what was asked for is read again for its error."""
        has = [side in found.features and found.features[side].numel() > 0 for side in _SIDES[self.modality]]
        is_known = all(side in found.features for side in self.sides)
        return is_known and (any(has) if self.modality == "auto" else all(has))

    def _decode(self, clip: Clip, found: ReadClip) -> ReadClip:
        """Decode what is missing, and nothing else where one side alone is."""
        held: list[Side] = [side for side, features in found.features.items() if features.numel()]
        missing: list[Side] = [side for side in self.sides if side not in held]
        is_one_side = bool(held) and not self.processor.invents_silence
        decode = self.decode or self.load_inputs
        try:
            inputs, read = decode(clip, _ALONE[missing[0]] if is_one_side else self.modality)
        except MediaError as error:
            if is_one_side and self.modality == "auto" and error.kind == _WITHOUT[missing[0]]:
                found.lacking = (missing[0],)
                return found
            raise
        found.inputs = {side: inputs[INPUTS[side]] for side in missing if INPUTS[side] in inputs}
        found.lacking = tuple(side for side in missing if side not in found.inputs)
        found.read = found.read.with_sides_of(read)
        return found
