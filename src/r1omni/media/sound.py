"""Turns the packets of a sound track into one mono waveform at the wanted rate.

Decoded sound is gathered in a queue and resampled in long blocks: the same samples as frame by frame, at half the time.
Any number of channels becomes one by FFmpeg's own mixing (stereo: 0.7071 of left plus right), which is also what the
decoder of the published models' training does.
"""

import av
import numpy as np
from av.error import EOFError as DecoderEndError
from av.error import InvalidDataError, PatchWelcomeError

from r1omni.core.errors import MediaError
from r1omni.media.window import Window

_BLOCK_SAMPLES = 65536
"""Resampled at a time."""


class SoundReader:
    """Collects one sound track.

    Args:
        stream: the track.
        sample_rate_hz: rate of the waveform.
    """

    def __init__(self, stream: av.AudioStream, sample_rate_hz: int) -> None:
        self.num_packets = 0
        self.num_damaged = 0
        self._stream = stream
        self._sample_rate_hz = sample_rate_hz
        self._resampler = self._new_resampler()
        self._queue = av.AudioFifo()
        self._kind: tuple[str, str, int] | None = None
        self._chunks: list[np.ndarray] = []
        self._first_s: float | None = None

    def feed(self, packet: av.Packet) -> None:
        """Decode one packet; a damaged one is counted and left out.

        Args:
            packet: of this track, in file order; the empty one at the end flushes the decoder.
        """
        self.num_packets += packet.size > 0
        try:
            frames = packet.decode()
        except (InvalidDataError, DecoderEndError, PatchWelcomeError):
            self.num_damaged += packet.size > 0
            return
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            if self._first_s is None:
                self._first_s = frame.time
            # The queue would refuse a track whose clock jumps; the samples follow each other all the same.
            frame.pts = None
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind != self._kind:
                # Sound may change its format, channels or rate on the way.
                self._drain()
                self._kind = kind
            self._queue.write(frame)
        if self._queue.samples >= _BLOCK_SAMPLES:
            self._resample_queue()

    def finish(self, window: Window, name: str) -> np.ndarray | None:
        """Return the window's samples.

        Args:
            window: the part to keep; the samples before and after it are cut off.
            name: of the file, for messages.

        Returns:
            float32 [samples]; None where the track holds none in the window.

        Raises:
            MediaError: no packet could be decoded, or samples are not numbers.
        """
        self._drain()
        if self.num_damaged and self.num_damaged > self.num_packets // 2:
            raise MediaError(
                "unreadable",
                f"{name}: {self.num_damaged} of {self.num_packets} sound packets are damaged; get the file again, or "
                "read its pictures only with modality 'video'",
            )
        if not self._chunks:
            return None
        waveform = np.concatenate(self._chunks)
        first_s = 0.0 if self._first_s is None else self._first_s - window.origin_s
        first = max(0, round((window.start_s - first_s) * self._sample_rate_hz)) if window.start_s > 0 else 0
        stop_s = min(window.stop_s - first_s, len(waveform) / self._sample_rate_hz)
        waveform = waveform[first : max(first, round(stop_s * self._sample_rate_hz))]
        num_bad = int(np.count_nonzero(~np.isfinite(waveform)))
        if num_bad:
            raise MediaError(
                "invalid-samples",
                f"{name}: {num_bad} of {len(waveform)} sound samples are NaN or infinite; write the sound again from "
                "its source, or read the pictures only with modality 'video'",
            )
        return waveform if len(waveform) else None

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="flt", layout="mono", rate=self._sample_rate_hz)

    def _drain(self) -> None:
        """Take what the queue and the resampler still hold, and start new ones."""
        if self._kind is not None:
            self._resample_queue()
            self._keep(self._resampler.resample(None))
        self._resampler, self._queue, self._kind = self._new_resampler(), av.AudioFifo(), None

    def _resample_queue(self) -> None:
        block = self._queue.read(0, partial=True)
        if block is not None:
            block.pts = None
            self._keep(self._resampler.resample(block))

    def _keep(self, frames: list[av.AudioFrame]) -> None:
        self._chunks.extend(frame.to_ndarray()[0] for frame in frames if frame.samples)
