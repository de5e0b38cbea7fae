"""Features that other processes made, where an engine expects its encoder: nothing is decoded and no tower is run."""

from collections import deque
from collections.abc import Generator, Iterable, Sequence

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.encoder import Encoder
from r1omni.infer.features import Features


class ArrivedFeatures(Encoder):
    """Gives out features in the order in which they came, clip by clip.

    Args:
        encoder: the one whose place it takes.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(
            encoder.model,
            encoder.processor,
            batch_size=encoder.batch_size,
            num_frames=encoder.num_frames,
            modality=encoder.modality,
        )
        self._pieces: deque[Sequence[Clip]] = deque()
        self._features: deque[Features | MediaError] = deque()

    def take(self, pieces: Iterable[Sequence[Clip]], features: Iterable[Features | MediaError]) -> None:
        """Replace what is left of a batch by the next one.

        Args:
            pieces: of each clip itself, or its windows.
            features: of each piece, or why it cannot be read.
        """
        self._pieces, self._features = deque(pieces), deque(features)

    def windows(self, clip: Clip) -> list[Clip]:
        """Return the pieces in which the next clip was read.

        Args:
            clip: the clip.
        """
        return list(self._pieces.popleft())

    def stream(self, clips: Iterable[Clip], *, remember: bool = False) -> Generator[Features | MediaError, None, None]:
        """Yield the features of the next pieces.

        Args:
            clips: the pieces.
            remember: has no effect.
        """
        for _ in clips:
            yield self._features.popleft()

    def features(self, clips: Sequence[Clip]) -> list[Features | MediaError]:
        """Return the features of the next pieces.

        Args:
            clips: the pieces.
        """
        return list(self.stream(clips))
