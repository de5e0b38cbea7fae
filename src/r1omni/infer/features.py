"""What the towers made of a clip, and the same without its pictures or its sound."""

from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from r1omni.core.media_read import NOTHING_READ, MediaRead

Side = Literal["pictures", "sound"]


@dataclass(frozen=True)
class ClipText:
    """The words of a clip, a field of the prompt of its own."""

    label: str
    """What the field is called in the prompt."""
    text: str
    side: Side | None = None
    """The side that it was read from; None of words that the manifest gives."""


@dataclass(frozen=True)
class Features:
    """The output of the towers for one clip, on the CPU."""

    video: Float[Tensor, "frames patches width"] | None
    """None without pictures."""
    audio: Float[Tensor, "tokens _width"] | None
    """None without sound."""
    read: MediaRead = NOTHING_READ
    """What was read of the clip."""
    text: ClipText | None = None
    """Its words; None where the prompt has no field for them."""

    @property
    def num_bytes(self) -> int:
        """Size in memory."""
        return sum(part.nbytes for part in (self.video, self.audio) if part is not None)

    @property
    def modality(self) -> Literal["video+audio", "video", "audio"] | None:
        """The modalities that were read; None for text alone."""
        if self.video is None:
            return None if self.audio is None else "audio"
        return "video" if self.audio is None else "video+audio"

    def without(self, side: Side) -> "Features":
        """Return the features of the same clip as if it never had one side; no tower runs.

        Args:
            side: the side to take away, with the words that were read from it; taking away what the clip does not have
                changes nothing.
        """
        if self.text is not None and self.text.side == side:
            return replace(self, text=None).without(side)
        if side == "pictures":
            return replace(self, video=None, read=replace(self.read, pictures=None))
        return replace(self, audio=None, read=replace(self.read, sound=None))


NO_FEATURES = Features(None, None)
"""The features of a prompt of text alone."""
