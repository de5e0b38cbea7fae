"""`r1omni evidence` as a user runs it."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from conftest import Command
from r1omni.core.evidence import Evidence
from r1omni.datasets.manifest import read_manifest

CLIPS = Path(str(files("r1omni") / "assets" / "clips"))


@pytest.fixture(autouse=True)
def extra() -> None:
    for package in ("onnxruntime", "silero_vad", "ai_edge_litert"):
        pytest.importorskip(package)


def test_json_is_one_document_with_the_evidence_and_the_errors(r1omni: Command, tmp_path: Path):
    (tmp_path / "notes.mp4").write_text("no film")
    run = r1omni("evidence", CLIPS / "angry.mp4", tmp_path / "notes.mp4", "--no-subtitles", "--json")
    assert run.returncode == 1
    measured, failed = json.loads(run.stdout)["clips"]
    evidence = Evidence.from_json(measured)
    assert evidence.has_sound and evidence.find("pitch_hz") is not None
    assert measured["path"] == str(CLIPS / "angry.mp4")
    assert failed["error"]["kind"] == "not-media" and "notes.mp4" in failed["error"]["message"]
    assert run.stderr.splitlines() == [f"r1omni: {failed['error']['message']}"]


def test_people_get_a_table_with_the_manifests_cues_and_reasons(r1omni: Command):
    run = r1omni("evidence", "--manifest", CLIPS / "manifest.jsonl", CLIPS / "angry.mp4", "--no-subtitles")
    assert run.returncode == 0
    lines = [line.split() for line in run.stdout.splitlines()]
    (angry,) = (clip for clip in read_manifest(CLIPS / "manifest.jsonl") if clip.path.stem == "angry")
    pitch = angry.meta["cues"]["pitch"]
    assert any(line[:3] == ["pitch_semitones", pitch, pitch] and line[-1] == "manifest" for line in lines)
    assert any(line[:1] == ["face_share"] and line[1] == "100%" for line in lines)
    assert "subtitle, mark: Subtitles were not asked for." in run.stdout
    assert "neutral.mp4" not in run.stdout


def test_no_clip_and_a_clip_outside_the_manifest_are_wrong_use(r1omni: Command, tmp_path: Path):
    run = r1omni("evidence")
    assert run.returncode == 2 and "No clip was given" in run.stderr
    run = r1omni("evidence", tmp_path / "other.mp4", "--manifest", CLIPS / "manifest.jsonl")
    assert run.returncode == 2 and "is not in" in run.stderr
