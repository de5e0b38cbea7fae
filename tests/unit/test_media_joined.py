"""Times that a file does not state, or states wrongly: browser recordings, raw streams, joined recordings, damage."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from r1omni.core.clip import Clip
from r1omni.datasets.check import look
from r1omni.media.decode import load_media
from r1omni.media.length import clip_length_s

RATE_HZ = 48000


def write(
    path: Path,
    num_seconds: int,
    *,
    codec: str = "aac",
    pitch_hz: float = 500,
    pictures: bool = False,
    gap_s: tuple[float, float] = (0, 0),
) -> Path:
    """A tone whose second half is silent, so that the bit rate varies; pictures are as bright as their number.

    Sound packets that begin in the gap are lost.
    """
    times_s = np.arange(num_seconds * RATE_HZ) / RATE_HZ
    tone = (0.3 * np.sin(2 * np.pi * pitch_hz * times_s) * (times_s < num_seconds / 2)).astype(np.float32)
    options = {"live": "1"} if path.suffix == ".webm" else {}
    with av.open(str(path), "w", options=options) as container:
        sound = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        if pictures:
            video = container.add_stream("libx264", rate=10, options={"g": "10"})
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for number in range(10 * num_seconds):
                picture = np.full((48, 64, 3), 4 * number, np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
        resampler = av.AudioResampler(sound.format.name, "mono", RATE_HZ, frame_size=sound.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            for packet in sound.encode(part):
                if not gap_s[0] <= float(packet.pts * packet.time_base) < gap_s[1]:
                    container.mux(packet)
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("raw.aac", "aac"), ("live.webm", "libopus"), ("a.mkv", "aac"), ("a.ogg", "libopus")]
)
def test_the_length_of_sound_is_known_whatever_the_file_states(tmp_path, name, codec):
    path = write(tmp_path / name, 12, codec=codec)
    media = load_media(path, max_sound_s=3)
    assert media.waveform is not None and len(media.waveform) == 3 * 16000
    assert media.sound_s == pytest.approx(12, abs=0.09)
    assert media.read.is_partly_heard and not load_media(path, max_sound_s=30).read.is_partly_heard
    assert clip_length_s(Clip("a", path)) == pytest.approx(12, abs=0.09)
    assert clip_length_s(Clip("a", path, start_s=2, stop_s=7)) == 5


def pitch(waveform: np.ndarray) -> int:
    return round(int(np.abs(np.fft.rfft(waveform)).argmax()) * 16000 / len(waveform), -1)


def test_recordings_joined_end_to_end_play_one_after_the_other(tmp_path):
    """The clock begins anew in the second one."""
    first = write(tmp_path / "first.ts", 4, pitch_hz=500, pictures=True)
    second = write(tmp_path / "second.ts", 4, pitch_hz=800, pictures=True)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    media = load_media(joined)
    assert media.waveform is not None and media.frames is not None and media.frame_times_s is not None
    assert media.sound_s == pytest.approx(8, abs=0.2) and media.pictures_s == pytest.approx(8, abs=0.2)
    assert pitch(media.waveform[8000:24000]) == 500
    assert pitch(media.waveform[5 * 16000 : 5 * 16000 + 8000]) == 800
    # sampled over both: brightness rises with the number of a picture, and begins anew in the second half
    brightness = media.frames.mean(axis=(1, 2, 3))
    assert (np.diff(media.frame_times_s) > 0).all() and (brightness[:4] < brightness[4:] + 20).all()
    assert brightness[3] > brightness[0] + 80 and brightness[4] < brightness[3] - 80
    assert clip_length_s(Clip("joined", joined)) == pytest.approx(8, abs=0.3)
    limited = load_media(joined, max_sound_s=3)
    assert limited.sound_s == pytest.approx(8, abs=0.2)
    part = load_media(joined, start_s=5, stop_s=5.75)
    assert part.waveform is not None and pitch(part.waveform) == 800


def test_damaged_pictures_are_left_out_and_counted(tmp_path):
    path = write(tmp_path / "a.mp4", 4, pictures=True)
    plain = load_media(path)
    assert plain.num_damaged_picture_packets == 0
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size and packet.pos is not None and 1 <= float(packet.pts * packet.time_base) < 2:
                content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(content)
    media = load_media(path)
    assert media.frames is not None and len(media.frames) == 8
    assert media.num_damaged_picture_packets == 10
    assert media.read.pictures is not None and media.read.remarks() == ["10 damaged picture packets were left out"]
    assert ("damaged", f"{path}: 10 packets of its pictures cannot be decoded") in look(Clip("a", path), media)


def test_an_animated_avif_is_read_as_what_moves(tmp_path):
    pictures = [Image.new("RGB", (64, 48), (25 * number, 0, 0)) for number in range(10)]
    pictures[0].save(tmp_path / "a.avif", save_all=True, append_images=pictures[1:], duration=100)
    media = load_media(tmp_path / "a.avif", num_frames=5)
    assert media.frames is not None and media.pictures_s == pytest.approx(1.0)
    assert (np.diff(media.frames[:, 24, 32, 0].astype(int)) > 20).all()


def test_a_gap_that_lasts_to_the_end_of_what_is_heard_is_silence_and_is_said(tmp_path):
    path = write(tmp_path / "gap.mkv", 10, codec="pcm_s16le", gap_s=(2, 4))
    for part in (load_media(path, start_s=1, stop_s=3), load_media(path, start_s=1, max_sound_s=2)):
        assert part.waveform is not None and len(part.waveform) == 2 * 16000
        assert part.waveform[8000:15000].any() and not part.waveform[17000:].any()
        ((start_s, stop_s),) = part.sound_gaps_s
        assert (start_s, stop_s) == (pytest.approx(2, abs=0.03), 3)
    assert load_media(path, start_s=8).sound_gaps_s == ()  # the track ends with the file
    assert load_media(path, start_s=8, stop_s=30).sound_gaps_s == ()
