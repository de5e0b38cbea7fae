"""One clip's explanation: every part agrees with the others, and clips that lack something say so."""

import json
from pathlib import Path

import pytest

from explained_clips import bundled_engine, explained, made_clip, measurer
from r1omni.explain.explanation import explain_clip

MADE = ("silent", "black", "faceless", "sound-only", "pictures-only")


def test_a_sample_clip_is_explained_in_all_its_parts():
    record = explained("fear").to_json()
    assert record["answer"] == "fear" and record["gold"] == "fear" and record["well_formed"]
    assert max(record["probabilities"], key=record["probabilities"].get) == "fear"
    assert sum(record["reasons"]["read_by_model"].values()) == pytest.approx(1)
    assert record["reasons"]["implied"] == "fear" and record["reasons"]["agrees"] is True
    for claim in record["claims"]:
        assert claim["state"] in ("supported", "contradicted", "unverifiable")
        assert record["reasoning"][claim["start"] : claim["stop"]].strip()
    assert sum(record["counts"].values()) == len(record["claims"]) + len(record["abstentions"]) >= 8
    by_cue = [claim for claim in record["claims"] if claim["item"] and claim["item"]["measured_by"] == "manifest"]
    assert by_cue, "the manifest's cues decide claims about a made clip"
    attribution = record["attribution"]
    assert attribution["players"] == ["pictures", "sound", "reasons"] and attribution["num_prefills"] <= 16
    values = attribution["values"]
    assert sum(attribution["shapley"].values()) == pytest.approx(values["pictures+sound+reasons"] - values[""])
    assert len(attribution["words"]) == len(record["reasoning"].split())


def test_the_tracks_share_one_time_axis():
    explanation = explained("fear")
    tracks = explanation.tracks
    assert explanation.pictures is not None and len(explanation.pictures) == len(tracks.frames) == 4
    times = [frame.time_s for frame in tracks.frames]
    assert times == sorted(times) and tracks.start_s == 0 and 0 <= times[0] and times[-1] <= tracks.stop_s
    assert tracks.sound_span_s is not None and tracks.sound_span_s[1] <= tracks.stop_s
    assert tracks.heard_stop_s == tracks.sound_span_s[1]
    assert 0 < max(tracks.peaks) <= 1
    assert all(0 <= time <= tracks.stop_s for curve in (tracks.pitch_hz, tracks.level_dbfs) for time, _ in curve)


@pytest.mark.parametrize("kind", MADE)
def test_a_clip_that_lacks_something_is_explained_with_what_it_has(kind: str):
    explanation = explained(kind)
    record = json.loads(json.dumps(explanation.to_json(), allow_nan=False))
    has_pictures, has_sound = kind != "sound-only", kind != "pictures-only"
    assert (record["read"]["pictures"] is not None, record["read"]["sound"] is not None) == (has_pictures, has_sound)
    assert (record["evidence"]["has_pictures"], record["evidence"]["has_sound"]) == (has_pictures, has_sound)
    assert bool(record["tracks"]["frames"]) == has_pictures and bool(record["tracks"]["peaks"]) == has_sound
    reasons = {missing["reason"] for missing in record["evidence"]["unmeasured"]}
    expected = {
        "silent": "silence",
        "black": "black",
        "faceless": "No face",
        "sound-only": "no pictures",
        "pictures-only": "no sound",
    }
    assert any(expected[kind] in reason for reason in reasons), reasons
    absent = "pictures" if not has_pictures else "sound" if not has_sound else None
    assert all(claim["state"] == "contradicted" for claim in record["claims"] if claim["side"] == absent)
    if record["attribution"] is not None:
        assert absent not in record["attribution"]["players"]
        assert all(span["side"] != absent for span in record["attribution"]["curve"])


def test_sound_that_was_not_heard_is_drawn_and_named(tmp_path: Path):
    """The bundled model hears 3 s: of 4 s, the last one is not heard."""
    clip = made_clip("faceless", tmp_path, duration_s=4.0)
    explanation = explain_clip(bundled_engine(), measurer().measure, clip)
    tracks = explanation.tracks
    assert tracks.sound_span_s is not None and tracks.sound_span_s[1] == pytest.approx(4.0, abs=0.1)
    assert tracks.heard_stop_s == pytest.approx(3.0)
    assert any("first 3.0" in remark for remark in explanation.to_json()["remarks"])


@pytest.mark.slow
def test_a_clip_of_ten_minutes_is_explained(tmp_path: Path):
    clip = made_clip("faceless", tmp_path, duration_s=600.0, side_px=16)
    record = explain_clip(bundled_engine(), measurer().measure, clip).to_json()
    assert record["tracks"]["stop_s"] == pytest.approx(600, abs=1)
    assert record["tracks"]["heard_stop_s"] == pytest.approx(3.0)
    assert len(json.dumps(record)) < 200_000
