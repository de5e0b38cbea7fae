"""Where RLVR finds what was measured in its clips, and what it says where it does not."""

import json
from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.core.evidence import Evidence, EvidenceItem
from r1omni.synth.world import PATTERNS
from r1omni.train.measured_clips import evidence_by_clip

LOUD = EvidenceItem("loudness_db", "sound", -12.5, "dBFS", 0.0, 2.0, None, "a test", band="loud")
MEASURED = Evidence(has_pictures=False, has_sound=True, duration_s=2.0, items=(LOUD,))
REAL = Clip(id="real", path=Path("real.mp4"))
DRAWN = Clip(id="drawn", path=Path("drawn.mp4"), meta={"cues": PATTERNS["happy"][0]})


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_measurements_come_from_files_and_of_drawn_people_from_the_manifest(tmp_path: Path) -> None:
    file = written(tmp_path / "evidence.jsonl", {"id": "real", **MEASURED.to_json()}, "")
    found = evidence_by_clip([REAL, DRAWN], [file])
    assert found["real"] == MEASURED
    brows = found["drawn"].find("brow_height")
    assert brows is not None and (brows.value, brows.measured_by) == ("level", "manifest")


def test_a_measurement_comes_before_the_cues_of_the_manifest(tmp_path: Path) -> None:
    file = written(tmp_path / "evidence.jsonl", {"id": "drawn", **MEASURED.to_json()})
    assert evidence_by_clip([DRAWN], [file])["drawn"] == MEASURED


def test_clips_without_evidence_are_named() -> None:
    with pytest.raises(ConfigError, match=r"1 of 2 training clips have no evidence \(real\).*rewards.grounding"):
        evidence_by_clip([REAL, DRAWN], [])


def test_a_broken_line_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 1: "):
        evidence_by_clip([REAL], [written(tmp_path / "evidence.jsonl", "{}")])
    with pytest.raises(ConfigError, match="gone.jsonl cannot be read"):
        evidence_by_clip([REAL], [tmp_path / "gone.jsonl"])
