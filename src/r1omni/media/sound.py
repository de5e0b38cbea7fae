"""Converts the packets of a sound track to one mono waveform at the requested rate, each sample at its own time.

Decoded sound is queued and resampled in long blocks: the same samples as frame by frame, in half the time. FFmpeg mixes
one or two channels to mono (stereo: 0.7071 of left plus right), as the decoder used to train the published models does.
More channels are averaged: FFmpeg's mixing leaves out what it takes for a subwoofer, and a recorder's third microphone
is often labelled as one.

A track is a sequence of stretches of consecutive samples. Where a frame's stated time differs from the time that the
samples so far lead to, because packets are missing or damaged, a new stretch begins at the stated time: gaps are filled
with silence, and samples beyond the stated time are dropped.
"""

import math
from dataclasses import dataclass, field

import av
import numpy as np
from av.error import FFmpegError

from r1omni.core.errors import MediaError
from r1omni.media.window import Window

_BLOCK_SAMPLES = 65536
"""Samples that are resampled at a time."""
_JITTER_S = 0.05
"""Containers round times and clocks jitter: a frame within this tolerance continues the stretch."""
_LOSS_S = 0.005
"""The same after a packet that could not be decoded, where a gap is expected."""
_LONGEST_GAP_S = 3600.0
"""A clock that jumps further is wrong, and the samples are taken as consecutive."""


@dataclass(frozen=True)
class Sound:
    """What was read of a sound track."""

    waveform: np.ndarray
    """float32 [samples], mono."""
    gaps_s: tuple[tuple[float, float], ...]
    """Spans for which the track has no samples, filled with silence; half-open, from the file's beginning."""


@dataclass
class _Stretch:
    """Consecutive samples."""

    start_s: float | None
    """On the file's own clock; None if no frame states a time."""
    chunks: list[np.ndarray] = field(default_factory=list)


