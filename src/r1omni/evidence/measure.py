"""Everything that can be measured in one clip, with nets that are loaded once.

Pictures are read window by window and sound as one waveform (4 MB a minute), so memory does not grow with the pictures.
What needs a package or a checkpoint that is missing is reported as unmeasured, with the sentence that says what to
install. Of a made clip, the manifest's cues replace what geometry and prosody would say of drawn faces and synthetic
voices; that a face is found, speech, pauses and subtitles are measured there as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from r1omni.core.clip import Clip, Modality
from r1omni.core.errors import ConfigError
from r1omni.core.evidence import EVIDENCE_NAMES, Evidence, EvidenceItem, EvidenceSide, Unmeasured, names_of
from r1omni.evidence.face_finder import FaceFinder
from r1omni.evidence.face_track import CUE_NAMES, FaceTrack
from r1omni.evidence.frames import sampled_frames
from r1omni.evidence.item import all_unmeasured
from r1omni.evidence.made_corpora import NOT_SAID, cue_items, has_cues
from r1omni.evidence.prosody import Voice, measure_voice
from r1omni.evidence.speech import SAMPLE_RATE_HZ, SpeechDetector
from r1omni.evidence.subtitles import TextReader, TextTrack
from r1omni.evidence.transcript import Transcriber
from r1omni.media.decode import load_clip

MEASURING_VERSION = 2
"""Raise it with every change that gives other evidence of some clip: evidence is cached under this number."""

_BY_NOTHING = [
    "laughter",
    "crying",
    "sigh",
    "tears",
    "hands",
    "body_movement",
    "lip_press",
    "nose_wrinkle",
    "cheek_raise",
]
_BY_NOTHING += ["lean", "mouth_shape", "head_posture", "voice_tone", "topic"]
"""Named so that every clip says what nothing here looks for."""
_Net = TypeVar("_Net")


@dataclass(frozen=True)
class Measurement:
    """A clip's evidence, and the curves behind it for whoever draws them."""

    evidence: Evidence
    voice: Voice | None
    """Speech, pauses, pitch and level over time; None without sound."""
    faces: FaceTrack | None
    """Faces over time; None without pictures, or where faces cannot be looked for."""


class ClipMeasurer:
    """Measures clips, one after the other; of one thread at a time, as its nets keep what they work on.

    Args:
        whisper: a Whisper checkpoint for transcripts: folder or hub id; None measures without.
        language: spoken language for a multilingual checkpoint; None lets it find out.
        read_subtitles: whether the pictures are searched for text, the slowest part.
    """

    def __init__(self, whisper: str | None = None, language: str | None = None, *, read_subtitles: bool = True) -> None:
        self._transcriber = None if whisper is None else Transcriber(whisper, language)
        self._speech = _load(SpeechDetector)
        self._faces = _load(FaceFinder)
        self._text = _load(TextReader) if read_subtitles else "Subtitles were not asked for."

    def measure(self, clip: Clip, modality: Modality = "auto") -> Measurement:
        """Measure one clip.

        Args:
            clip: the clip; only its part from `start_s` to `stop_s` is read.
            modality: what is read of it; `auto` reads the modalities the file has.

        Raises:
            MediaError: the clip cannot be read.
        """
        media = load_clip(clip, num_frames=1, sample_rate_hz=SAMPLE_RATE_HZ, modality=modality)
        has_pictures, has_sound = media.frames is not None, media.waveform is not None
        start_s = clip.start_s or 0.0
        items: list[EvidenceItem] = []
        unmeasured: list[Unmeasured] = all_unmeasured(_BY_NOTHING, "Nothing here measures it.")
        voice = faces = None
        if media.waveform is not None:
            voice = measure_voice(media.waveform, start_s, self._speech)
            items += voice.items
            unmeasured += voice.unmeasured
            heard, missing = self._transcribe(media.waveform, start_s, voice)
            items += heard
            unmeasured += missing
        else:
            unmeasured += all_unmeasured([*_measured("sound"), "transcript"], "The clip has no sound.")
        if has_pictures:
            faces, seen, missing = self._look(clip, start_s, media.pictures_s)
            items += seen
            unmeasured += missing
        else:
            reason = "The clip has no pictures."
            unmeasured += all_unmeasured([*_measured("pictures"), "subtitle", "mark"], reason)
        if has_cues(clip):
            known = cue_items(clip, has_pictures=has_pictures, has_sound=has_sound, duration_s=media.duration_s)
            names = {item.name for item in known}
            unsaid = [name for name in CUE_NAMES if name not in names]
            items = known + [item for item in items if item.name not in {*names, *unsaid}]
            unmeasured = [missing for missing in unmeasured if missing.name not in {*names, *unsaid}]
            unmeasured += all_unmeasured(unsaid, NOT_SAID if has_pictures else "The clip has no pictures.")
        order = list(EVIDENCE_NAMES)
        items.sort(key=lambda item: order.index(item.name))
        unmeasured.sort(key=lambda missing: order.index(missing.name))
        evidence = Evidence(has_pictures, has_sound, round(media.duration_s, 3), tuple(items), tuple(unmeasured))
        return Measurement(evidence, voice, faces)

    def _transcribe(
        self, waveform: np.ndarray, start_s: float, voice: Voice
    ) -> tuple[list[EvidenceItem], list[Unmeasured]]:
        if self._transcriber is None:
            return [], all_unmeasured(["transcript"], "No Whisper checkpoint was given.")
        if isinstance(self._speech, str):
            return [], all_unmeasured(["transcript"], self._speech)
        if not voice.spans:
            return [], all_unmeasured(["transcript"], "No speech was found in the sound.")
        heard = self._transcriber.transcribe(waveform, start_s, voice.spans)
        return heard, [] if heard else all_unmeasured(["transcript"], "Whisper heard no words in the speech.")

    def _look(
        self, clip: Clip, start_s: float, pictures_s: float
    ) -> tuple[FaceTrack | None, list[EvidenceItem], list[Unmeasured]]:
        track = FaceTrack()
        text = None if isinstance(self._text, str) else TextTrack(self._text, pictures_s)
        for time_s, picture in sampled_frames(clip, pictures_s):
            track.add(time_s, picture, [] if isinstance(self._faces, str) else self._faces.find(picture))
            if text is not None:
                text.add(time_s, picture)
        span_s = start_s, start_s + pictures_s
        if isinstance(self._faces, str):
            items, unmeasured = [], all_unmeasured(_measured("pictures"), self._faces)
        else:
            items, unmeasured = track.measure(span_s)
        if text is not None:
            items += text.items(span_s)
        elif isinstance(self._text, str):
            unmeasured += all_unmeasured(["subtitle", "mark"], self._text)
        return None if isinstance(self._faces, str) else track, items, unmeasured


def _load(net: Callable[[], _Net]) -> _Net | str:
    """Load nets; where a package is missing, return the sentence that says so."""
    try:
        return net()
    except ConfigError as error:
        return str(error)


def _measured(side: EvidenceSide) -> list[str]:
    return [name for name in names_of(side) if name not in _BY_NOTHING]
