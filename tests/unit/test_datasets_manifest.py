"""The manifest keeps every field, moves with its folder, and names the line it cannot read."""

import os
from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import ManifestError
from r1omni.datasets.manifest import manifest_hash, read_manifest, write_manifest


def full_clip(folder: Path) -> Clip:
    return Clip(
        id="00012",
        path=folder / "clips" / "12.mp4",
        start_s=0.5,
        stop_s=2.0,
        label="sad",
        labels=("sad", "helpless"),
        reasoning="Her voice\u2028breaks.",
        subtitle="别走",
        split="train",
        fold=3,
        corpus="dfew",
        meta={"actor": "07"},
    )


def test_every_field_comes_back_as_written(tmp_path: Path) -> None:
    clips = [full_clip(tmp_path), Clip(id="b", path=tmp_path / "b.wav")]
    write_manifest(tmp_path / "manifest.jsonl", clips)
    assert read_manifest(tmp_path / "manifest.jsonl") == clips


def test_blank_texts_are_empty_fields(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "1", "path": "a.mp4", "label": " ", "reasoning": "", "split": "\\t"}')
    (clip,) = read_manifest(tmp_path / "m.jsonl")
    assert clip == Clip(id="1", path=tmp_path / "a.mp4")


def test_manifest_moves_with_its_corpus(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a" / "lists" / "m.jsonl", [Clip(id="1", path=tmp_path / "a" / "clips" / "1.mp4")])
    os.rename(tmp_path / "a", tmp_path / "moved")
    assert read_manifest(tmp_path / "moved" / "lists" / "m.jsonl")[0].path == tmp_path / "moved" / "clips" / "1.mp4"
    assert '"path": "../clips/1.mp4"' in (tmp_path / "moved" / "lists" / "m.jsonl").read_text()


def test_linked_manifest_folder_still_finds_the_clip(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er" / "lists").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er" / "lists")
    clip = tmp_path / "1.mp4"
    clip.touch()
    write_manifest(tmp_path / "link" / "m.jsonl", [Clip(id="1", path=clip)])
    assert read_manifest(tmp_path / "link" / "m.jsonl")[0].path.exists()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"id": 12, "path": "a.mp4"}', "`id` is 12"),
        ('{"id": "a"}', "`path` is None"),
        ('{"id": "a", "path": "a.mp4", "emotion": "sad"}', "unknown field emotion"),
        ('{"id": "a", "path": "a.mp4", "label": 3}', "names, never numeric ids"),
        ('{"id": "a", "path": "a.mp4", "start_s": NaN}', "`start_s` is nan"),
        ('{"id": "a", "path": "a.mp4", "start_s": 2, "stop_s": 1}', "`stop_s` 1 is not after `start_s` 2"),
        ('{"id": "a", "path": "a.mp4", "labels": "sad"}', "`labels` is 'sad'"),
        ('{"id": "a", "path": "a.mp4", "fold": "1"}', "`fold` is '1'"),
        ('{"id": "a", "path": "a.mp4", "meta": []}', "`meta` is []"),
        ('{"id": "a", "path": ', "not JSON"),
        ('["a"]', "expected an object"),
        ('{"id": "a", "path": ' + "[" * 100_000, "cannot be read"),
        ('{"id": "a", "path": "a.mp4", "stop_s": 1' + "0" * 400 + "}", "cannot be read"),
        ('{"id": "ok", "path": "b.mp4"}', "duplicate id 'ok', as on line 1"),
    ],
)
def test_bad_line_is_named_with_its_number(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "ok", "path": "ok.mp4"}\n\n' + line + "\n")
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert f"{path}:3: " in str(caught.value)
    assert sentence in str(caught.value)


def test_missing_and_badly_encoded_manifests_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="r1omni data"):
        read_manifest(tmp_path / "none.jsonl")
    (tmp_path / "gb.jsonl").write_bytes('{"id": "a", "path": "a.mp4", "subtitle": "别走"}'.encode("gb18030"))
    with pytest.raises(ManifestError, match=r"gb\.jsonl:1: not UTF-8"):
        read_manifest(tmp_path / "gb.jsonl")


def test_failed_write_leaves_the_old_manifest_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, [full_clip(tmp_path)])
    before = manifest_hash(path)
    with pytest.raises(ManifestError, match="cannot be written"):
        write_manifest(path, [Clip(id="x", path=tmp_path / "x.mp4", meta={"valence": float("nan")})])
    with pytest.raises(ManifestError, match="is not after"):
        write_manifest(path, [Clip(id="x", path=tmp_path / "x.mp4", start_s=2.0, stop_s=2.0)])
    with pytest.raises(ManifestError, match="two clips"):
        write_manifest(path, [full_clip(tmp_path), full_clip(tmp_path)])
    assert manifest_hash(path) == before
    assert os.listdir(tmp_path) == ["m.jsonl"]
