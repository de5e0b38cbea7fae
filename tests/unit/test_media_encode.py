import numpy as np
import pytest

from r1omni.core.errors import ConfigError
from r1omni.media.decode import load_media
from r1omni.media.encode import write_video

GREY_LEVELS = np.arange(16, dtype=np.uint8) * 15
FRAMES = np.broadcast_to(GREY_LEVELS[:, None, None, None], (16, 32, 48, 3))
TONE = (0.25 * np.sin(2 * np.pi * 400 / 16000 * np.arange(32000))).astype(np.float32)


def test_what_is_written_is_read_back(tmp_path):
    write_video(tmp_path / "new_folder/clip.mp4", FRAMES, 8, TONE)
    media = load_media(tmp_path / "new_folder/clip.mp4", num_frames=16)
    assert media.frames is not None and media.waveform is not None and media.frame_times_s is not None
    # (16 - 1) / 16 * (i + 1/2) rounds to 0 .. 7, 8 .. 15: every frame once.
    assert np.abs(media.frames.astype(int) - FRAMES).max() <= 3
    np.testing.assert_allclose(media.frame_times_s, np.arange(16) / 8, atol=1e-6)
    assert np.abs(media.waveform[2000:30000] - TONE[2000:30000]).max() < 0.01
    # AAC comes in packets of 1024 samples: 32000 become 32 of them.
    assert len(media.waveform) == 32 * 1024
    assert media.duration_s == pytest.approx(2.048)


def test_bytes_depend_on_the_input_alone(tmp_path):
    for name in ("first.mp4", "second.mp4"):
        write_video(tmp_path / name, FRAMES, 8, TONE)
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "second.mp4").read_bytes()


def test_the_index_precedes_the_media_data(tmp_path):
    write_video(tmp_path / "clip.mp4", FRAMES, 8)
    content = (tmp_path / "clip.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    ("frames", "frame_rate_fps", "waveform", "sample_rate_hz", "sentence"),
    [
        (FRAMES[:, :31], 8, None, 16000, "48 x 31 pixels.*even"),
        (FRAMES[:, :, :47], 8, None, 16000, "47 x 32 pixels.*even"),
        (FRAMES[:0], 8, None, 16000, "at least one frame"),
        (FRAMES / 255, 8, None, 16000, "float64"),
        (FRAMES, 0, None, 16000, "frame rate is 0"),
        (FRAMES, 8, TONE * np.float32("nan"), 16000, "finite"),
        (FRAMES, 8, TONE[:, None], 16000, "mono"),
        (FRAMES, 8, TONE, 16001, "16001 Hz"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_no_file(
    tmp_path, frames, frame_rate_fps, waveform, sample_rate_hz, sentence
):
    with pytest.raises(ConfigError, match=sentence):
        write_video(tmp_path / "clip.mp4", frames, frame_rate_fps, waveform, sample_rate_hz)
    assert list(tmp_path.iterdir()) == []
