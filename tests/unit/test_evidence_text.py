"""Subtitles and marks drawn on frames, and how lines are joined over time."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from r1omni.evidence.speech import SpeechSpan
from r1omni.evidence.subtitles import TextReader, TextTrack
from r1omni.evidence.transcript import LONGEST_CHUNK_S, chunks, words_of


@pytest.fixture(scope="module")
def reader() -> TextReader:
    pytest.importorskip("rapidocr")
    return TextReader()


def frame(*texts: tuple[str, float, float], shade: int = 70) -> np.ndarray:
    """Return a 640 x 360 picture with texts, each around a centre given in shares of width and height."""
    image = Image.new("RGB", (640, 360), (shade, shade, shade + 20))
    draw = ImageDraw.Draw(image)
    for text, x, y in texts:
        place = (x * 640, y * 360)
        draw.text(place, text, "white", ImageFont.load_default(22), anchor="mm", stroke_width=2, stroke_fill="black")
    return np.asarray(image)


def seen(reader: TextReader, frames: list[np.ndarray], step_s: float = 0.5) -> list[tuple[str, str, float, float]]:
    duration_s = len(frames) * step_s
    track = TextTrack(reader, duration_s)
    for index, picture in enumerate(frames):
        track.add((index + 0.5) * step_s, picture)
    return [(item.name, str(item.value), item.start_s, item.stop_s) for item in track.items((0.0, duration_s))]


def test_a_subtitle_is_read_with_its_span(reader: TextReader):
    said = frame(("You lied to me.", 0.5, 0.9))
    assert seen(reader, [frame()] * 2 + [said] * 4 + [frame()] * 2) == [("subtitle", "You lied to me.", 1.0, 3.0)]


def test_two_subtitles_one_after_the_other_are_two(reader: TextReader):
    found = seen(reader, [frame(("Where were you?", 0.5, 0.9))] * 3 + [frame(("I was at home.", 0.5, 0.9))] * 3)
    assert [text for _, text, _, _ in found] == ["Where were you?", "I was at home."]
    assert found[0][3] == pytest.approx(found[1][2])


def test_two_lines_shown_together_are_one_subtitle(reader: TextReader):
    both = frame(("I never said that", 0.5, 0.82), ("you had to leave.", 0.5, 0.92))
    assert [text for _, text, _, _ in seen(reader, [both] * 3)] == ["I never said that you had to leave."]


@pytest.mark.parametrize(("x", "y"), [(0.88, 0.08), (0.12, 0.08), (0.88, 0.92)])
def test_words_that_stay_in_a_corner_are_a_mark_and_no_subtitle(reader: TextReader, x: float, y: float):
    frames = [frame(("NEWS24", x, y), shade=70 + 20 * (index % 2)) for index in range(6)]
    assert [(name, text) for name, text, _, _ in seen(reader, frames)] == [("mark", "NEWS24")]


def test_a_subtitle_over_a_mark_is_read_apart_from_it(reader: TextReader):
    frames = [frame(("NEWS24", 0.88, 0.08)), *[frame(("NEWS24", 0.88, 0.08), ("Come here.", 0.5, 0.9))] * 4]
    assert [(name, text) for name, text, _, _ in seen(reader, frames)] == [
        ("subtitle", "Come here."),
        ("mark", "NEWS24"),
    ]


def test_words_of_a_single_frame_and_single_letters_are_not_reported(reader: TextReader):
    assert seen(reader, [frame(), frame(("You lied to me.", 0.5, 0.9)), frame(), frame()]) == []
    assert seen(reader, [frame(("V", 0.5, 0.9))] * 4) == []


def test_pictures_without_words_have_no_subtitle(reader: TextReader):
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), dtype=np.uint8)
    assert seen(reader, [noise, noise, np.zeros_like(noise)]) == []


def test_a_small_picture_is_enlarged_before_it_is_read(reader: TextReader):
    small = Image.fromarray(frame(("You lied to me.", 0.5, 0.9))).resize((320, 180), Image.Resampling.BOX)
    assert [text for _, text, _, _ in seen(reader, [np.asarray(small)] * 3)] == ["You lied to me."]


def test_stretches_of_speech_are_joined_up_to_what_whisper_hears_at_once():
    spans = [SpeechSpan(0.0, 3.0, 1.0), SpeechSpan(4.0, 6.0, 1.0), SpeechSpan(20.0, 25.0, 1.0)]
    assert chunks(spans) == [(0.0, 6.0), (20.0, 25.0)]
    assert chunks([SpeechSpan(1.0, 61.0, 1.0)]) == [
        (1.0, 1.0 + LONGEST_CHUNK_S),
        (1.0 + LONGEST_CHUNK_S, 1.0 + 2 * LONGEST_CHUNK_S),
        (1.0 + 2 * LONGEST_CHUNK_S, 61.0),
    ]
    assert chunks([]) == []


def test_whispers_names_of_sounds_are_no_words():
    assert words_of(" Hi, I'm Jon. [LAUGHTER] (wind blowing) ♪ Bye. ") == "Hi, I'm Jon. Bye."
    assert words_of(" [LAUGHTER]") == ""
