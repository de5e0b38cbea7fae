"""A whole clip: which sides it has, what the manifest knows, and what cannot be measured."""

import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.evidence import EVIDENCE_NAMES, Evidence
from r1omni.datasets.manifest import read_manifest
from r1omni.evidence.made_corpora import cue_items, has_cues
from r1omni.evidence.measure import ClipMeasurer
from r1omni.media.encode import write_video
from r1omni.scoring.claim_grading import grade_claims
from r1omni.scoring.claims import read_reasons
from r1omni.synth.world import CUE_VALUES, FACE_CHANNELS, VOICE_CHANNELS

CLIPS = Path(str(files("r1omni") / "assets" / "clips"))
ANGRY = Clip("angry", Path(__file__).parents[1] / "golden" / "made-angry.mp4")
RATE_HZ = 16000
MADE = read_manifest(CLIPS / "manifest.jsonl")


@pytest.fixture(scope="module")
def measurer() -> ClipMeasurer:
    for package in ("onnxruntime", "silero_vad", "rapidocr", "ai_edge_litert"):
        pytest.importorskip(package)
    return ClipMeasurer(read_subtitles=False)


def test_an_unlabelled_video_has_items_of_every_side():
    pytest.importorskip("rapidocr")
    measured = ClipMeasurer().measure(ANGRY)
    evidence = measured.evidence
    assert evidence.has_pictures and evidence.has_sound
    assert {item.side for item in evidence.items} == {"sound", "pictures", "text"}
    subtitle = evidence.find("subtitle")
    assert subtitle is not None and str(subtitle.value).lower() == "we must run now."
    assert "manifest" not in {item.measured_by for item in evidence.items}
    assert evidence.why_not("transcript") == "No Whisper checkpoint was given."
    assert measured.voice is not None and measured.faces is not None and len(measured.faces.times_s) > 8
    known = {item.name for item in evidence.items} | {missing.name for missing in evidence.unmeasured}
    assert set(EVIDENCE_NAMES) - known == {"mark"}  # looked for, and there is none


def test_evidence_survives_json(measurer: ClipMeasurer):
    evidence = measurer.measure(MADE[0]).evidence
    assert Evidence.from_json(evidence.to_json()) == evidence


def test_cues_of_a_manifest_replace_what_is_measured_of_drawn_people(measurer: ClipMeasurer):
    clip = next(clip for clip in MADE if clip.path.stem == "angry")
    clip = replace(clip, meta={**clip.meta, "cues": {**clip.meta["cues"], "brows": "raised", "pitch": "low"}})
    evidence = measurer.measure(clip).evidence
    brows, pitch = evidence.find("brow_height"), evidence.find("pitch_semitones")
    assert brows is not None and (brows.band, brows.measured_by, brows.unit) == ("raised", "manifest", "cue")
    assert pitch is not None and pitch.band == "low"
    assert evidence.find("gaze_horizontal") is None  # geometry of a drawn face
    assert evidence.why_not("gaze_horizontal") == "The manifest of a made corpus does not say it."
    faces = evidence.find("face_share")
    assert faces is not None and faces.measured_by != "manifest"


@pytest.mark.parametrize("clip", [ANGRY, MADE[0]], ids=["measured", "made"])
def test_what_nothing_measures_is_said_of_every_clip_and_claims_about_it_are_unverifiable(
    measurer: ClipMeasurer, clip: Clip
):
    evidence = measurer.measure(clip).evidence
    for name in ("laughter", "crying", "sigh", "tears", "hands", "body_movement"):
        assert evidence.why_not(name) == "Nothing here measures it." and evidence.find(name) is None
    text = (
        "In the video, tears run down his face and his hands tremble. He shrugs, then turns around. "
        "In the audio, he laughs, then sobs and sighs."
    )
    graded = grade_claims(read_reasons(text).claims, evidence)
    assert {claim.claim.what for claim in graded} == {"tears", "hands", "movement", "laughter", "crying", "sighs"}
    assert {claim.state for claim in graded} == {"unverifiable"}


def test_sound_alone_has_no_pictures_and_the_reason(measurer: ClipMeasurer):
    evidence = measurer.measure(ANGRY, "audio").evidence
    assert (evidence.has_pictures, evidence.has_sound) == (False, True)
    assert evidence.why_not("face_count") == evidence.why_not("mark") == "The clip has no pictures."
    assert {item.side for item in evidence.items} == {"sound"}


