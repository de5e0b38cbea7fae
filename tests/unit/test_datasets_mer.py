"""MER2023 to 2025, EMER and OV-MERD: classes, free words, descriptions, subtitles."""

from pathlib import Path

import pytest

from r1omni.core.errors import ConfigError, DatasetError
from r1omni.datasets.names import word_list
from r1omni.datasets.release import read_release

REASON = "In the video, he roared. Therefore, it is inferred that his emotional state is anger."


def write(root: Path, **tables: str) -> None:
    for name, text in tables.items():
        (root / f"{name.replace('__', '-')}.csv").write_text(text, encoding="utf-8")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_mer2023_parts_stay_apart_and_get_their_subtitles(tmp_path: Path) -> None:
    write(
        tmp_path,
        train__label="name,discrete,valence\nsample_1,worried,-1.5\n",
        test1__label="name,discrete,valence\nsample_1,happy,2.0\n",
        **{"transcription-engchi-polish": "name,chinese,english\nsample_1,别走,Do not go\n"},
    )
    touch(tmp_path, "train/sample_1.mp4", "test1/sample_1.mp4")
    release = read_release("mer", tmp_path, year="2023")
    first, second = release.clips
    assert (first.label, first.split, first.subtitle) == ("worried", "train", "Do not go")
    assert first.meta == {"valence": -1.5, "subset": "train", "language": "zh"}
    assert (second.id, second.label, second.path) == ("test1/sample_1", "happy", tmp_path / "test1/sample_1.mp4")
    assert any("test2-label.csv is not under" in text for text in release.warnings)
    assert read_release("mer", tmp_path, year="2023", language="chinese").clips[0].subtitle == "别走"


def test_mer2024_joins_classes_and_words(tmp_path: Path) -> None:
    write(
        tmp_path,
        label__disdim="name,discrete\nsample_1,sad\n",
        check__openset="name,openset\nsample_1,\"['sad', 'Helpless']\"\n",
    )
    touch(tmp_path, "video-labeled/sample_1.mp4", "video-unlabeled-with-test2noise/sample_1.mp4")
    (clip,) = read_release("mer", tmp_path, year="2024").clips
    assert (clip.label, clip.labels) == ("sad", ("sad", "helpless"))


def test_mer2025_tracks(tmp_path: Path) -> None:
    write(
        tmp_path,
        track1_train_disdim="name,discrete,valence\nsample_1,angry,-2\n",
        track2_train_mercaptionplus="name,openset\nsample_1,\"['angry']\"\n",
        track3_train_mercaptionplus=f'name,reason\nsample_1,"{REASON}"\n',
    )
    touch(tmp_path, "video/sample_1.mp4", "audio/sample_1.wav", "openface_face/sample_1/sample_1.npy")
    one = read_release("mer", tmp_path, year="2025").clips[0]
    two = read_release("mer", tmp_path, year="2025", track="2").clips[0]
    three = read_release("mer", tmp_path, year="2025", track="3").clips[0]
    assert (one.label, one.path.suffix) == ("angry", ".mp4")
    assert (two.label, two.labels) == (None, ("angry",))
    assert (three.reasoning, three.labels) == (REASON, ("angry",))
    with pytest.raises(DatasetError, match="gated"):
        read_release("mer", tmp_path, year="2025", track="2", source="ovmerd")


def test_the_year_is_needed_and_tracks_belong_to_2025(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="year"):
        read_release("mer", tmp_path)
    with pytest.raises(ConfigError, match="track"):
        read_release("mer", tmp_path, year="2023", track="2")


def test_emer_v1_is_a_reasoned_example_per_clip(tmp_path: Path) -> None:
    write(
        tmp_path, gt__eng=f'names,emotions,subtitles,reasons\nsample_1,angry,"Go, now.","{REASON}"\nsample_2,sad,,x\n'
    )
    touch(tmp_path, "video/sample_1.mp4")
    release = read_release("emer", tmp_path, version="v1")
    (clip,) = release.clips
    assert (clip.label, clip.reasoning, clip.subtitle) == ("angry", REASON, "Go, now.")
    assert any("all 2 against 100 (98 fewer)" in text for text in release.warnings)


def test_emer_v2_takes_its_class_from_another_list_or_none(tmp_path: Path) -> None:
    write(tmp_path, **{"final-EMER-reason": f'name,chinese,english\nsample_1,他很生气,"{REASON}"\nsample_2,他,He\n'})
    touch(tmp_path, "video/sample_1.mp4", "video/sample_2.mp4")
    release = read_release("emer", tmp_path)
    assert [clip.label for clip in release.clips] == [None, None]
    assert any("2 of 2 clips have no class" in text for text in release.warnings)
    write(tmp_path, label__disdim="name,discrete\nsample_1,angry\n")
    release = read_release("emer", tmp_path, language="chinese")
    assert [(clip.label, clip.reasoning) for clip in release.clips] == [("angry", "他很生气"), (None, "他")]


def test_ov_merd_has_words_and_descriptions(tmp_path: Path) -> None:
    write(tmp_path, check__openset="name,openset\nsample_1,\"['angry', 'wronged']\"\n")
    write(tmp_path, **{"final-EMER-reason": f'name,chinese,english\nsample_1,他很生气,"{REASON}"\n'})
    touch(tmp_path, "video/sample_1.mp4")
    (clip,) = read_release("ov_merd", tmp_path).clips
    assert (clip.label, clip.labels, clip.reasoning) == (None, ("angry", "wronged"), REASON)


@pytest.mark.parametrize("text", ["['sad', 'Angry', 'sad']", "[sad, angry]", "sad， angry", "sad,angry,"])
def test_word_lists_are_read_in_every_published_form(text: str) -> None:
    assert word_list(text) == ("sad", "angry")
