"""RAVDESS and CREMA-D: what the file names say, folds by actor, and the counts of the whole corpora."""

from pathlib import Path

import pytest

from r1omni.core.errors import DatasetError
from r1omni.datasets.release import read_release


def touch(root: Path, folder: str, names: list[str]) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / folder / name).touch()


def ravdess_takes(channel: str, actor: int) -> list[str]:
    emotions = range(1, 9) if channel == "01" else range(1, 7)
    return [
        f"{channel}-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
        for emotion in emotions
        for intensity in ((1,) if emotion == 1 else (1, 2))
        for statement in (1, 2)
        for repetition in (1, 2)
    ]


def test_whole_ravdess_has_the_published_counts(tmp_path: Path) -> None:
    for actor in range(1, 25):
        speech, song = ravdess_takes("01", actor), ravdess_takes("02", actor) if actor != 18 else []
        touch(tmp_path, f"Actor_{actor:02d}", [f"01-{take}.mp4" for take in speech + song])
    speech = read_release("ravdess", tmp_path)
    song = read_release("ravdess", tmp_path, vocal="song")
    both7 = read_release("ravdess", tmp_path, vocal="both", variant="ravdess7")
    seven = read_release("ravdess", tmp_path, variant="ravdess7")
    assert [len(release.clips) for release in (speech, song, seven)] == [1440, 1012, 1440 - 192]
    # Both channels without calm: 1440 + 1012 - 192 - 184.
    assert len(both7.clips) == 2076
    assert [speech.warnings, song.warnings, seven.warnings, both7.warnings] == [[], [], [], []]
    assert {clip.corpus for clip in seven.clips} == {"ravdess7"}
    assert sum(clip.fold == 1 for clip in speech.clips) == 240
    assert {clip.meta["actor"] for clip in speech.clips if clip.fold == 1} == {"01", "02", "03", "04"}


def test_default_leaves_out_song_other_modalities_and_strange_names(tmp_path: Path) -> None:
    names = ["01-01-06-02-02-01-12.mp4", "01-02-06-02-02-01-12.mp4", "02-01-06-02-02-01-12.mp4", "notes.mp4"]
    touch(tmp_path, "Actor_12", names)
    touch(tmp_path, "copy/Actor_12", names[:1])
    (clip,) = read_release("ravdess", tmp_path, fold=3).clips
    assert (clip.id, clip.label, clip.fold, clip.split) == ("01-01-06-02-02-01-12", "fear", 3, "test")
    assert clip.subtitle == "Dogs are sitting by the door."
    assert clip.meta["sex"] == "female"
    assert clip.meta["intensity"] == "strong"


def test_audio_files_are_read_by_modality(tmp_path: Path) -> None:
    touch(tmp_path, "Actor_01", ["03-01-01-01-01-01-01.wav"])
    assert read_release("ravdess", tmp_path, modality="audio").clips[0].label == "neutral"
    with pytest.raises(DatasetError, match=r"no audio-visual speech of RAVDESS.*01-01-01-01-01-01-01\.mp4"):
        read_release("ravdess", tmp_path)


def test_crema_d_names_give_label_actor_and_fold(tmp_path: Path) -> None:
    touch(tmp_path, "AudioWAV", ["1001_DFA_ANG_XX.wav", "1019_IEO_SAD_HI.wav", "1091_TSI_NEU_XX.wav"])
    touch(tmp_path, "VideoFlash", ["1019_IEO_SAD_HI.flv"])
    release = read_release("crema-d", tmp_path, fold="5")
    assert [(clip.label, clip.fold, clip.split) for clip in release.clips] == [
        ("angry", 1, "train"),
        ("sad", 2, "train"),
        ("neutral", 5, "test"),
    ]
    assert release.clips[1].path.suffix == ".flv"
    assert release.clips[1].meta["intensity"] == "high"
    assert read_release("crema_d", tmp_path, modality="audio").clips[1].path.suffix == ".wav"
    assert any("all 3 against 7,442" in text for text in release.warnings)
