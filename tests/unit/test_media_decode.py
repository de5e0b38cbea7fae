"""Every kind of input a user can give: the correct result or the clip's own error."""

import hashlib
import io
import json
import pickle
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from r1omni.core.errors import ConfigError, MediaError
from r1omni.media.decode import load_media
from r1omni.media.encode import write_video

GOLDEN = Path(__file__).parents[1] / "golden" / "small"
NUM_FRAMES, FPS, HEIGHT, WIDTH = 40, 10, 48, 64
TONE = (0.25 * np.sin(2 * np.pi * 400 / 16000 * np.arange(64000))).astype(np.float32)
"""4 s of 400 Hz."""
EVENLY = [2, 7, 12, 17, 22, 27, 32, 37]
"""(40 - 1) / 8 = 4.875 per segment; centres 2.44, 7.31, 12.19, 17.06, 21.94, 26.81, 31.69, 36.56."""


def numbered_frames(num_frames: int = NUM_FRAMES, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Grey frames, 5 levels brighter each, with a white left upper corner that shows which way is up."""
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    frames[:] = (np.arange(num_frames) * 5 + 10)[:, None, None, None]
    frames[:, : height // 4, : width // 4] = 255
    return frames


def read_numbers(frames: np.ndarray) -> list[int]:
    """Tell which numbered frames these are, from their middles."""
    height, width = frames.shape[1:3]
    middles = frames[:, height // 2 : height // 2 + 4, width // 2 : width // 2 + 4].mean(axis=(1, 2, 3))
    return [round(float(level - 10) / 5) for level in middles]


def write(
    path: Path,
    frames: np.ndarray | None = None,
    waveform: np.ndarray | None = None,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    sound_codec: str = "aac",
    sound_rate_hz: int = 16000,
    times_ms: list[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as container:
        pictures = sound = None
        if frames is not None:
            rate = 1000 if times_ms else FPS
            pictures = container.add_stream(codec, rate=rate, options=options or {})
            pictures.height, pictures.width = frames.shape[1:3]
            pictures.pix_fmt = pix_fmt
            if rotation:
                pictures.set_display_rotation(rotation)
        if waveform is not None:
            sound = container.add_stream(sound_codec, rate=sound_rate_hz, layout="mono")
        if pictures is not None and frames is not None:
            for index, frame in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                picture.time_base = Fraction(1, 1000)
                picture.pts = times_ms[index] if times_ms else index * 1000 // FPS
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if sound is not None and waveform is not None:
            wanted = sound.format.name
            resampler = av.AudioResampler(format=wanted, layout="mono", rate=sound_rate_hz)
            chunk = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = sound_rate_hz, 0, Fraction(1, sound_rate_hz)
            for converted in resampler.resample(chunk):
                container.mux(sound.encode(converted))
            container.mux(sound.encode(None))
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def overwrite_middle(path: Path, num_bytes: int = 60) -> Path:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + num_bytes] = bytes(num_bytes)
    path.write_bytes(content)
    return path


def text(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def float_wav(path: Path, samples: np.ndarray) -> Path:
    """RIFF with 32-bit float samples (format tag 3), mono, 16 kHz."""
    data = samples.astype("<f4").tobytes()
    head = b"fmt " + (16).to_bytes(4, "little") + bytes([3, 0, 1, 0]) + (16000).to_bytes(4, "little")
    head += (64000).to_bytes(4, "little") + bytes([4, 0, 32, 0]) + b"data" + len(data).to_bytes(4, "little")
    return text(path, b"RIFF" + (4 + len(head) + len(data)).to_bytes(4, "little") + b"WAVE" + head + data)


def int_wav(path: Path, samples: np.ndarray, rate_hz: int = 16000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as opened:
        opened.setnchannels(channels)
        opened.setsampwidth(2)
        opened.setframerate(rate_hz)
        opened.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def image(path: Path, **options: object) -> Path:
    Image.fromarray(numbered_frames(1, 30, 40)[0]).save(path, **options)
    return path


def turned_jpeg(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be shown turned by 90 degrees clockwise
    return image(path, exif=exif)


def mp3_with_cover(path: Path) -> Path:
    write(path, None, TONE, sound_codec="libmp3lame")
    cover = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(cover, "PNG")
    body = b"\0image/png\0\3\0" + cover.getvalue()
    tag = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes((len(tag) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return text(path, b"ID3\3\0\0" + size + tag + path.read_bytes())


def mp4(path: Path) -> Path:
    write_video(path, numbered_frames(), FPS, TONE)
    return path


def b_frames(path: Path) -> Path:
    return write(path, numbered_frames(), TONE, options={"g": "12", "bf": "3", "preset": "medium"})


def turbulent(path: Path) -> Path:
    """Moving noise, with every kind of reference the encoder supports and a key frame every 15."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT + 40, WIDTH + 40, 3), dtype=np.uint8)
    frames = np.stack([noise[i : i + HEIGHT, i // 2 : i // 2 + WIDTH] for i in range(NUM_FRAMES)])
    return write(path, frames, options={"preset": "slow", "bf": "5", "refs": "5", "g": "15"})


def open_gop(path: Path) -> Path:
    options = {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:b-adapt=0:scenecut=0"}
    return write(path, numbered_frames(), TONE, options=options)


def uneven(path: Path) -> Path:
    """First half of the frames in 1 s, second half in 4 s."""
    return write(path, numbered_frames(), times_ms=[50 * i if i < 20 else 1000 + 200 * (i - 20) for i in range(40)])


def silent_track(path: Path) -> Path:
    """A sound track without a packet beside pictures."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=FPS, options={"b": "8000000"})
        pictures.height, pictures.width, pictures.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        assert sound is not None
        for frame in numbered_frames():
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(pictures.encode(None))
    return path


def subtitles_only(path: Path) -> Path:
    return text(path, b"1\n00:00:00,000 --> 00:00:01,000\nhello\n\n")


def empty_tracks(path: Path) -> Path:
    """A video whose picture track has no frame."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=FPS)
        pictures.height, pictures.width, pictures.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        container.start_encoding()
    return path


PICTURES, SOUND, BOTH = (True, False), (False, True), (True, True)
RIGHT: list[tuple[str, Callable[[Path], Path], tuple[bool, bool]]] = [
    ("plain.mp4", mp4, BOTH),
    ("b_frames.mp4", b_frames, BOTH),
    ("open_gop.mp4", open_gop, BOTH),
    ("b_frames.mkv", b_frames, BOTH),
    ("b_frames.ts", b_frames, BOTH),
    (
        "hevc.mp4",
        lambda p: write(p, numbered_frames(), TONE, codec="libx265", options={"x265-params": "log-level=0"}),
        BOTH,
    ),
    ("vp8.webm", lambda p: write(p, numbered_frames(), codec="libvpx", options={"deadline": "realtime"}), PICTURES),
    ("vp9.webm", lambda p: write(p, numbered_frames(), codec="libvpx-vp9", options={"deadline": "realtime"}), PICTURES),
    (
        "mpeg4_mp3.avi",
        lambda p: write(p, numbered_frames(), TONE, codec="mpeg4", sound_codec="libmp3lame", options={"b": "8000000"}),
        BOTH,
    ),
    (
        "avi_b.avi",
        lambda p: write(p, numbered_frames(), codec="mpeg4", options={"b": "8000000", "bf": "2", "g": "12"}),
        PICTURES,
    ),
    ("uneven.mp4", uneven, PICTURES),
    ("no_sound.mp4", lambda p: write(p, numbered_frames()), PICTURES),
    ("empty_sound.mov", silent_track, PICTURES),
    ("odd.mp4", lambda p: write(p, numbered_frames(40, 47, 63), pix_fmt="yuv444p"), PICTURES),
    ("only_sound.mp4", lambda p: write(p, None, TONE), SOUND),
    ("only_sound.wav", lambda p: int_wav(p, TONE), SOUND),
    ("float.wav", lambda p: float_wav(p, TONE), SOUND),
    ("cover.mp3", mp3_with_cover, SOUND),
    ("colon:name.mp4", mp4, BOTH),
    ("naïve ü.mp4", mp4, BOTH),
]


@pytest.mark.parametrize(("name", "make", "sides"), RIGHT, ids=[row[0] for row in RIGHT])
def test_every_kind_of_clip_gives_its_evenly_sampled_frames_and_its_sound(tmp_path, name, make, sides):
    media = load_media(make(tmp_path / name))
    assert (media.frames is not None, media.waveform is not None) == sides
    if media.frames is not None:
        assert read_numbers(media.frames) == EVENLY
        assert media.frames.shape[1] in (HEIGHT, HEIGHT - 1)
        assert media.frames[0, :8, :8].min() > 200, "the bright corner is not up and left"
    if media.waveform is not None:
        assert media.waveform.dtype == np.float32
        assert len(media.waveform) == pytest.approx(64000, abs=2400)
        spectrum = np.abs(np.fft.rfft(media.waveform[8000:24000]))
        assert int(spectrum.argmax()) == 400  # 16000 samples at 16 kHz: one bin per Hz
        assert np.sqrt(np.mean(media.waveform[8000:24000] ** 2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.05)


WRONG: list[tuple[str, Callable[[Path], Path], str, str]] = [
    ("missing.mp4", lambda p: p, "missing", "check the path"),
    ("folder.mp4", lambda p: p.mkdir() or p, "no-frames", "folder without pictures"),
    ("zero.mp4", lambda p: text(p, b""), "empty", "0 bytes"),
    ("text.mp4", lambda p: text(p, b"no video at all, only words\n" * 50), "not-media", "not a video"),
    ("text.txt", lambda p: text(p, b"no video at all, only words\n" * 50), "not-media", "text"),
    ("playlist.m3u8", lambda p: text(p, b"#EXTM3U\n#EXTINF:4,\nhttp://127.0.0.1:1/a.ts\n"), "not-media", "check"),
    ("noise.mp4", lambda p: text(p, np.random.default_rng(0).bytes(5000)), "not-media", "check"),
    ("index_at_end.mp4", lambda p: cut(write(p, numbered_frames(), TONE)), "truncated", "copy or download"),
    ("index_first.mp4", lambda p: cut(mp4(p), 0.7), "truncated", "stop_s up to"),
    ("half.mkv", lambda p: cut(b_frames(p)), "truncated", "stop_s up to"),
    ("half.wav", lambda p: cut(int_wav(p, TONE)), "truncated", "stop_s up to 1.99"),
    ("half.png", lambda p: cut(image(p)), "truncated", "copy or download"),
    ("half.jpg", lambda p: cut(image(p)), "truncated", "copy or download"),
    ("subtitles.srt", subtitles_only, "no-streams", "neither pictures nor sound"),
    ("no_frames.mp4", empty_tracks, "no-streams", "neither pictures nor sound"),
    ("nan.wav", lambda p: float_wav(p, np.where(np.arange(64000) == 5, np.nan, TONE)), "invalid-samples", "1 of 64000"),
    (
        "inf.wav",
        lambda p: float_wav(p, np.where(np.arange(64000) > 63997, np.inf, TONE)),
        "invalid-samples",
        "2 of 64000",
    ),
]


@pytest.mark.parametrize(("name", "make", "kind", "words"), WRONG, ids=[row[0] for row in WRONG])
def test_every_kind_of_bad_clip_gets_its_own_error(tmp_path, name, make, kind, words):
    with pytest.raises(MediaError, match=words) as caught:
        load_media(make(tmp_path / name))
    assert caught.value.kind == kind
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).kind == kind


@pytest.mark.parametrize(
    ("name", "make"), [("b_frames.mp4", b_frames), ("open_gop.mkv", open_gop), ("turbulent.mp4", turbulent)]
)
def test_frames_equal_those_of_a_decoder_that_skips_nothing(tmp_path, name, make):
    path = make(tmp_path / name)
    with av.open(str(path)) as container:
        every_frame = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames = load_media(path).frames
    assert frames is not None and len(every_frame) == NUM_FRAMES
    np.testing.assert_array_equal(frames, np.stack([every_frame[i] for i in EVENLY]))


def test_damage_in_the_middle_still_gives_every_frame(tmp_path):
    media = load_media(overwrite_middle(b_frames(tmp_path / "damaged.mp4")))
    assert media.frames is not None and media.waveform is not None
    assert media.frames.shape == (8, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("seed", range(25))
def test_a_mutated_file_gives_media_or_a_media_error(tmp_path, seed):
    path = [mp4, b_frames, uneven][seed % 3](tmp_path / "clip.mp4")
    rng, content = np.random.default_rng(seed), bytearray(path.read_bytes())
    for position in rng.integers(0, len(content), 20):
        content[position] = rng.integers(256)
    path.write_bytes(content)
    try:
        media = load_media(path)
    except MediaError:
        return
    assert media.frames is not None or media.waveform is not None


@pytest.mark.parametrize(("name", "options"), [("grey.png", {}), ("photo.jpg", {"quality": 95})])
def test_a_still_image_is_one_frame_without_sound(tmp_path, name, options):
    media = load_media(image(tmp_path / name, **options))
    assert media.frames is not None and media.waveform is None and media.duration_s == 0
    assert np.abs(media.frames.astype(int) - numbered_frames(1, 30, 40)).mean() < 2


def test_a_jpeg_is_turned_by_its_orientation(tmp_path):
    media = load_media(turned_jpeg(tmp_path / "turned.jpg"))
    assert media.frames is not None and media.frames.shape == (1, 40, 30, 3)
    # Turned clockwise, the bright corner goes from the left upper to the right upper corner.
    assert media.frames[0, :5, -4:].min() > 200 and media.frames[0, :5, :4].max() < 60


@pytest.mark.parametrize(
    ("rotation", "shape", "corner"),
    [(-90, (WIDTH, HEIGHT), (0, -1)), (90, (WIDTH, HEIGHT), (-1, 0)), (180, (HEIGHT, WIDTH), (-1, -1))],
)
def test_a_rotation_in_the_header_is_applied(tmp_path, rotation, shape, corner):
    # Minus is clockwise, as phones write upright clips: left upper goes to right upper.
    media = load_media(write(tmp_path / "turned.mp4", numbered_frames(), rotation=rotation))
    assert media.frames is not None and media.frames.shape[1:3] == shape
    bright = [(y, x) for y in (0, -1) for x in (0, -1) if media.frames[0, y, x].min() > 200]
    assert bright == [corner]


def test_an_8k_clip_is_scaled_down_while_it_is_converted(tmp_path):
    with av.open(str(tmp_path / "8k.mp4"), "w") as container:
        pictures = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        pictures.width, pictures.height, pictures.pix_fmt = 7680, 4320, "yuv420p"
        for luma in (60, 160):
            picture = av.VideoFrame(7680, 4320, "yuv420p")
            for plane, level in zip(picture.planes, (luma, 128, 128), strict=True):
                plane.update(bytes([level]) * plane.buffer_size)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
    media = load_media(tmp_path / "8k.mp4")
    assert media.frames is not None and media.frames.shape == (8, 1152, 2048, 3)
    # Studio range to full: (60 - 16) * 255 / 219 = 51 and (160 - 16) * 255 / 219 = 168. One frame each, repeated.
    levels = media.frames.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, [51] * 4 + [168] * 4, atol=3)


def test_a_clip_that_changes_its_size_and_starts_its_clock_again_keeps_the_first_size(tmp_path):
    small, large = (write(tmp_path / f"{w}.ts", numbered_frames(20, h, w)) for h, w in ((48, 64), (96, 128)))
    path = text(tmp_path / "both.ts", small.read_bytes() + large.read_bytes())
    media = load_media(path)
    assert media.frames is not None and media.frames.shape == (8, 48, 64, 3)
    # 40 frames in the file's order, numbered 0 .. 19 twice: the evenly sampled ones, less 20 in the second half.
    assert read_numbers(media.frames) == [2, 7, 12, 17, 2, 7, 12, 17]


def test_a_part_has_its_own_frames_and_sound(tmp_path):
    waveform = TONE.copy()
    waveform[: 16000 * 2] *= 0.1
    path = write(tmp_path / "clip.mp4", numbered_frames(), waveform, options={"g": "12", "bf": "3"})
    media = load_media(path, start_s=1.0, stop_s=3.0, num_frames=4)
    assert media.frames is not None and media.waveform is not None and media.frame_times_s is not None
    # Frames 10 .. 29: 19 / 4 = 4.75 per segment; centres 2.375, 7.125, 11.875, 16.625 -> 2, 7, 12, 17.
    assert read_numbers(media.frames) == [12, 17, 22, 27]
    np.testing.assert_allclose(media.frame_times_s, [1.2, 1.7, 2.2, 2.7], atol=1e-6)
    assert len(media.waveform) == 32000
    assert media.duration_s == pytest.approx(2.0)
    np.testing.assert_allclose(media.waveform, load_media(path).waveform[16000:48000], atol=1e-4)


def test_the_intact_part_of_a_cut_clip_can_be_read(tmp_path):
    path = cut(int_wav(tmp_path / "half.wav", TONE))
    media = load_media(path, stop_s=1.5)
    assert media.waveform is not None and len(media.waveform) == 24000


@pytest.mark.parametrize(("start_s", "stop_s"), [(9.0, None), (2.0, 2.0), (3.0, 1.0), (-1.0, None)])
def test_an_empty_part_is_an_error(tmp_path, start_s, stop_s):
    with pytest.raises(MediaError) as caught:
        load_media(mp4(tmp_path / "clip.mp4"), start_s=start_s, stop_s=stop_s)
    assert caught.value.kind == "no-frames"


@pytest.mark.parametrize(
    ("make", "name", "modality", "kind"),
    [
        (lambda p: int_wav(p, TONE), "a.wav", "video", "no-frames"),
        (lambda p: int_wav(p, TONE), "a.wav", "video+audio", "no-frames"),
        (lambda p: write(p, numbered_frames()), "a.mp4", "audio", "no-sound"),
        (silent_track, "a.mov", "video+audio", "no-sound"),
    ],
)
def test_a_requested_modality_that_is_missing_is_an_error(tmp_path, make, name, modality, kind):
    with pytest.raises(MediaError) as caught:
        load_media(make(tmp_path / name), modality=modality)
    assert caught.value.kind == kind


def test_only_the_asked_side_is_read(tmp_path):
    path = mp4(tmp_path / "clip.mp4")
    assert load_media(path, modality="video").waveform is None
    assert load_media(path, modality="audio").frames is None


def test_stereo_of_another_rate_becomes_mono_of_the_wanted_one(tmp_path):
    left = 0.2 * np.sin(2 * np.pi * 400 / 44100 * np.arange(88200))
    path = int_wav(tmp_path / "stereo.wav", np.stack([left, left], axis=1), 44100, channels=2)
    waveform = load_media(path).waveform
    assert waveform is not None and len(waveform) == pytest.approx(32000, abs=2)
    # sqrt(1/2) * (0.2 + 0.2) = 0.2828
    assert waveform[4000:28000].max() == pytest.approx(0.2828, abs=1e-3)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.wav"])
def test_limited_sound_is_the_beginning_of_the_whole_sound(tmp_path, name):
    make = (lambda p: int_wav(p, TONE)) if name.endswith(".wav") else b_frames
    path = make(tmp_path / name)
    whole, limited = load_media(path), load_media(path, max_sound_s=1.5)
    assert whole.waveform is not None and limited.waveform is not None and len(limited.waveform) == 24000
    np.testing.assert_array_equal(limited.waveform, whole.waveform[:24000])
    if whole.frames is not None:
        np.testing.assert_array_equal(limited.frames, whole.frames)
        assert limited.duration_s == 4.0  # 40 frames at 10 fps
    part = load_media(path, start_s=1.0, stop_s=3.0, max_sound_s=0.5).waveform
    assert part is not None and len(part) == 8000
    np.testing.assert_array_equal(part, load_media(path, start_s=1.0, stop_s=3.0).waveform[:8000])


def test_a_cut_clip_is_an_error_although_the_limited_sound_is_whole(tmp_path):
    with pytest.raises(MediaError, match="stop_s up to 1.99"):
        load_media(cut(int_wav(tmp_path / "half.wav", TONE)), max_sound_s=1)


def test_sound_that_changes_its_channels_within_the_track_is_read_to_its_end(tmp_path):
    tone = np.tile((TONE[:16000] * 32767).astype(np.int16), (2, 1))
    for layout, part in (("mono", tone[:1]), ("stereo", tone)):
        with av.open(str(tmp_path / f"{layout}.aac"), "w", format="adts") as container:
            sound = container.add_stream("aac", rate=16000, layout=layout)
            chunk = av.AudioFrame.from_ndarray(part / np.float32(32768), format="fltp", layout=layout)
            chunk.sample_rate, chunk.pts, chunk.time_base = 16000, 0, Fraction(1, 16000)
            container.mux(sound.encode(chunk))
            container.mux(sound.encode(None))
    path = text(tmp_path / "both.aac", b"".join((tmp_path / f"{n}.aac").read_bytes() for n in ("mono", "stereo")))
    waveform = load_media(path).waveform
    assert waveform is not None and len(waveform) == pytest.approx(32000, abs=5000)
    # Mono stays at 0.25; stereo of the same on both sides is sqrt(1/2) * (0.25 + 0.25) = 0.354.
    assert np.abs(waveform[4000:12000]).max() == pytest.approx(0.25, abs=0.03)
    assert np.abs(waveform[-8000:-2000]).max() == pytest.approx(0.354, abs=0.03)


@pytest.mark.parametrize(
    "arguments", [{"num_frames": 0}, {"sample_rate_hz": 0}, {"modality": "smell"}, {"max_sound_s": 0}]
)
def test_wrong_use_is_no_media_error(tmp_path, arguments):
    with pytest.raises(ConfigError):
        load_media(mp4(tmp_path / "clip.mp4"), **arguments)


def test_frames_and_sound_equal_those_the_official_code_read():
    stored, said = load_file(GOLDEN / "media.safetensors"), json.loads((GOLDEN / "media.json").read_text())
    media = load_media(GOLDEN / "media/sample.mp4")
    assert media.frames is not None and media.waveform is not None
    assert hashlib.sha256(media.frames.tobytes()).hexdigest() == said["frames_u8_sha256"]
    np.testing.assert_allclose(media.waveform[::16], stored["waveform_every16"], atol=1e-6)
    # The official reader (decord) delays 44.1 kHz stereo by 16.7 samples, which the project does not imitate: the
    # spectrum must agree, not the samples.
    stereo, first = load_media(GOLDEN / "media/stereo44k.mp4").waveform, said["stereo44k"]["first_sample"]
    assert stereo is not None
    theirs = stored["stereo44k.waveform"].astype(np.float32)
    spectra = [np.abs(np.fft.rfft(waveform)) for waveform in (stereo[first : first + len(theirs)], theirs)]
    assert np.corrcoef(*spectra)[0, 1] > 0.98
