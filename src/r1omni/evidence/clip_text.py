"""The words of a clip as one text for a prompt: subtitles read in its pictures, or what Whisper hears in its sound."""

import threading
from typing import Literal

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.evidence.frames import sampled_frames
from r1omni.evidence.speech import SAMPLE_RATE_HZ, SpeechDetector
from r1omni.evidence.subtitles import TextReader, TextTrack
from r1omni.evidence.transcript import Transcriber
from r1omni.media.decode import load_clip

MeasuredText = Literal["subtitles", "transcript"]


class ClipTextReader:
    """Reads the words of clips with nets that are loaded once; threads take turns.

    Args:
        source: subtitles in the pictures, or speech in the sound.
        whisper: the checkpoint that hears: folder or hub id; needed for a transcript.

    Raises:
        ConfigError: a package or the checkpoint is missing.
    """

    def __init__(self, source: MeasuredText, whisper: str | None = None) -> None:
        self._lock = threading.Lock()
        self._text = TextReader() if source == "subtitles" else None
        self._speech = SpeechDetector() if source == "transcript" else None
        self._transcriber = Transcriber(whisper or "") if source == "transcript" else None

    def read(self, clip: Clip) -> str:
        """Return the words in order of time; empty where there are none, or no such side.

        Args:
            clip: the clip.

        Raises:
            MediaError: the clip cannot be read.
        """
        with self._lock:
            return self._subtitles(clip, self._text) if self._text is not None else self._transcript(clip)

    def _subtitles(self, clip: Clip, reader: TextReader) -> str:
        try:
            pictures_s = load_clip(clip, num_frames=1, modality="video").pictures_s
        except MediaError as error:
            if error.kind == "no-frames":
                return ""
            raise
        track = TextTrack(reader, pictures_s)
        for time_s, picture in sampled_frames(clip, pictures_s):
            track.add(time_s, picture)
        start_s = clip.start_s or 0.0
        found = track.items((start_s, start_s + pictures_s))
        return " ".join(str(item.value) for item in found if item.name == "subtitle")

    def _transcript(self, clip: Clip) -> str:
        assert self._speech is not None and self._transcriber is not None
        try:
            waveform = load_clip(clip, modality="audio", sample_rate_hz=SAMPLE_RATE_HZ).waveform
        except MediaError as error:
            if error.kind == "no-sound":
                return ""
            raise
        assert waveform is not None
        heard = self._transcriber.transcribe(waveform, 0.0, self._speech.spans(waveform))
        return " ".join(str(item.value) for item in heard)
