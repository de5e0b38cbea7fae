"""Archives: what is listed of folders, patterns, tables, manifests and object storage, and in which order."""

import json
from pathlib import Path

import fsspec
import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DatasetError, ManifestError, MediaError
from r1omni.scale.archive import ListedClip, fetched, read_listing, write_listing


def files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def ids(source: str | Path, out: Path) -> list[str]:
    write_listing(str(source), out)
    return [listed.clip.id for listed in read_listing(out)]


def test_a_folder_is_listed_folder_by_folder_and_what_is_no_media_is_counted(tmp_path: Path) -> None:
    archive = files(tmp_path / "a", "z.mp4", "b/2.wav", "b/1.MOV", "notes.txt", "b/x.srt", ".hidden/c.mp4", ".d.mp4")
    listing = write_listing(str(archive), tmp_path / "clips.jsonl")
    found = list(read_listing(tmp_path / "clips.jsonl"))
    assert [listed.clip.id for listed in found] == ["z.mp4", "b/1.MOV", "b/2.wav"]
    assert found[1].clip.path == archive / "b" / "1.MOV"
    assert (listing.num_clips, listing.passed_over) == (3, {".txt": 1, ".srt": 1})


def test_a_pattern_names_clips_below_its_fixed_part(tmp_path: Path) -> None:
    archive = files(tmp_path / "a", "x/1.mp4", "y/1.mp4", "y/2.wav")
    assert ids(f"{archive}/*/*.mp4", tmp_path / "clips.jsonl") == ["x/1.mp4", "y/1.mp4"]


def test_a_manifest_keeps_its_ids_and_parts(tmp_path: Path) -> None:
    lines = [{"id": "one", "path": "a.mp4", "start_s": 1, "stop_s": 2.5}, {"id": "two", "path": "/b/c.wav"}]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    write_listing(str(tmp_path / "m.jsonl"), tmp_path / "clips.jsonl")
    found = [listed.clip for listed in read_listing(tmp_path / "clips.jsonl")]
    assert found == [Clip("one", tmp_path / "a.mp4", 1.0, 2.5), Clip("two", Path("/b/c.wav"))]


def test_a_manifest_keeps_what_its_meta_says_of_reading_and_measuring(tmp_path: Path) -> None:
    kept = {"cues": {"mouth": "open"}, "subtitled": True, "frame_rate_fps": 5}
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "one", "path": "a.mp4", "meta": {**kept, "look": "film"}}))
    write_listing(str(tmp_path / "m.jsonl"), tmp_path / "clips.jsonl")
    (found,) = read_listing(tmp_path / "clips.jsonl")
    assert found.clip.meta == kept


def test_a_table_is_read_as_the_data_commands_read_it(tmp_path: Path) -> None:
    files(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "t.csv").write_text("path,label\na.mp4,happy\nb.mp4,sad\n")
    write_listing(str(tmp_path / "t.csv"), tmp_path / "clips.jsonl")
    assert [(item.clip.id, item.clip.label) for item in read_listing(tmp_path / "clips.jsonl")] == [
        ("a", "happy"),
        ("b", "sad"),
    ]


def test_object_storage_is_listed_and_fetched_batch_by_batch(tmp_path: Path) -> None:
    storage = fsspec.filesystem("memory")
    storage.pipe({"/bucket/in/b.mp4": b"B", "/bucket/in/deep/a.wav": b"A", "/bucket/in/readme.md": b"-"})
    write_listing("memory://bucket/in", tmp_path / "clips.jsonl")
    found = list(read_listing(tmp_path / "clips.jsonl"))
    assert [(item.clip.id, item.place) for item in found] == [
        ("b.mp4", "memory://bucket/in/b.mp4"),
        ("deep/a.wav", "memory://bucket/in/deep/a.wav"),
    ]
    gone = ListedClip(found[0].clip, "memory://bucket/in/gone.mp4")
    with fetched([*found, gone]) as clips:
        first, second, third = clips
        assert isinstance(first, Clip) and first.path.read_bytes() == b"B" and first.path.suffix == ".mp4"
        assert isinstance(second, Clip) and second.path.read_bytes() == b"A"
        assert isinstance(third, MediaError) and "gone.mp4" in str(third)
        kept = first.path
    assert not kept.exists()


def test_a_manifest_on_object_storage_names_clips_beside_it(tmp_path: Path) -> None:
    storage = fsspec.filesystem("memory")
    storage.pipe({"/set/m.jsonl": b'{"id": "one", "path": "clips/a.mp4"}\n', "/set/clips/a.mp4": b"A"})
    write_listing("memory://set/m.jsonl", tmp_path / "clips.jsonl")
    (listed,) = read_listing(tmp_path / "clips.jsonl")
    assert listed.place == "memory://set/clips/a.mp4"


def test_a_list_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    archive = files(tmp_path / "a", "b.mp4", "a.mp4", "c/a.mp4")
    first, second = (write_listing(str(archive), tmp_path / name) for name in ("1.jsonl", "2.jsonl"))
    assert first == second and (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_what_cannot_be_an_archive_is_said(tmp_path: Path) -> None:
    out = tmp_path / "clips.jsonl"
    with pytest.raises(ConfigError, match="no such archive"):
        write_listing(str(tmp_path / "nothing"), out)
    with pytest.raises(DatasetError, match=r"found no video, sound or picture \(but 1 .txt\)"):
        write_listing(str(files(tmp_path / "t", "a.txt")), out)
    with pytest.raises(ConfigError, match="nosuchstore"):
        write_listing("nosuchstore://bucket", out)
    (tmp_path / "m.jsonl").write_text('{"id": "x", "path": "a.mp4"}\n{"id": "x", "path": "b.mp4"}\n')
    with pytest.raises(ManifestError, match="two clips have the id 'x'"):
        write_listing(str(tmp_path / "m.jsonl"), out)
    assert not out.exists()
