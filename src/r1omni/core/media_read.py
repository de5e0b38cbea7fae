"""What was read of a clip: which modalities, how much of each, and what was special about it.

The record is made where a clip is decoded, is kept with its features (in the cache too), and comes out with every
answer. Lengths and times are in seconds; times count from the file's beginning.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

NOTICED_S = 0.1
"""Less than this is no part of a clip worth mentioning: containers round, and codecs pad."""

_Gap = tuple[float, float]


@dataclass(frozen=True)
class PicturesRead:
    """What was read of a clip's pictures."""

    num_frames: int
    """Frames that the model saw, repeats apart, sampled evenly over `total_s`; 1 for a still image."""
    total_s: float
    """Length of the pictures in the part of the file that was asked for; 0 for a still image."""
    num_damaged_packets: int = 0
    """Packets that were needed and could not be decoded."""
    track: str | None = None
    """Which track, such as `picture track 1 of 2`; None where the file has one."""

    @property
    def used_s(self) -> float:
        """All of it: frames are sampled over the whole length."""
        return self.total_s


@dataclass(frozen=True)
class SoundRead:
    """What was read of a clip's sound."""

    used_s: float
    """Length of the sound that the model heard, from the beginning of the part."""
    total_s: float
    """Length of the sound in the part of the file that was asked for."""
    gaps_s: tuple[_Gap, ...] = ()
    """Spans of what was heard for which the track has no samples, filled with silence; half-open."""
    num_damaged_packets: int = 0
    """Packets of what was heard that could not be decoded."""
    is_silent: bool = False
    """Whether what was heard is digital silence; see `media.decode.SILENT_PEAK`."""
    track: str | None = None
    """Which track, such as `sound track 2 of 2 (eng)`; None where the file has one."""


@dataclass(frozen=True)
class MediaRead:
    """What was read of a clip."""

    pictures: PicturesRead | None = None
    """None where no pictures were read: the clip has none, or only its sound was asked for."""
    sound: SoundRead | None = None
    """None where no sound was read: the clip has none, or only its pictures were asked for."""

    @property
    def modality(self) -> Literal["video+audio", "video", "audio"] | None:
        """The modalities that were read; None for text alone."""
        if self.pictures is None:
            return None if self.sound is None else "audio"
        return "video" if self.sound is None else "video+audio"

    @property
    def is_partly_heard(self) -> bool:
        """Whether the clip has more sound than the model heard."""
        return self.sound is not None and self.sound.total_s - self.sound.used_s >= NOTICED_S

    def only(self, side: Literal["pictures", "sound"]) -> "MediaRead":
        """Return the record of one side alone.

        Args:
            side: the one that stays.
        """
        return replace(self, sound=None) if side == "pictures" else replace(self, pictures=None)

    def with_sides_of(self, other: "MediaRead") -> "MediaRead":
        """Return the record with the sides that another one has.

        Args:
            other: a record of the same clip.
        """
        return MediaRead(other.pictures or self.pictures, other.sound or self.sound)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON has it, with the modality and the seconds used spelt out."""
        record: dict[str, Any] = {"modality": self.modality, "pictures": None, "sound": None}
        if self.pictures is not None:
            record["pictures"] = {"used_s": self.pictures.used_s, **asdict(self.pictures)}
        if self.sound is not None:
            record["sound"] = asdict(self.sound) | {"gaps_s": [list(gap) for gap in self.sound.gaps_s]}
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "MediaRead":
        """Read what `to_json` wrote.

        Args:
            record: its fields.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is not what `to_json` writes.
        """
        pictures, sound = record["pictures"], record["sound"]
        if pictures is not None:
            pictures = PicturesRead(**{name: value for name, value in pictures.items() if name != "used_s"})
        if sound is not None:
            sound = SoundRead(**sound | {"gaps_s": tuple((start, stop) for start, stop in sound["gaps_s"])})
        return cls(pictures, sound)

    def summary(self) -> str:
        """Return what was read in a few words, such as `8 frames of 12.4 s of pictures, 3.0 of 12.4 s of sound`."""
        parts = []
        if self.pictures is not None and self.pictures.total_s == 0:
            parts.append("a still image")
        elif self.pictures is not None:
            frames = "1 frame" if self.pictures.num_frames == 1 else f"{self.pictures.num_frames} frames"
            parts.append(f"{frames} of {self.pictures.total_s:.1f} s of pictures")
        if self.sound is not None:
            of_s = f"{self.sound.used_s:.1f} of " if self.is_partly_heard else ""
            parts.append(f"{of_s}{self.sound.total_s:.1f} s of sound")
        return ", ".join(parts) or "no clip"

    def remarks(self, in_windows: bool = False) -> list[str]:
        """Return what a user should know about how the clip was read, a clause each; empty for a plain clip.

        Args:
            in_windows: the clip was read in windows, and what was not heard may lie anywhere.
        """
        found = []
        pictures, sound = self.pictures, self.sound
        if sound is not None and self.is_partly_heard:
            used = f"{'' if in_windows else 'the first '}{sound.used_s:.1f}"
            found.append(f"the model heard {used} of {sound.total_s:.1f} s of sound")
        if sound is not None and sound.is_silent:
            found.append("the sound is digital silence")
        elif sound is not None and any(stop - start >= NOTICED_S for start, stop in sound.gaps_s):
            found.append(f"the sound has gaps, filled with silence: {_spans(sound.gaps_s)}")
        for side, name in ((pictures, "picture"), (sound, "sound")):
            if side is not None and side.num_damaged_packets:
                count = side.num_damaged_packets
                were = "packet was" if count == 1 else "packets were"
                found.append(f"{count} damaged {name} {were} left out")
        tracks = [side.track for side in (pictures, sound) if side is not None and side.track is not None]
        if tracks:
            found.append(f"{' and '.join(tracks)} {'was' if len(tracks) == 1 else 'were'} read")
        return found


NOTHING_READ = MediaRead()
"""Of a prompt of text alone."""

_MOST_SPANS = 3
"""Gaps that a remark spells out."""


def _spans(gaps_s: tuple[_Gap, ...]) -> str:
    noticed = [(start, stop) for start, stop in gaps_s if stop - start >= NOTICED_S]
    shown = ", ".join(f"{start:.1f} to {stop:.1f} s" for start, stop in noticed[:_MOST_SPANS])
    return f"{shown} and {len(noticed) - _MOST_SPANS} more" if len(noticed) > _MOST_SPANS else shown
