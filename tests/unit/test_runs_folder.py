"""A run's folder belongs to one run: its record says which, and any other run is refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from r1omni.core.errors import ConfigError
from r1omni.core.instruction import LABEL_INSTRUCTION, REASONING_INSTRUCTION
from r1omni.runs.run_folder import RunFolder, read_record

IDENTITY = {"weights": "aa", "modality": "auto", "max_tokens": 512, "labels": ("happy", "sad"), "seed": 0}


def folder(path: Path, **changed) -> RunFolder:
    return RunFolder(path, "evaluation", {**IDENTITY, **changed}, {"corpus": "dfew"})


def test_a_claimed_folder_records_its_run(tmp_path: Path):
    RunFolder(tmp_path / "deep/run", "sft", IDENTITY, {"seed": 3}, "seed = 3\n").claim()
    identity = {**IDENTITY, "labels": ["happy", "sad"]}
    assert read_record(tmp_path / "deep/run") == {"kind": "sft", "identity": identity, "facts": {"seed": 3}}
    assert (tmp_path / "deep/run/run.toml").read_text() == "seed = 3\n"
    assert sorted(path.name for path in (tmp_path / "deep/run").iterdir()) == ["run.json", "run.toml"]


def test_the_same_run_resumes_and_keeps_its_first_record(tmp_path: Path):
    folder(tmp_path).claim()
    before = (tmp_path / "run.json").stat()
    RunFolder(tmp_path, "evaluation", IDENTITY, {"corpus": "another"}, "x = 1\n").claim()
    after = (tmp_path / "run.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert not (tmp_path / "run.toml").exists()


@pytest.mark.parametrize("changed", [{"modality": "video"}, {"max_tokens": 8}, {"weights": "bb"}, {"new": 1}])
def test_another_identity_is_refused_with_found_expected_and_the_way_on(tmp_path: Path, changed: dict):
    folder(tmp_path).claim()
    record = (tmp_path / "run.json").read_bytes()
    ((name, value),) = changed.items()
    known = json.dumps(IDENTITY[name]) if name in IDENTITY else "not set"
    with pytest.raises(ConfigError) as refused:
        folder(tmp_path, **changed).claim()
    sentence = f"{tmp_path} holds another run: its {name} is {known}, this one's is {json.dumps(value)}. "
    assert str(refused.value) == sentence + "Give another --out, or start over with --no-resume."
    assert (tmp_path / "run.json").read_bytes() == record


def test_a_setting_that_the_run_no_longer_has_differs_too(tmp_path: Path):
    folder(tmp_path, split="test").claim()
    with pytest.raises(ConfigError, match='its split is "test", this one\'s is not set'):
        folder(tmp_path).claim()


def test_three_differences_are_named_and_the_rest_counted(tmp_path: Path):
    folder(tmp_path).claim()
    with pytest.raises(ConfigError, match="its weights is .*its modality is .*its max_tokens is .*; 2 more differ"):
        folder(tmp_path, weights="b", modality="video", max_tokens=1, labels=(), seed=1).claim()


def test_long_values_are_shown_where_they_differ(tmp_path: Path):
    folder(tmp_path, instruction=LABEL_INSTRUCTION).claim()
    with pytest.raises(ConfigError, match="Output the thinking process") as refused:
        folder(tmp_path, instruction=REASONING_INSTRUCTION).claim()
    assert len(str(refused.value)) < len(str(tmp_path)) + 300


def test_a_run_of_another_kind_is_refused_and_not_started_over(tmp_path: Path):
    RunFolder(tmp_path, "grpo", IDENTITY).claim()
    (tmp_path / "scores.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"its kind is grpo, this one's is evaluation\. Give another folder"):
        folder(tmp_path).claim()
    with pytest.raises(ConfigError, match="its kind is grpo"):
        folder(tmp_path).start_over(["scores.json"])
    assert (tmp_path / "scores.json").exists()


@pytest.mark.parametrize("name", ["predictions.jsonl", "predictions.0-of-2.jsonl", "scores.json", "metrics.jsonl"])
def test_files_of_a_run_without_a_record_are_taken_for_no_run(tmp_path: Path, name: str):
    (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=rf"holds {name} but no run\.json"):
        folder(tmp_path).claim()


def test_files_of_no_run_are_no_hindrance(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("")
    folder(tmp_path).claim()
    assert read_record(tmp_path)["kind"] == "evaluation"


def test_starting_over_removes_the_run_and_leaves_what_is_not_its_own(tmp_path: Path):
    folder(tmp_path).claim()
    (tmp_path / "predictions.0-of-2.jsonl").write_text("")
    (tmp_path / "model").mkdir()
    (tmp_path / "notes.txt").write_text("")
    other = folder(tmp_path, modality="video")
    other.start_over(["predictions*.jsonl", "model"])
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    other.claim()
    assert read_record(tmp_path)["identity"]["modality"] == "video"


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "evaluation"}'])
def test_a_damaged_record_is_a_sentence(tmp_path: Path, content: str):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ConfigError, match=r"run\.json is (not JSON|no record)"):
        folder(tmp_path).claim()


def test_of_two_different_runs_that_claim_at_once_one_is_refused(tmp_path: Path):
    start = Barrier(2)

    def claim(path: Path, seed: int) -> str:
        start.wait()
        try:
            folder(path, seed=seed).claim()
        except ConfigError as error:
            return str(error)
        return "claimed"

    with ThreadPoolExecutor(2) as pool:
        for attempt in range(50):
            outcomes = list(pool.map(claim, [tmp_path / str(attempt)] * 2, (0, 1)))
            assert sorted("claimed" if one == "claimed" else "refused" for one in outcomes) == ["claimed", "refused"]
            assert outcomes[read_record(tmp_path / str(attempt))["identity"]["seed"]] == "claimed"