def test_a_black_silent_clip_has_reasons_instead_of_cues(measurer: ClipMeasurer, tmp_path: Path):
    write_video(tmp_path / "black.mp4", np.zeros((20, 64, 64, 3), np.uint8), 10.0, np.zeros(2 * RATE_HZ, np.float32))
    evidence = measurer.measure(Clip("black", tmp_path / "black.mp4")).evidence
    values = {item.name: item.value for item in evidence.items}
    assert values == {"speech_share": 0.0, "digital_silence": True, "face_count": 0.0, "face_share": 0.0}
    assert evidence.why_not("mouth_open") == "The pictures are black (10 frames looked at)."
    assert evidence.why_not("pitch_hz") == "The sound is digital silence."


def test_pictures_alone_have_no_sound_and_the_reason(measurer: ClipMeasurer, tmp_path: Path):
    write_video(tmp_path / "grey.mp4", np.full((20, 64, 64, 3), 128, np.uint8), 10.0)
    evidence = measurer.measure(Clip("grey", tmp_path / "grey.mp4")).evidence
    assert evidence.why_not("speech_share") == evidence.why_not("transcript") == "The clip has no sound."
    assert evidence.why_not("mouth_open") == "No face was found (10 frames looked at)."


def test_times_count_from_the_beginning_of_the_file(measurer: ClipMeasurer):
    part = replace(MADE[0], start_s=0.5, stop_s=2.0, meta={})
    evidence = measurer.measure(part).evidence
    assert evidence.duration_s == pytest.approx(1.5, abs=0.05)
    assert all(0.5 <= item.start_s <= item.stop_s <= 2.05 for item in evidence.items)


def test_an_unreadable_clip_is_an_error(measurer: ClipMeasurer, tmp_path: Path):
    with pytest.raises(MediaError, match="nothing.mp4"):
        measurer.measure(Clip("nothing", tmp_path / "nothing.mp4"))


def test_a_folder_that_is_no_whisper_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be loaded as a Whisper checkpoint"):
        ClipMeasurer(str(tmp_path))


def neutral(**cues: str) -> Clip:
    usual = {channel: values[0] for channel, values in CUE_VALUES.items()}
    usual |= {"mouth": "closed", "pitch": "medium", "volume": "moderate", "pace": "normal", "tone": "steady"}
    return Clip("made", Path("made.mp4"), subtitle="Get out of here.", meta={"cues": usual | cues})


@pytest.mark.parametrize("channel", CUE_VALUES)
def test_every_cue_of_the_made_corpora_has_items_in_known_bands(channel: str):
    for value in CUE_VALUES[channel]:  # pyright: ignore[reportArgumentType]
        clip = neutral(**{channel: value})
        assert has_cues(clip)
        for item in cue_items(clip, has_pictures=True, has_sound=True, duration_s=2.0):
            bands = EVIDENCE_NAMES[item.name].bands
            assert item.name == "transcript" or (item.band in bands and item.near in (None, *bands))


def test_every_cue_but_the_resting_one_shows_in_the_bands():
    for channel in (*FACE_CHANNELS, *VOICE_CHANNELS):
        states = {
            tuple((item.name, item.band, item.near) for item in items)
            for value in CUE_VALUES[channel]
            for items in [cue_items(neutral(**{channel: value}), has_pictures=True, has_sound=True, duration_s=2.0)]
        }
        assert len(states) == len(CUE_VALUES[channel]), channel


def test_a_smile_is_raised_corners_and_nothing_else_moves():
    items = cue_items(neutral(mouth="smiling"), has_pictures=True, has_sound=False, duration_s=2.0)
    bands = {item.name: item.band for item in items}
    assert bands["mouth_corners"] == "raised" and bands["brow_height"] == "level"
    assert "pitch_semitones" not in bands and "transcript" not in bands


def test_a_clip_with_other_fields_of_the_name_has_no_cues():
    assert not has_cues(Clip("own", Path("own.mp4"), meta={"cues": {"brows": "raised"}}))
    assert not has_cues(Clip("own", Path("own.mp4"), meta={"cues": "many"}))


def test_without_the_extra_each_part_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    for module in ("onnxruntime", "silero_vad", "rapidocr", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)  # as if the package were not installed
    evidence = ClipMeasurer().measure(ANGRY).evidence
    assert [item.name for item in evidence.items] == ["digital_silence"]
    for name, package in (("pitch_hz", "onnxruntime"), ("face_count", "ai-edge-litert"), ("subtitle", "rapidocr")):
        reason = evidence.why_not(name)
        assert reason is not None and package in reason and "pip install 'r1omni[evidence]'" in reason
