"""Longer clips in windows: which windows, how their answers are joined, and what is said of them."""

import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from explained_clips import bundled_engine
from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.media_read import MediaRead, PicturesRead, SoundRead
from r1omni.core.window_answer import WindowAnswer
from r1omni.infer.clip_answers import ClipAnswer, answer_clips
from r1omni.infer.clip_windows import join_windows, window_spans, windows_of
from r1omni.infer.engine import build_engine
from r1omni.infer.predict_files import predict_files
from r1omni.media.decode import load_media
from r1omni.media.encode import write_video
from r1omni.scoring.prediction import Said
from small_model import small_model

LABELS = ("happy", "sad", "angry")
RATE_HZ = 16000
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(
    ("start_s", "length_s", "window_s", "expected"),
    [
        (0.0, 2.0, 3.0, [(0, 2)]),
        (0.0, 3.0, 3.0, [(0, 3)]),
        (0.0, 3.1, 3.0, [(0, 3.1)]),  # a tenth of a second is no window of its own
        (0.0, 3.2, 3.0, [(0, 3), (0.2, 3.2)]),
        (0.0, 6.0, 3.0, [(0, 3), (3, 6)]),
        (0.0, 12.4, 3.0, [(0, 3), (3, 6), (6, 9), (9, 12), (9.4, 12.4)]),
        (2.5, 7.0, 3.0, [(2.5, 5.5), (5.5, 8.5), (6.5, 9.5)]),
        (0.0, 70.25, 30.0, [(0, 30), (30, 60), (40.25, 70.25)]),
        (0.0, 0.0, 3.0, [(0, 0)]),
    ],
)
def test_windows_follow_one_another_and_the_last_ends_with_the_part(start_s, length_s, window_s, expected):
    assert window_spans(start_s, length_s, window_s) == expected


