"""Files as people have them: mirrored, with gaps, damaged, with several tracks, with data after the picture."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.media.decode import Media, load_media
from r1omni.media.length import clip_length_s

WIDTH, HEIGHT, RATE_HZ = 64, 48, 16000


def quadrants() -> np.ndarray:
    """Red, green / blue, white: each of the eight orientations looks different."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[: HEIGHT // 2, : WIDTH // 2, 0] = 255
    picture[: HEIGHT // 2, WIDTH // 2 :, 1] = 255
    picture[HEIGHT // 2 :, : WIDTH // 2, 2] = 255
    picture[HEIGHT // 2 :, WIDTH // 2 :] = 255
    return picture


def corners(picture: np.ndarray) -> str:
    """Letters of the quadrants' colours, row by row."""
    names = {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}
    rows, columns = picture.shape[:2]
    places = [(y, x) for y in (rows // 4, 3 * rows // 4) for x in (columns // 4, 3 * columns // 4)]
    return "".join(names[tuple((picture[place] > 120).astype(int).tolist())] for place in places)


def frequencies(waveform: np.ndarray, step_s: float = 0.5) -> list[int]:
    """Loudest frequency of each half second, to 10 Hz; 0 where it is silent but for its edges."""
    size, edge = round(RATE_HZ * step_s), RATE_HZ // 10
    found = []
    for start in range(0, len(waveform) - size + edge, size):
        part = waveform[start + edge : start + size - edge]
        loudest = int(np.abs(np.fft.rfft(part)).argmax()) * RATE_HZ / len(part)
        found.append(round(loudest, -1) if np.abs(part).max() > 0.01 else 0)
    return found


def steps(num_seconds: int, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Second k sounds at 400 + 100 k Hz."""
    times_s = np.arange(num_seconds * rate_hz) / rate_hz
    pitch_hz = 400 + 100 * np.floor(times_s)
    return (0.3 * np.sin(2 * np.pi * pitch_hz * times_s)).astype(np.float32)


def write_sounds(
    path: Path,
    tracks: list[np.ndarray],
    *,
    codec: str = "aac",
    default: int | None = None,
    layout: str = "mono",
    drop_s: tuple[float, float] | None = None,
    rate_hz: int = RATE_HZ,
) -> Path:
    """Write sound tracks, each [samples] or [channels, samples]; packets that begin within `drop_s` are lost."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=rate_hz, layout=layout) for _ in tracks]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        for stream, samples in zip(streams, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(np.atleast_2d(samples), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
            resampler = av.AudioResampler(stream.format.name, layout, rate_hz, frame_size=stream.frame_size or 1024)
            converted = [*resampler.resample(frame), *resampler.resample(None)]
            for packet in [p for part in converted for p in stream.encode(part)] + stream.encode(None):
                at_s = float(packet.pts * packet.time_base)
                if drop_s is None or not drop_s[0] <= at_s < drop_s[1]:
                    container.mux(packet)
    return path


def overwrite_sound(path: Path, start_s: float, stop_s: float, fill: bytes | None) -> Path:
    """Overwrite the data of the sound packets of a stretch, with one byte or with noise."""
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(3)
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            if packet.size and packet.pos is not None and start_s <= float(packet.pts * packet.time_base) < stop_s:
                noise = rng.bytes(packet.size) if fill is None else fill * packet.size
                at = packet.pos + (4 if path.suffix == ".mkv" else 0)  # behind the block's own header
                content[at : at + packet.size] = noise
    path.write_bytes(content)
    return path


def turned_mp4(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """An mp4 of the quadrants whose track header holds this display matrix (a, b, c, d)."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for _ in range(4):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(quadrants(), format="rgb24")))
        container.mux(pictures.encode(None))
    content = bytearray(path.read_bytes())
    at = content.find(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 4 * 2  # version 0: times, id, duration; reserved; layer to volume
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), "RGBW"),
        ((-1, 0, 0, 1), "GRWB"),  # mirrored: left and right change places
        ((1, 0, 0, -1), "BWRG"),  # upside down, mirrored
        ((-1, 0, 0, -1), "WBGR"),  # half a turn
        ((0, 1, -1, 0), "BRWG"),  # a quarter turn clockwise: the left lower corner goes to the left upper
        ((0, -1, 1, 0), "GWRB"),  # a quarter turn the other way
        ((0, 1, 1, 0), "RBGW"),  # rows and columns change places
        ((0, -1, -1, 0), "WGBR"),
    ],
)
def test_the_whole_display_matrix_of_a_video_is_applied(tmp_path, matrix, expected):
    frames = load_media(turned_mp4(tmp_path / "turned.mp4", matrix), num_frames=2).frames
    assert frames is not None
    assert corners(frames[0]) == expected
    assert frames.shape[1:3] == ((HEIGHT, WIDTH) if matrix[0] else (WIDTH, HEIGHT))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", "avif", "heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_are_what_pillow_shows(tmp_path, kind, orientation):
    if kind == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path, exif = tmp_path / f"picture.{kind}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quadrants()).save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    frames = load_media(path).frames
    assert frames is not None and frames.shape == (1, *expected.shape)
    assert corners(frames[0]) == corners(expected)
    if kind not in ("avif", "heic"):  # libheif turns these by itself and drops the tag
        assert corners(frames[0]) == ["RGBW", "GRWB", "WBGR", "BWRG", "RBGW", "BRWG", "WGBR", "GWRB"][orientation - 1]


@pytest.mark.parametrize("name", ["call.mkv", "call.mp4", "call.webm"])
@pytest.mark.parametrize(
    ("part", "expected", "gaps"),
    [
        ((None, None), [400, 400, 500, 500, 600, 600, 0, 0, 0, 0, 900, 900, 1000, 1000, 1100, 1100], [(3, 5)]),
        ((6, 8), [1000, 1000, 1100, 1100], []),
        ((2, 6), [600, 600, 0, 0, 0, 0, 900, 900], [(3, 5)]),
        ((4, 6), [0, 0, 900, 900], [(4, 5)]),
    ],
)
def test_sound_is_placed_at_its_times_and_gaps_are_silence(tmp_path, name, part, expected, gaps):
    opus = name.endswith("webm")
    path = write_sounds(
        tmp_path / name, [steps(8, 48000)], codec="libopus" if opus else "aac", drop_s=(3, 5), rate_hz=48000
    )
    media = load_media(path, start_s=part[0], stop_s=part[1])
    assert media.waveform is not None
    assert frequencies(media.waveform) == expected
    assert [span for pair in media.sound_gaps_s for span in pair] == pytest.approx(
        [edge for pair in gaps for edge in pair], abs=0.05
    )
    if part[0] is not None:
        assert len(media.waveform) == (part[1] - part[0]) * RATE_HZ


def test_a_part_within_a_gap_has_no_sound(tmp_path):
    path = write_sounds(tmp_path / "call.mkv", [steps(8)], drop_s=(2, 6))
    with pytest.raises(MediaError) as caught:
        load_media(path, start_s=3, stop_s=5)
    assert caught.value.kind == "no-frames"


@pytest.mark.parametrize("fill", [b"\xff", b"\0", None], ids=["ones", "zeros", "noise"])
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.mp3", "libmp3lame")])
def test_damaged_sound_is_left_out_without_shifting_the_rest(tmp_path, fill, name, codec):
    rate_hz = 48000
    path = write_sounds(tmp_path / name, [steps(8, rate_hz)], codec=codec, rate_hz=rate_hz)
    media = load_media(overwrite_sound(path, 3, 5, fill))
    assert media.waveform is not None
    found = frequencies(media.waveform)
    assert found[:5] == [400, 400, 500, 500, 600]
    if name != "a.mp3":  # a bare mp3 states no times
        assert found[11:16] == [900, 1000, 1000, 1100, 1100]
        assert len(media.waveform) == pytest.approx(8 * RATE_HZ, abs=0.1 * RATE_HZ)


def test_damaged_packets_are_counted(tmp_path):
    path = write_sounds(tmp_path / "a.mp4", [steps(8)])
    assert load_media(path).num_damaged_packets == 0
    assert load_media(overwrite_sound(path, 3, 5, None)).num_damaged_packets > 5


def test_sound_without_one_whole_packet_is_an_error(tmp_path):
    path = overwrite_sound(write_sounds(tmp_path / "a.mp4", [steps(2)]), -1, 3, b"\xff")
    with pytest.raises(MediaError, match="sound packets can be decoded") as caught:
        load_media(path)
    assert caught.value.kind == "unreadable"


def test_theora_with_a_still_picture_is_read():
    path = Path(__file__).parents[1] / "golden" / "still.ogv"  # 25 frames of the quadrants at 10 fps, by FFmpeg
    with av.open(str(path)) as container:
        assert sum(packet.size == 0 and packet.pts is not None for packet in container.demux(video=0)) > 10
    media = load_media(path)
    assert media.frames is not None and media.frame_times_s is not None
    assert [corners(frame) for frame in media.frames] == ["RGBW"] * 8
    # 25 frames, 8 segments of 24 / 8 = 3: centres 1.5, 4.5, .. 22.5, rounded to even neighbours above.
    np.testing.assert_allclose(media.frame_times_s, [0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 2.3], atol=1e-9)


@pytest.mark.parametrize("default", [0, 1])
def test_the_default_sound_track_is_read_and_named(tmp_path, default):
    tones = [np.full(2 * RATE_HZ, 0, np.float32), steps(2)]
    if default == 0:
        tones.reverse()
    media = load_media(write_sounds(tmp_path / "two.mkv", tones, default=default))
    assert media.waveform is not None
    assert frequencies(media.waveform) == [400, 400, 500, 500]
    assert media.tracks == (f"sound track {default + 1} of 2",)


def test_without_a_default_the_track_with_most_channels_is_read(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE_HZ, layout=layout) for layout in ("mono", "stereo")]
        for stream, amplitude in zip(streams, (0.0, 0.3), strict=True):
            stream.disposition = av.stream.Disposition(0)
            samples = amplitude * np.tile(steps(1) / 0.3, (len(stream.layout.channels), 1))
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray((samples * 32767).astype(np.int16).T.reshape(1, -1)), "s16", stream.layout.name
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
    media = load_media(path)
    assert media.waveform is not None and np.abs(media.waveform).max() > 0.2
    assert media.tracks == ("sound track 2 of 2",)


def test_one_track_is_not_named(tmp_path):
    assert load_media(write_sounds(tmp_path / "one.mkv", [steps(1)])).tracks == ()


@pytest.mark.parametrize(
    ("layout", "codec", "name"),
    [
        ("3.0", "pcm_s16le", "a.wav"),
        ("2.1", "pcm_s16le", "a.wav"),
        ("quad", "flac", "a.flac"),
        ("5.1", "flac", "a.flac"),
        ("6.1", "pcm_f32le", "a.mkv"),
        ("3.0", "aac", "a.mp4"),
    ],
)
def test_mono_contains_every_channel(tmp_path, layout, codec, name):
    times_s = np.arange(RATE_HZ) / RATE_HZ
    channels = av.AudioLayout(layout).nb_channels
    pitches_hz = [40 + 10 * channel for channel in range(channels)]
    samples = np.stack([0.5 * np.sin(2 * np.pi * pitch * times_s) for pitch in pitches_hz]).astype(np.float32)
    waveform = load_media(write_sounds(tmp_path / name, [samples], codec=codec, layout=layout)).waveform
    assert waveform is not None
    spectrum = np.abs(np.fft.rfft(waveform[:RATE_HZ])) * 2 / RATE_HZ
    # Each channel has an equal share: 0.5 / channels.
    assert [spectrum[pitch] for pitch in pitches_hz] == pytest.approx([0.5 / channels] * channels, rel=0.1)


def behind(path: Path, kind: str, extra: bytes) -> Path:
    stored = io.BytesIO()
    Image.fromarray(quadrants()).save(stored, kind)
    path.write_bytes(stored.getvalue() + extra)
    return path


@pytest.mark.parametrize(("name", "kind"), [("motion.jpg", "JPEG"), ("notes.png", "PNG")])
def test_data_behind_a_picture_is_no_cut(tmp_path, name, kind):
    # A motion photo has its film behind the picture; 200 kB are more than a reader of the file's tail would look at.
    frames = load_media(behind(tmp_path / name, kind, b"\0\0\0\x18ftypmp42" + bytes(200_000))).frames
    assert frames is not None and corners(frames[0]) == "RGBW"


@pytest.mark.parametrize(("name", "kind"), [("cut.jpg", "JPEG"), ("cut.png", "PNG"), ("cut.avif", "AVIF")])
def test_a_picture_that_was_cut_is_an_error(tmp_path, name, kind):
    path = behind(tmp_path / name, kind, b"")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(MediaError) as caught:
        load_media(path)
    assert caught.value.kind == "truncated"


def test_a_thumbnail_in_the_header_is_not_the_end_of_a_jpeg(tmp_path):
    exif, thumbnail = Image.Exif(), io.BytesIO()
    Image.fromarray(quadrants()).save(thumbnail, "JPEG")
    exif[0x010E] = thumbnail.getvalue().decode("latin-1")
    path = tmp_path / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, exif=exif)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError) as caught:
        load_media(path)
    assert caught.value.kind == "truncated"


def test_a_heic_of_several_tiles_is_one_picture(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    picture = np.kron(quadrants(), np.ones((16, 16, 1), np.uint8))  # 1024 x 768
    path = tmp_path / "phone.heic"
    Image.fromarray(picture).save(path, quality=90)
    frames = load_media(path).frames
    assert frames is not None and frames.shape == (1, 768, 1024, 3)
    assert corners(frames[0]) == "RGBW"


def test_a_git_lfs_pointer_is_called_by_its_name(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")
    with pytest.raises(MediaError, match="git lfs pull") as caught:
        load_media(path)
    assert caught.value.kind == "not-media"


def test_the_length_of_sound_is_known_where_only_its_beginning_is_decoded(tmp_path):
    media = load_media(write_sounds(tmp_path / "long.mp4", [steps(8)]), max_sound_s=3)
    assert media.waveform is not None and len(media.waveform) == 3 * RATE_HZ
    assert media.sound_s == pytest.approx(8, abs=0.1)
    part = load_media(tmp_path / "long.mp4", start_s=2, stop_s=7, max_sound_s=3)
    assert part.sound_s == pytest.approx(5, abs=0.1)


def test_digital_silence_is_silence(tmp_path):
    def read(samples: np.ndarray) -> Media:
        return load_media(write_sounds(tmp_path / "a.wav", [samples], codec="pcm_s16le"))

    assert read(np.zeros(RATE_HZ, np.float32)).is_silent
    assert not read(steps(1)).is_silent


def test_a_webp_that_moves_is_a_clip_and_not_its_first_picture(tmp_path: Path) -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250)]
    pictures = [Image.new("RGB", (32, 24), colour) for colour in colours]
    path = tmp_path / "moving.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[200, 300, 400, 100], lossless=True)
    media = load_media(path, num_frames=4)
    assert media.frames is not None and media.frame_times_s is not None
    assert [tuple(frame[0, 0]) for frame in media.frames] == colours
    assert list(media.frame_times_s) == [0.0, 0.2, 0.5, 0.9]
    assert media.pictures_s == pytest.approx(1.0) and clip_length_s(Clip("m", path)) == pytest.approx(1.0)
    part = load_media(path, start_s=0.5, stop_s=0.9, num_frames=2)
    assert part.frame_times_s is not None and list(part.frame_times_s) == [0.5, 0.5]
    assert part.pictures_s == pytest.approx(0.4)