class SoundReader:
    """Collects one sound track.

    Args:
        stream: the track.
        sample_rate_hz: rate of the waveform.
    """

    def __init__(self, stream: av.AudioStream, sample_rate_hz: int) -> None:
        self.num_packets = 0
        self.num_damaged = 0
        """Packets that could not be decoded."""
        self._stream = stream
        self._sample_rate_hz = sample_rate_hz
        self._resampler = self._new_resampler()
        self._queue = av.AudioFifo()
        self._kind: tuple[str, str, int] | None = None
        self._stretches: list[_Stretch] = []
        self._next_s = math.nan
        """Time at which the next frame is expected from the samples so far; NaN if no frame stated a time."""
        self._stated_s = -math.inf
        """Time stated by the last frame."""
        self._tolerance_s = _JITTER_S

    def feed(self, packet: av.Packet) -> None:
        """Decode one packet; damaged ones are counted and left out.

        Args:
            packet: of this track, in file order; the empty one at the end flushes the decoder.
        """
        self.num_packets += packet.size > 0
        try:
            frames = packet.decode()
        except FFmpegError:  # a decoder may return any error code for damaged data
            self.num_damaged += packet.size > 0
            self._tolerance_s = _LOSS_S
            return
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            if frame.samples:
                self._take(frame)
        if self._queue.samples >= _BLOCK_SAMPLES:
            self._resample_queue()

    def finish(self, window: Window, name: str, end_s: float = 0.0) -> Sound | None:
        """Return the window's samples.

        Args:
            window: the part to keep.
            name: of the file, for messages.
            end_s: when the track ends, in seconds from the file's beginning; if it goes on behind the window, a gap
                before the window's end is filled too. 0 if that is not known.

        Returns:
            The sound; None if the track has no sample in the window.

        Raises:
            MediaError: no packet can be decoded, or samples are not finite.
        """
        self._drain()
        if not any(stretch.chunks for stretch in self._stretches):
            if self.num_damaged:
                raise MediaError(
                    "unreadable",
                    f"{name}: none of its {self.num_packets} sound packets can be decoded; get a new copy, or "
                    "read its pictures only with modality 'video'",
                )
            return None
        sound = self._place(window)
        if sound is None:
            return None
        if end_s > window.stop_s + _JITTER_S:
            sound = self._fill_to_the_end(sound, window)
        num_bad = int(np.count_nonzero(~np.isfinite(sound.waveform)))
        if num_bad:
            raise MediaError(
                "invalid-samples",
                f"{name}: {num_bad} of {len(sound.waveform)} sound samples are NaN or infinite; export the sound again "
                "from its source, or read the pictures only with modality 'video'",
            )
        return sound

    def _take(self, frame: av.AudioFrame) -> None:
        """Queue one decoded frame, in a new stretch if its stated time is not the expected one."""
        time_s = frame.time
        off_s = math.nan if time_s is None else time_s - self._next_s
        goes_on = time_s is not None and time_s > self._stated_s  # a clock that restarts carries no information
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if not self._stretches or (goes_on and self._tolerance_s < abs(off_s) < _LONGEST_GAP_S):
            self._drain()
            self._stretches.append(_Stretch(time_s))
            self._next_s = math.nan if time_s is None else time_s
        self._stated_s = self._stated_s if time_s is None else time_s
        self._tolerance_s = _JITTER_S
        self._next_s += frame.samples / frame.sample_rate
        if kind != self._kind:
            # The format, channels or rate may change within a track.
            self._drain()
            self._kind = kind
        if len(frame.layout.channels) > 2:
            frame = _mean_of_channels(frame)
        # The queue would refuse a track whose clock jumps.
        frame.pts = None
        self._queue.write(frame)

    def _place(self, window: Window) -> Sound | None:
        """Place the stretches at their times and cut out the window."""
        rate = self._sample_rate_hz
        waveforms = [np.concatenate(stretch.chunks or [np.zeros(0, np.float32)]) for stretch in self._stretches]
        starts = [self._start_in(window, stretch) for stretch in self._stretches]
        if window.start_s == 0 and starts[0] < _JITTER_S * rate:
            starts[0] = 0  # decoder delay: a file's first sample is its beginning
        # A stretch ends where the next one begins, at the latest.
        limits = [
            *starts[1:],
            math.inf if window.stop_s == math.inf else round((window.stop_s - window.start_s) * rate),
        ]
        placed = []
        for start, limit, samples in zip(starts, limits, waveforms, strict=True):
            stop = min(start + len(samples), limit, limits[-1])
            if max(0, start) < stop:
                placed.append((max(0, start), samples[max(0, -start) : int(stop) - start]))
        if not placed:
            return None
        waveform = np.zeros(placed[-1][0] + len(placed[-1][1]), dtype=np.float32)
        gaps, filled = [], 0
        for start, samples in placed:
            if start > filled:
                gaps.append((window.start_s + filled / rate, window.start_s + start / rate))
            filled = start + len(samples)
            waveform[start:filled] = samples
        return Sound(waveform, tuple(gaps))

    def _fill_to_the_end(self, sound: Sound, window: Window) -> Sound:
        num_missing = round((window.stop_s - window.start_s) * self._sample_rate_hz) - len(sound.waveform)
        if num_missing <= _JITTER_S * self._sample_rate_hz:
            return sound
        gap = (window.start_s + len(sound.waveform) / self._sample_rate_hz, window.stop_s)
        return Sound(np.pad(sound.waveform, (0, num_missing)), (*sound.gaps_s, gap))

    def _start_in(self, window: Window, stretch: _Stretch) -> int:
        """Return the sample of the window at which a stretch begins; negative if it begins before the window."""
        start_s = window.origin_s if stretch.start_s is None else stretch.start_s
        return round((start_s - window.origin_s - window.start_s) * self._sample_rate_hz)

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="flt", layout="mono", rate=self._sample_rate_hz)

    def _drain(self) -> None:
        """Drain the queue and the resampler, and start new ones."""
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
        self._stretches[-1].chunks.extend(frame.to_ndarray()[0] for frame in frames if frame.samples)


def _mean_of_channels(frame: av.AudioFrame) -> av.AudioFrame:
    """Return a mono frame with the mean of all channels."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    zero, full = {"u1": (128.0, 128.0), "i2": (0.0, 2.0**15), "i4": (0.0, 2.0**31)}.get(
        samples.dtype.str[1:], (0.0, 1.0)
    )
    mean = (samples.mean(axis=0, dtype=np.float64) - zero) / full
    mono = av.AudioFrame.from_ndarray(mean.astype(np.float32)[None], "flt", "mono")
    mono.sample_rate = frame.sample_rate
    return mono
