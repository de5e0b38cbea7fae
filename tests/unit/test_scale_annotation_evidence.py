"""Evidence and claims of an annotation: cues or measurements, claims graded by hand, kept after a kill."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from r1omni.config.annotation_run import AnnotationConfig
from r1omni.config.sections import EngineSection
from r1omni.core.answer_format import PAPER_FORMAT
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.core.evidence import Evidence, EvidenceItem
from r1omni.core.media_read import MediaRead, PicturesRead, SoundRead
from r1omni.core.window_answer import WindowAnswer
from r1omni.infer.clip_answers import ClipAnswer
from r1omni.infer.clip_windows import as_one_part
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.predict_files import ASSETS, BUNDLED_MODEL
from r1omni.model.load_model import load_model
from r1omni.scale.annotation import annotate, begin
from r1omni.scale.annotation_evidence import (
    MeasuredClip,
    column_counts,
    evidence_columns,
    fetched_and_measured,
    measuring_identity,
)
from r1omni.scale.annotation_rows import annotation_row, read_shard
from r1omni.scale.archive import ListedClip, read_listing, write_listing

MANIFEST = ASSETS / "clips" / "manifest.jsonl"
"""Of angry.mp4 its cues say: pitch high, volume loud, mouth pressed."""
READ = MediaRead(pictures=PicturesRead(8, 1.0), sound=SoundRead(1.0, 1.0))


def output(reasons: str) -> str:
    return f"<think>{reasons}</think><answer>neutral</answer>"


def row_of(source: str | Path, name: str, said: ClipAnswer, folder: Path) -> dict[str, object]:
    """The row of one clip of an archive whose answer is given."""
    write_listing(str(source), folder / "clips.jsonl")
    (listed,) = [listed for listed in read_listing(folder / "clips.jsonl") if listed.place.endswith(name)]
    with fetched_and_measured([listed], as_one_part) as (found,):
        assert isinstance(found, MeasuredClip)
        return annotation_row(listed, said, PAPER_FORMAT, found)


def test_a_made_clips_cues_are_its_evidence_and_decide_its_claims(tmp_path: Path) -> None:
    reasons = "The pitch is high and the voice is soft. There are tears. He does not smile."
    row = row_of(MANIFEST, "angry.mp4", ClipAnswer(output(reasons), read=READ), tmp_path)
    evidence, claims = json.loads(str(row["evidence"])), json.loads(str(row["claims"]))
    assert (evidence["version"], claims["version"]) == (1, 1)
    pitch = Evidence.from_json(evidence).find("pitch_semitones")
    assert pitch is not None and (pitch.value, pitch.measured_by) == ("high", "manifest")
    found = [
        (
            claim["side"],
            claim["what"],
            claim["value"],
            claim["polarity"],
            claim["state"],
            (claim["item"] or {}).get("band"),
        )
        for claim in claims["claims"]
    ]
    assert found == [
        ("sound", "pitch", "high", "positive", "supported", "high"),  # pitch: high
        ("sound", "loudness", "soft", "positive", "contradicted", "loud"),  # volume: loud
        ("pictures", "tears", "present", "positive", "unverifiable", None),  # no cue for tears
        ("pictures", "smile", "present", "negative", "supported", "pressed"),  # mouth: pressed
    ]
    assert [reasons[claim["start"] : claim["stop"]] for claim in claims["claims"]][2] == "tears"


def test_a_side_that_the_model_was_not_given_is_absent_for_its_claims_and_measured_all_the_same(tmp_path: Path) -> None:
    said = ClipAnswer(output("The pitch is low."), read=MediaRead(pictures=PicturesRead(8, 1.0), sound=None))
    row = row_of(MANIFEST, "neutral.mp4", said, tmp_path)
    (claim,) = json.loads(str(row["claims"]))["claims"]
    assert (claim["state"], claim["is_side_absent"], claim["item"]) == ("contradicted", True, None)
    assert json.loads(str(row["evidence"]))["has_sound"] is True


def test_a_clip_that_cannot_be_measured_keeps_its_answer_and_says_why_by_its_own_name(tmp_path: Path) -> None:
    with fsspec.open("memory://annotated/broken.mp4", "wb") as file:
        file.write(b"no video")  # pyright: ignore[reportAttributeAccessIssue]
    said = ClipAnswer(output("The pitch is low."), read=READ)
    first, second = (row_of("memory://annotated", "broken.mp4", said, tmp_path) for _ in range(2))
    assert (first["answer"], first["claims"], first["error"]) == ("neutral", None, None)
    why = json.loads(str(first["evidence"]))
    assert set(why) == {"version", "error"} and "memory://annotated/broken.mp4" in why["error"]
    assert first == second  # the folder that the file was fetched into is not in it


@pytest.fixture(scope="module")
def load() -> Callable[[], Engine]:
    model, processor = load_model(str(BUNDLED_MODEL), dtype="float32")
    return lambda: build_engine(model, processor, EngineSection(batch_size=2), keeps=False)


def config(out: Path, **changes: object) -> AnnotationConfig:
    settings: dict[str, object] = {
        "source": str(out.parent / "m.jsonl"),
        "out": out,
        "labels": ("happy", "fear", "neutral"),
    }
    settings |= {"max_new_tokens": 160, "engine": EngineSection(batch_size=2), "evidence": True}
    return AnnotationConfig.model_validate(settings | changes)


def test_a_resumed_run_ends_with_the_same_columns_and_counts(load: Callable[[], Engine], tmp_path: Path) -> None:
    cues = {Path(line["path"]).name: line["meta"] for line in map(json.loads, MANIFEST.read_text().splitlines())}
    lines = [
        {"id": str(number), "path": str(MANIFEST.parent / name), "meta": cues[name]}
        for number, name in enumerate(("voice.m4a", "neutral.mp4", "voice.m4a"))
    ]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    whole, resumed = config(tmp_path / "whole"), config(tmp_path / "resumed")
    summary = annotate(whole, load)
    rows = list(read_shard(tmp_path / "whole" / "shards" / "part-00000.jsonl"))
    assert [json.loads(row["evidence"])["has_pictures"] for row in rows] == [False, True, False]
    assert all(row["evidence"] and row["claims"] for row in rows)
    states = [claim["state"] for row in rows for claim in json.loads(row["claims"])["claims"]]
    counts = {f"claims_{state}": states.count(state) for state in set(states)}
    assert states and summary is not None and summary["evidence"] == {"clips_measured": 3, **counts}
    (shard,) = begin(resumed).mine()
    shard.progress.write_bytes(b"".join((tmp_path / "whole/shards/part-00000.jsonl").read_bytes().splitlines(True)[:2]))
    assert annotate(resumed, load) == summary
    assert shard.path.read_bytes() == (tmp_path / "whole/shards/part-00000.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="evidence"):
        begin(config(tmp_path / "whole", evidence=False))


def test_a_folders_clips_are_measured(tmp_path: Path) -> None:
    said = ClipAnswer(output("The face is calm."), read=READ)
    row = row_of(ASSETS / "clips" / "neutral.mp4", "neutral.mp4", said, tmp_path)
    evidence = Evidence.from_json(json.loads(str(row["evidence"])))
    assert evidence.has_pictures and evidence.has_sound and 1.0 < evidence.duration_s < 10.0
    assert evidence.find("loudness_db") is not None
    assert "manifest" not in {item.measured_by for item in evidence.items}


def test_each_window_is_measured_by_itself(tmp_path: Path) -> None:
    write_listing(str(ASSETS / "clips" / "voice.m4a"), tmp_path / "clips.jsonl")
    spans = [(0.0, 1.0), (0.5, 1.5)]
    with fetched_and_measured(
        list(read_listing(tmp_path / "clips.jsonl")),
        lambda clip: [replace(clip, start_s=start_s, stop_s=stop_s) for start_s, stop_s in spans],
    ) as (found,):
        assert isinstance(found, MeasuredClip) and (found.start_s, found.stop_s) == (None, None)
        for part, (start_s, stop_s) in zip(found.measured, spans, strict=True):
            assert isinstance(part, Evidence) and part.items and abs(part.duration_s - 1.0) < 0.1
            assert all(start_s <= item.start_s <= item.stop_s <= stop_s + 0.1 for item in part.items)


def voice(band: str) -> Evidence:
    pitch = EvidenceItem("pitch_semitones", "sound", 9.0, "semitones re 100 Hz", 0.0, 3.0, None, "a test", band)
    return Evidence(has_pictures=True, has_sound=True, duration_s=3.0, items=(pitch,))


@pytest.mark.parametrize(
    ("answer_window", "state", "is_side_absent"),
    [(0, "supported", False), (1, "contradicted", False), (2, "contradicted", True), (3, None, None)],
)
def test_claims_are_graded_against_the_window_that_the_reasons_are_from(
    answer_window: int, state: str | None, is_side_absent: bool | None
) -> None:
    pictures_alone = MediaRead(pictures=PicturesRead(8, 3.0))
    reads = [READ, READ, pictures_alone, READ]
    windows = tuple(WindowAnswer(3.0 * number, 3.0 * number + 3.0, read=read) for number, read in enumerate(reads))
    clip = Clip("long", Path("long.mp4"))
    measured = MeasuredClip(
        "long", Path("long.mp4"), measured=(voice("high"), voice("low"), voice("high"), "long.mp4: is damaged.")
    )
    said = ClipAnswer(output("The pitch is high."), read=READ, windows=windows, answer_window=answer_window)
    row = annotation_row(ListedClip(clip), said, PAPER_FORMAT, measured)
    evidence = json.loads(row["evidence"])
    assert (evidence["version"], evidence["answer_window"], row["num_windows"]) == (1, answer_window, 4)
    assert [(window["start_s"], window["stop_s"]) for window in evidence["windows"]] == [
        (0, 3),
        (3, 6),
        (6, 9),
        (9, 12),
    ]
    assert [Evidence.from_json(window) for window in evidence["windows"][:3]] == list(measured.measured[:3])
    assert evidence["windows"][3] == {"start_s": 9.0, "stop_s": 12.0, "error": "long.mp4: is damaged."}
    if state is None:
        assert row["claims"] is None and column_counts(row) == {"clips_unmeasured": 1}
    else:
        (claim,) = json.loads(row["claims"])["claims"]
        assert (claim["state"], claim["is_side_absent"]) == (state, is_side_absent)
        assert column_counts(row) == {"clips_measured": 1, f"claims_{state}": 1}


def test_a_clip_that_is_one_window_has_its_evidence_as_one_window() -> None:
    window = WindowAnswer(0.0, 3.0, read=READ)
    said = ClipAnswer(output("The pitch is high."), read=READ, windows=(window,), answer_window=0)
    clip = MeasuredClip("short", Path("short.mp4"), measured=(voice("high"),))
    evidence = json.loads(str(evidence_columns(clip, said, PAPER_FORMAT)["evidence"]))
    assert evidence["answer_window"] == 0 and len(evidence["windows"]) == 1 and "items" not in evidence


def test_what_is_no_whisper_checkpoint_is_refused_before_the_folder_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    for name in ("bert", "nothing"):
        with pytest.raises(ConfigError, match=f"{name}: cannot be loaded as a Whisper checkpoint"):
            begin(config(tmp_path / "out", whisper=str(tmp_path / name)))
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_whisper_folder_is_known_by_its_weights_and_not_by_its_path(tmp_path: Path) -> None:
    folders = []
    for place, weights in (("here", b"one"), ("moved", b"one"), ("other", b"two")):
        folders.append(tmp_path / place / "whisper-own")
        folders[-1].mkdir(parents=True)
        (folders[-1] / "model.safetensors").write_bytes(weights)
    here, moved, other = (measuring_identity(str(folder)) for folder in folders)
    assert here == moved != other
    assert measuring_identity("openai/whisper-base")["whisper"][::2] == ["whisper-base", "openai/whisper-base"]


def test_a_transcript_needs_evidence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set evidence"):
        config(tmp_path, evidence=False, whisper="openai/whisper-base")
