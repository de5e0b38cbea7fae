"""Evidence of a real clip: a man who talks to the camera (fetched, see real_parts.py)."""

import re
from pathlib import Path

import pytest

from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.evidence.measure import ClipMeasurer, Measurement
from r1omni.infer.text_field import text_field, text_field_identity
from r1omni.runs.file_hashes import FileHashes
from real_parts import TALKING_MAN_WORDS, small_whisper, talking_man


@pytest.fixture(scope="module")
def man() -> Path:
    for package in ("onnxruntime", "silero_vad", "rapidocr", "ai_edge_litert"):
        pytest.importorskip(package)
    return talking_man()


@pytest.fixture(scope="module")
def measured(man: Path) -> Measurement:
    return ClipMeasurer().measure(Clip("man", man))


def test_his_face_is_in_at_least_95_percent_of_the_frames(measured: Measurement):
    faces, count = measured.evidence.find("face_share"), measured.evidence.find("face_count")
    assert faces is not None and isinstance(faces.value, float) and faces.value >= 0.95
    assert count is not None and count.band == "one"


def test_speech_is_found_where_he_speaks(measured: Measurement):
    # By the level above -50 dBFS he begins at .91 s, is quiet from 3.38 to 3.79 s, and ends at 4.94 s.
    assert measured.voice is not None
    spans = measured.voice.spans
    assert spans[0].start_s == pytest.approx(0.91, abs=0.15)
    assert spans[-1].stop_s == pytest.approx(4.94, abs=0.15)
    assert 0.2 <= sum(stop_s - start_s for start_s, stop_s in measured.voice.pauses) <= 0.45


def test_his_pitch_is_a_mans(measured: Measurement):
    # Praat: 148 Hz, 5 to 95 % within 132 to 166 Hz, which are 4 semitones
    pitch, spread = measured.evidence.find("pitch_hz"), measured.evidence.find("pitch_range_semitones")
    assert pitch is not None and pitch.value == pytest.approx(148.0, abs=4.0)
    assert spread is not None and spread.value == pytest.approx(4.0, abs=0.8)


def test_he_looks_ahead_and_no_subtitle_is_invented(measured: Measurement):
    evidence = measured.evidence
    assert evidence.all("subtitle") == evidence.all("mark") == ()
    yaw = evidence.find("head_yaw")
    assert yaw is not None and yaw.band == "ahead"


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def word_errors(heard: list[str], said: list[str]) -> int:
    """Return the least number of insertions, deletions and replacements."""
    row = list(range(len(said) + 1))
    for number, word in enumerate(heard, 1):
        last, row[0] = row[0], number
        for place, other in enumerate(said, 1):
            last, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, last + (word != other))
    return row[-1]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_whisper(tmp_path_factory.mktemp("heard") / "whisper-tiny.en"))


def test_whisper_hears_his_words_within_a_quarter_of_errors(man: Path, whisper: str):
    measurer = ClipMeasurer(whisper, read_subtitles=False)
    (heard,) = measurer.measure(Clip("man", man)).evidence.all("transcript")
    said = words(TALKING_MAN_WORDS)
    assert word_errors(words(str(heard.value)), said) / len(said) <= 0.25
    assert heard.measured_by == "whisper-tiny.en"
    assert heard.confidence is not None and 0.5 < heard.confidence <= 1.0


def test_his_words_are_a_field_of_the_prompt(man: Path, whisper: str, tmp_path: Path):
    settings = EngineSection(text_field="transcript", whisper=whisper)
    read = text_field(settings, FileHashes(tmp_path))
    assert read is not None
    heard = read(Clip("man", man))
    assert heard is not None and (heard.label, heard.side) == ("Transcript", "sound")
    assert "university of nottingham" in heard.text.lower()
    (weights,) = text_field_identity(settings)["whisper"]
    assert len(weights) == 64  # SHA-256 of the checkpoint's file
