"""Synthetic corpora: the same clips for a seed, the specified labels and splits, and resuming after a kill."""

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from r1omni.core.errors import ConfigError
from r1omni.core.labels import DFEW_LABELS
from r1omni.datasets.manifest import read_manifest
from r1omni.media.decode import load_media
from r1omni.synth.cast import FILM_VOICES, cast_clip, make_cast
from r1omni.synth.corpus import CORPORA, make_corpus, targets_path
from r1omni.synth.world import CHANNELS, PATTERNS, SIDE_CHANNELS, Channel, Noise

Side = Literal["pictures", "sound"]


@pytest.fixture(scope="module")
def dfew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dfew")
    make_corpus("dfew-like", out, 10, seed=1, num_workers=1)
    return out


def test_a_clip_has_pictures_sound_and_its_true_cues(dfew: Path) -> None:
    clip = read_manifest(dfew / "manifest.jsonl")[0]
    media = load_media(clip.path, num_frames=4)
    assert media.frames is not None and media.frames.shape == (4, 96, 96, 3)
    assert media.waveform is not None and np.abs(media.waveform).max() > 0.01
    assert set(clip.meta["cues"]) == {"brows", "eyes", "mouth", "head", "pitch", "volume", "pace", "tone", "words"}


def test_test_labels_are_what_the_person_feels(dfew: Path) -> None:
    clips = read_manifest(dfew / "manifest.jsonl")
    assert Counter(clip.split for clip in clips) == {"test": 4, "val": 1, "train": 5}
    assert all(clip.label == clip.meta["emotion"] for clip in clips if clip.split == "test")


def test_the_same_seed_gives_the_same_corpus_and_a_lost_clip_is_made_again(dfew: Path, tmp_path: Path) -> None:
    before = [clip.path.read_bytes() for clip in read_manifest(dfew / "manifest.jsonl")]
    make_corpus("dfew-like", tmp_path, 10, seed=1, num_workers=1)
    clips = read_manifest(tmp_path / "manifest.jsonl")
    assert [clip.path.read_bytes() for clip in clips] == before
    clips[3].path.unlink()
    (tmp_path / "manifest.jsonl").unlink()
    make_corpus("dfew-like", tmp_path, 10, seed=1, num_workers=1)
    assert clips[3].path.read_bytes() == before[3]


def test_captioned_clips_bring_targets_and_no_emotion(tmp_path: Path) -> None:
    make_corpus("humanomni-like", tmp_path, 2, seed=1, num_workers=1)
    clip = read_manifest(tmp_path / "manifest.jsonl")[0]
    assert clip.label is None and clip.meta["emotion"] is None
    with np.load(targets_path(clip)) as targets:
        assert targets["landmarks"].shape[0] == 19
        assert targets["voice"].shape[1] == 3


def test_shortcuts_hold_in_the_training_corpora_only() -> None:
    assert CORPORA["dfew-like"].shortcut == CORPORA["mafw-like"].shortcut > 0
    assert CORPORA["ravdess-like"].shortcut == CORPORA["emer-like"].shortcut == 0
    cast = make_cast(np.random.default_rng(0), num_people=4, voices=FILM_VOICES)
    rng = np.random.default_rng(1)
    rooms = [cast_clip(cast, "angry", rng, shortcut=1.0).room for _ in range(20)]
    assert set(rooms) == {cast.habits["angry"][0]}
    free = [cast_clip(cast, "angry", rng, shortcut=0.0).room for _ in range(200)]
    assert len(set(free)) == 8


@pytest.mark.parametrize("side", ["pictures", "sound"])
def test_only_one_side_expresses_the_emotion_in_the_controls_for_attribution(tmp_path: Path, side: Side) -> None:
    make_corpus(f"dfew-like-in-{side}", tmp_path, 14, seed=1, noise=Noise(cue=0.0), num_workers=1)
    clips = read_manifest(tmp_path / "manifest.jsonl")
    assert Counter(clip.label for clip in clips) == dict.fromkeys(DFEW_LABELS, 2)
    assert {clip.split for clip in clips} == {"test"} and not any(clip.meta["subtitled"] for clip in clips)
    own = SIDE_CHANNELS[side]
    other: list[Channel] = [channel for channel in CHANNELS if channel not in own]
    num_expressed = 0
    for clip in clips:
        cues = clip.meta["cues"]
        patterns = PATTERNS[clip.meta["emotion"]]
        assert any(all(pattern[channel] == cues[channel] for channel in own) for pattern in patterns)
        num_expressed += any(all(pattern[channel] == cues[channel] for channel in other) for pattern in patterns)
    assert num_expressed == 0  # four or five channels at random: one clip in a few hundred


def test_an_unknown_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dfew-like, mafw-like"):
        make_corpus("dfew", tmp_path, 1, seed=0)
