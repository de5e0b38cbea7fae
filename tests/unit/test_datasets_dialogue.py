"""MELD and CMU-MOSEI: the same name in three splits, clips and full videos, labels that are never unpickled."""

from pathlib import Path

import pytest

from r1omni.core.errors import DatasetError
from r1omni.datasets.release import read_release


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_meld(root: Path) -> None:
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
    for part, emotion in (("train", "joy"), ("dev", "sadness"), ("test", "anger")):
        line = f'1,"It\x92s {part}, so",Ross,{emotion},positive,0,0\n'
        (root / f"{part}_sent_emo.csv").write_text(header + line, encoding="utf-8")


def test_the_same_utterance_name_is_found_in_its_own_part(tmp_path: Path) -> None:
    write_meld(tmp_path)
    touch(tmp_path, "train/train_splits/dia0_utt0.mp4", "dev/dev_splits_complete/dia0_utt0.mp4")
    touch(
        tmp_path, "test/output_repeated_splits_test/dia0_utt0.mp4", "test/output_repeated_splits_test/._dia0_utt0.mp4"
    )
    touch(tmp_path, "test/output_repeated_splits_test/final_videos_testdia0_utt0.mp4")
    clips = read_release("meld", tmp_path).clips
    assert [(clip.id, clip.label, clip.path.parts[-3]) for clip in clips] == [
        ("train_dia0_utt0", "happy", "train"),
        ("val_dia0_utt0", "sad", "dev"),
        ("test_dia0_utt0", "angry", "test"),
    ]
    assert clips[0].subtitle == "It’s train, so"


def test_renamed_meld_clips_are_found_and_a_missing_list_is_a_warning(tmp_path: Path) -> None:
    write_meld(tmp_path)
    (tmp_path / "train_sent_emo.csv").unlink()
    touch(tmp_path, "subvideo/val_dia0_utt0.mp4", "subvideo/test_dia0_utt0.mp4")
    release = read_release("meld", tmp_path)
    assert [clip.split for clip in release.clips] == ["val", "test"]
    assert any("train_sent_emo.csv is not under" in text for text in release.warnings)


def write_mosei(root: Path) -> None:
    (root / "label.csv").write_text(
        "video_id,clip_id,label,mode\n-abc_1,0,-1.5,train\n-abc_1,1,0.0,valid\nxyz,3,3,test\n"
    )
    folder = root / "Raw/Transcript/Segmented/Combined"
    folder.mkdir(parents=True)
    (folder / "-abc_1.txt").write_text(
        "-abc_1___0___0.5___2.25___I did not like it.\n-abc_1___1___2.25___4___Well___yes.\n"
    )


def test_a_mosei_clip_is_its_part_of_the_whole_video(tmp_path: Path) -> None:
    write_mosei(tmp_path)
    touch(tmp_path, "Raw/Videos/Full/Combined/-abc_1.mp4", "Raw/Videos/Segmented/Combined/xyz_3.mp4")
    first, second, third = read_release("mosei", tmp_path).clips
    assert (first.label, first.start_s, first.stop_s, first.split) == ("negative", 0.5, 2.25, "train")
    assert (second.label, second.subtitle, second.split) == ("neutral", "Well___yes.", "val")
    assert (third.label, third.start_s, third.meta["sentiment"]) == ("positive", None, 3.0)


def test_a_mosei_clip_in_a_folder_per_video_is_found(tmp_path: Path) -> None:
    write_mosei(tmp_path)
    touch(tmp_path, "Raw/-abc_1/0.mp4", "Raw/xyz/1.mp4")
    release = read_release("mosei", tmp_path)
    assert [(clip.id, clip.path.name, clip.start_s) for clip in release.clips] == [("-abc_1_0", "0.mp4", None)]


def test_pickled_labels_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "label.npz")
    with pytest.raises(DatasetError, match="never loaded"):
        read_release("mosei", tmp_path)


@pytest.mark.parametrize(
    "header", ["video,segment_id,text,sentiment,split", "Video_ID,Clip_ID,text,label,mode", "vid,idx,text,score,set"]
)
def test_mosei_columns_are_taken_by_their_usual_names(tmp_path: Path, header: str) -> None:
    (tmp_path / "label.csv").write_text(f"{header}\nabc,0,so good,1.5,valid\n")
    (tmp_path / "abc_0.mp4").touch()
    (clip,) = read_release("mosei", tmp_path).clips
    assert (clip.id, clip.label, clip.split, clip.meta["sentiment"]) == ("abc_0", "positive", "val", 1.5)


def test_a_mosei_table_without_its_parts_is_an_error_that_names_the_column(tmp_path: Path) -> None:
    (tmp_path / "label.csv").write_text("video_id,clip_id,label\nabc,0,1.5\n")
    with pytest.raises(DatasetError, match="expected mode too"):
        read_release("mosei", tmp_path)