def write_sound(path: Path, num_seconds: float, amplitude: float = 0.5) -> Path:
    samples = np.sin(np.arange(round(num_seconds * RATE_HZ)) / 20) * amplitude
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def write_browser_recording(path: Path, num_seconds: int) -> Path:
    """WebM as browsers record it: no length anywhere."""
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.full((1, num_seconds * 48000), 0.25, np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        resampler = av.AudioResampler("flt", "mono", 48000, frame_size=960)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def parts(clips: list[Clip]) -> list[tuple[float | None, float | None]]:
    return [(clip.start_s, clip.stop_s) for clip in clips]


def test_a_clips_own_part_is_split_and_nothing_beyond_it(tmp_path):
    clip = Clip("call", write_sound(tmp_path / "call.wav", 9.5))
    assert parts(windows_of(clip, 3.0)) == [(0, 3), (3, 6), (6, 9), (6.5, 9.5)]
    assert parts(windows_of(replace(clip, start_s=2.0), 3.0)) == [(2, 5), (5, 8), (6.5, 9.5)]
    assert parts(windows_of(replace(clip, start_s=2.0, stop_s=6.0), 3.0)) == [(2, 5), (3, 6)]
    assert len({window.id for window in windows_of(clip, 3.0)}) == 4


def test_a_clip_that_is_short_or_cannot_be_read_stays_as_it_is(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    short = write_sound(tmp_path / "short.wav", 3.0)
    cut = write_sound(tmp_path / "cut.wav", 9.0)
    cut.write_bytes(cut.read_bytes()[:100_000])
    for path in (short, cut, tmp_path / "text.mp4", tmp_path / "missing.mp4"):
        clip = Clip(path.stem, path)
        assert windows_of(clip, 3.0) == [clip]


def test_a_recording_that_does_not_say_how_long_it_is_is_split_to_its_end(tmp_path):
    clip = Clip("recording", write_browser_recording(tmp_path / "a.webm", 7))
    *first, last = windows_of(clip, 3.0)
    assert parts(first) == [(0, 3), (3, 6)] and last.stop_s == pytest.approx(7.0, abs=0.05)


def test_the_longer_side_decides_and_a_folder_of_pictures_has_its_own_rate(tmp_path):
    pictures = np.zeros((60, 32, 32, 3), np.uint8)
    write_video(tmp_path / "long.mp4", pictures, 10, np.full(2 * RATE_HZ, 0.1, np.float32))
    clip = Clip("long", tmp_path / "long.mp4")
    assert len(windows_of(clip, 3.0)) == len(windows_of(clip, 3.0, "video")) == 2
    assert windows_of(clip, 3.0, "audio") == [clip]
    (tmp_path / "folder").mkdir()
    for number in range(12):
        Image.new("RGB", (8, 8)).save(tmp_path / "folder" / f"{number}.png")
    folder = Clip("folder", tmp_path / "folder", meta={"frame_rate_fps": 2})
    assert parts(windows_of(folder, 4.0)) == [(0, 4), (2, 6)]


def window(start_s: float, stop_s: float, answer: str | None, **probabilities: float) -> WindowAnswer:
    read = MediaRead(PicturesRead(8, stop_s - start_s), SoundRead(stop_s - start_s, stop_s - start_s))
    return WindowAnswer(start_s, stop_s, f"<answer>{answer}</answer>", None, answer, probabilities, read)


def test_probabilities_are_weighed_by_the_seconds_that_no_window_before_covers():
    windows = [
        window(0, 3, "sad", happy=0.1, sad=0.6, angry=0.3),
        window(3, 6, "happy", happy=0.7, sad=0.2, angry=0.1),
        window(4, 7, "happy", happy=0.5, sad=0.1, angry=0.4),
    ]
    joined = join_windows(windows, LABELS)
    # weights 3, 3, 1: happy (0.3 + 2.1 + 0.5) / 7, sad (1.8 + 0.6 + 0.1) / 7, angry (0.9 + 0.3 + 0.4) / 7
    assert joined.probabilities == pytest.approx({"happy": 2.9 / 7, "sad": 2.5 / 7, "angry": 1.6 / 7})
    assert joined.answer_window == 1  # of the windows that say happy, the one that is surest


def test_a_label_that_no_window_answered_is_not_the_clips():
    windows = [
        window(0, 3, "happy", happy=0.55, sad=0.0, angry=0.45),
        window(3, 6, "sad", happy=0.0, sad=0.55, angry=0.45),
    ]
    joined = join_windows(windows, LABELS)
    assert joined.probabilities["angry"] == pytest.approx(0.45)  # the highest mean, and no reasons for it
    assert joined.answer_window == 0  # a tie between what was answered: the earliest


def test_a_synonym_counts_as_its_label_and_other_words_do_not():
    windows = [
        window(0, 3, "bliss", happy=0.2, sad=0.3, angry=0.5),
        window(3, 6, "Sadness", happy=0.1, sad=0.8, angry=0.1),
    ]
    assert join_windows(windows, LABELS).answer_window == 1


def test_without_a_label_set_the_answer_of_most_seconds_wins_and_the_earliest_of_equals():
    words = ["awe", "bliss", "bliss", None, None, None]
    windows = [window(3.0 * place, 3.0 * place + 3, word) for place, word in enumerate(words)]
    joined = join_windows(windows, None)
    assert (joined.answer_window, dict(joined.probabilities)) == (1, {})
    assert join_windows([windows[0], windows[1]], None).answer_window == 0
    assert join_windows(windows[3:], None).answer_window == 0
    # outside the label set likewise: 3 s of awe against 3 + 1 s of bliss
    odd = [windows[0], windows[1], window(4, 7, "bliss")]
    assert join_windows(odd, LABELS).answer_window == 1


def test_a_window_that_cannot_be_read_has_no_say():
    broken = WindowAnswer(3, 6, error="call.wav: no sound between 3 and 6 s")
    windows = [window(0, 3, "sad", happy=0.0, sad=1.0, angry=0.0), broken, window(6, 9, "happy", happy=1.0)]
    joined = join_windows(windows, LABELS)
    assert joined.probabilities == {"happy": 0.5, "sad": 0.5, "angry": 0.0}
    assert joined.read.sound is not None and (joined.read.sound.used_s, joined.read.sound.total_s) == (6, 9)


def test_what_was_read_of_the_windows_is_put_together():
    first = MediaRead(PicturesRead(8, 3.0), SoundRead(3.0, 3.0, ((2.5, 3.0),), 1, True, "sound track 2 of 2"))
    last = MediaRead(
        PicturesRead(8, 3.0), SoundRead(3.0, 3.0, ((2.0, 2.5), (4.0, 4.5)), 2, False, "sound track 2 of 2")
    )
    joined = join_windows([replace(window(0, 3, "sad"), read=first), replace(window(2, 5, "sad"), read=last)], None)
    assert joined.read == MediaRead(
        PicturesRead(16, 5.0), SoundRead(5.0, 5.0, ((2.0, 3.0), (4.0, 4.5)), 3, False, "sound track 2 of 2")
    )


@pytest.fixture(scope="module")
def engine():
    return build_engine(*small_model(), keeps=False)  # hears one second


@pytest.fixture
def long(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (25, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "long.mp4", frames, 10, rng.uniform(-0.5, 0.5, 40000).astype(np.float32))
    return tmp_path / "long.mp4"


def answers(engine, clips: list[Clip], **options) -> list[ClipAnswer]:
    return list(answer_clips(engine, clips, "Which?", labels=LABELS, max_tokens=4, **options))


def test_each_window_is_answered_as_if_it_were_a_clip_of_its_own(engine, long):
    (said,) = answers(engine, [Clip("long", long)], in_windows=True)
    spans = [(window.start_s, window.stop_s) for window in said.windows]
    assert spans == [(0, 1), (1, 2), (1.5, 2.5)]
    for (start_s, stop_s), found in zip(spans, said.windows, strict=True):
        (alone,) = answers(engine, [Clip("part", long, start_s=start_s, stop_s=stop_s)])
        assert found.text == alone.text and found.read == alone.read
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
    assert said.answer_window is not None and said.text == said.windows[said.answer_window].text
    means = {
        label: sum(w * found.probabilities[label] for w, found in zip((1, 1, 0.5), said.windows, strict=True)) / 2.5
        for label in LABELS
    }
    assert said.probabilities == pytest.approx(means)
    assert said.read.sound is not None and said.read.sound.used_s == said.read.sound.total_s == 2.5


def test_batches_do_not_change_what_windows_say(long, tmp_path):
    clips = [Clip("long", long), Clip("missing", tmp_path / "none.mp4"), Clip("part", long, stop_s=1.0)]
    model, processor = small_model()
    found = []
    for batch_size in (1, 2, 32):
        made = build_engine(model, processor, EngineSection(batch_size=batch_size), keeps=False)
        found.append(answers(made, clips, in_windows=True))
    for said in found:
        assert [len(entry.windows) for entry in said] == [3, 0, 1]
        assert isinstance(said[1].error, MediaError) and said[1].error.kind == "missing"
        assert [entry.text for entry in said] == [entry.text for entry in found[0]]
        assert (said[2].windows[0].start_s, said[2].windows[0].stop_s) == (0, 1)


def test_predictions_hold_windows_where_they_were_asked_for(engine, long):
    (whole,) = predict_files(engine, [long], labels=LABELS, max_new_tokens=4)
    record = whole.record()
    assert "windows" not in record and record["read"]["sound"] == {
        "used_s": 1.0,
        "total_s": 2.5,
        "gaps_s": [],
        "num_damaged_packets": 0,
        "is_silent": False,
        "track": None,
    }
    assert whole.note == f"{long}: the model heard the first 1.0 of 2.5 s of sound."
    (joined,) = predict_files(engine, [long], labels=LABELS, max_new_tokens=4, in_windows=True)
    record = joined.record()
    assert joined.note is None and record["answer_window"] == joined.answer_window
    assert set(record["windows"][0]) == {"start_s", "stop_s", "reasoning", "answer", "probabilities", "read"}
    assert record["windows"][2]["start_s"] == 1.5 and set(record["windows"][2]["probabilities"]) == set(LABELS)


def test_a_window_comes_back_from_json():
    found = window(0, 3, "sad", sad=0.75)
    assert WindowAnswer.from_json(found.to_json()) == replace(found, text=None)
    broken = WindowAnswer(3, 6, error="no sound")
    assert WindowAnswer.from_json(broken.to_json()) == broken
    assert Said("text").windows == ()


def test_the_bundled_model_answers_twelve_seconds_by_windows(tmp_path: Path):
    """It hears 3 s; five joined clips of 2.4 s are four windows, heard to the end."""
    frames, sounds = [], []
    for name in ("made-angry.mp4", "made-neutral.mp4", "made-angry.mp4", "made-neutral.mp4", "made-angry.mp4"):
        media = load_media(GOLDEN / name, num_frames=24)
        assert media.frames is not None and media.waveform is not None
        frames.append(media.frames)
        sounds.append(np.resize(media.waveform, round(2.4 * RATE_HZ)))
    write_video(tmp_path / "long.mp4", np.concatenate(frames), 10, np.concatenate(sounds), RATE_HZ)
    engine = bundled_engine()
    (beginning,) = predict_files(engine, [tmp_path / "long.mp4"])
    (whole,) = predict_files(engine, [tmp_path / "long.mp4"], in_windows=True)
    assert beginning.read.sound is not None and beginning.read.sound.used_s == pytest.approx(3.0, abs=0.01)
    assert whole.read.sound is not None and whole.read.sound.used_s == pytest.approx(12.0, abs=0.1)
    assert [window.start_s for window in whole.windows[:4]] == [0.0, 3.0, 6.0, pytest.approx(9.0, abs=0.1)]
    assert all(window.answer and window.reasoning for window in whole.windows)
    assert whole.answer_window is not None and whole.answer == whole.windows[whole.answer_window].answer
    assert sum(whole.probabilities.values()) == pytest.approx(1)
