"""Folders of numbered pictures as clips, with stray files in them."""

import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.media.decode import load_clip, load_media
from r1omni.media.folder import content_files, picture_files

EVENLY = [2, 7, 12, 17, 22, 27, 32, 37]
"""Of 40, as in a video of 40 frames."""


def pictures(folder: Path, count: int = 40, name: str = "{}.png") -> Path:
    """Picture i is grey of level 5 i + 10; written last first."""
    folder.mkdir(parents=True)
    for index in reversed(range(count)):
        Image.new("RGB", (24, 16), (5 * index + 10,) * 3).save(folder / name.format(index))
    return folder


def numbers(frames: np.ndarray | None) -> list[int]:
    assert frames is not None
    return [round((float(frame.mean()) - 10) / 5) for frame in frames]


@pytest.mark.parametrize("name", ["{}.png", "{:05d}.jpg", "frame_{}.PNG"])
def test_pictures_are_in_natural_order_and_sampled_like_frames(tmp_path: Path, name: str):
    media = load_media(pictures(tmp_path / "00001", name=name))
    assert numbers(media.frames) == EVENLY
    assert media.waveform is None and media.duration_s == pytest.approx(40 / 25)
    assert media.frame_times_s is not None and media.frame_times_s[1] == pytest.approx(7 / 25)


def test_hidden_and_other_files_are_passed_over(tmp_path: Path):
    folder = pictures(tmp_path / "00001", 3)
    (folder / "._1.png").write_bytes(b"not a picture")
    (folder / "Thumbs.db").write_bytes(b"nor this")
    (folder / "9.png").mkdir()
    assert [path.name for path in picture_files(folder)] == ["0.png", "1.png", "2.png"]
    assert numbers(load_media(folder, num_frames=3).frames) == [0, 1, 2]


def test_a_manifest_gives_the_frame_rate_of_a_folder(tmp_path: Path):
    clip = Clip("1", pictures(tmp_path / "00001"), start_s=1.0, stop_s=3.0, meta={"frame_rate_fps": 10})
    # Pictures 10 .. 29: 19 / 4 = 4.75 per segment; centres 2.375, 7.125, 11.875, 16.625 -> 2, 7, 12, 17.
    media = load_clip(clip, num_frames=4)
    assert numbers(media.frames) == [12, 17, 22, 27] and media.duration_s == pytest.approx(2.0)
    with pytest.raises(MediaError, match="meta.frame_rate_fps is 'fast'"):
        load_clip(Clip("1", clip.path, meta={"frame_rate_fps": "fast"}))


def test_sound_beside_the_folder_is_its_sound(tmp_path: Path):
    folder = pictures(tmp_path / "00001")
    with wave.open(str(tmp_path / "00001.wav"), "wb") as opened:
        opened.setparams((1, 2, 16000, 0, "NONE", ""))
        opened.writeframes(bytes(2 * 64000))
    media = load_media(folder, start_s=0.5, stop_s=1.5)
    assert media.waveform is not None and len(media.waveform) == 16000
    assert load_media(folder, modality="video").waveform is None
    assert load_media(folder, modality="audio").frames is None
    assert content_files(folder)[-1] == tmp_path / "00001.wav"


@pytest.mark.parametrize(("modality", "kind"), [("audio", "no-sound"), ("video+audio", "no-sound")])
def test_a_missing_modality_of_a_folder_is_an_error_if_requested(tmp_path: Path, modality, kind):
    with pytest.raises(MediaError) as caught:
        load_media(pictures(tmp_path / "00001", 2), modality=modality)
    assert caught.value.kind == kind


def test_a_broken_picture_is_named(tmp_path: Path):
    folder = pictures(tmp_path / "00001", 8)
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:40])
    with pytest.raises(MediaError, match="3.png") as caught:
        load_media(folder)
    assert caught.value.kind == "truncated"


def test_an_empty_folder_and_an_empty_part_are_errors(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="folder without pictures"):
        load_media(tmp_path / "empty")
    with pytest.raises(MediaError) as caught:
        load_media(pictures(tmp_path / "00001", 5), start_s=9.0)
    assert caught.value.kind == "no-frames"


def test_pictures_of_another_size_are_scaled_to_the_first(tmp_path: Path):
    folder = pictures(tmp_path / "00001", 2)
    Image.new("RGB", (48, 32), (15,) * 3).save(folder / "1.png")
    media = load_media(folder, num_frames=2)
    assert media.frames is not None and media.frames.shape == (2, 16, 24, 3)
    assert numbers(media.frames) == [0, 1]
