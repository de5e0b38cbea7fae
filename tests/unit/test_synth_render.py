"""Drawn people, voices and clips: parameters have their effect on pictures, sound and reported numbers."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from r1omni.media.decode import load_media
from r1omni.synth.face import CLOTHING_STYLES, FILM, HAIR_STYLES, LANDMARK_NAMES, FacePose, Motion, Person, landmarks
from r1omni.synth.portrait import draw_person
from r1omni.synth.render import ClipSpec, film, render_clip
from r1omni.synth.scene import FURNITURE, LOOKS, PATTERNS, Room, background
from r1omni.synth.subtitle import burn, wrap
from r1omni.synth.voice import Speaker, VoiceStyle, place, prosody, speak

NEUTRAL = FacePose()
SPEAKER = Speaker(voice="en+f2")
SENTENCE = "We met here before."

POSES = {
    "smile": FacePose(mouth_corner=1),
    "crinkled eyes": FacePose(cheek_raise=1, eye_open=-0.3),
    "brows raised": FacePose(brow_inner=1, brow_outer=1),
    "brows lowered": FacePose(brow_lower=1),
    "brows slanted": FacePose(brow_inner=1, brow_outer=-0.6),
    "eyes wide": FacePose(eye_open=1),
    "eyes narrowed": FacePose(eye_open=-0.6),
    "eyes down": FacePose(gaze_down=1, eye_open=-0.3),
    "mouth drooping": FacePose(mouth_corner=-1),
    "jaw dropped": FacePose(mouth_open=1),
    "mouth stretched": FacePose(mouth_stretch=1, mouth_open=0.2),
    "lips pressed": FacePose(lip_press=1),
    "sneer": FacePose(nose_wrinkle=1),
    "smirk": FacePose(mouth_corner=0.5, mouth_corner_asymmetry=1),
    "head dropped": FacePose(head_drop=1),
    "leaning forward": FacePose(lean=1),
    "leaning back": FacePose(lean=-1),
    "head tilted": FacePose(head_tilt=1),
    "shoulders raised": FacePose(shoulders=1),
}


def _spec(**changes: object) -> ClipSpec:
    spec = ClipSpec(
        Person(), Room(furniture="shelf"), FILM, FacePose(mouth_corner=1.0), VoiceStyle(), SPEAKER, SENTENCE
    )
    return replace(spec, **changes)  # pyright: ignore[reportArgumentType]


def _seen_by_the_model(pose: FacePose, person: Person, look: str) -> np.ndarray:
    canvas = background(Room(), LOOKS[look], 192).copy()
    draw_person(canvas, pose, person, LOOKS[look])
    return np.asarray(canvas.resize((64, 64), Image.Resampling.BILINEAR)).astype(float)


def _point(pose: FacePose, name: str) -> np.ndarray:
    return landmarks(pose, Person())[LANDMARK_NAMES.index(name)]


@pytest.mark.parametrize("look", ["film", "studio"])
@pytest.mark.parametrize("person", [Person(), Person(skin=(118, 78, 54), hair=(30, 26, 28))], ids=["light", "dark"])
def test_every_pose_differs_from_every_other_at_64_pixels(person: Person, look: str) -> None:
    pictures = {name: _seen_by_the_model(pose, person, look) for name, pose in {"neutral": NEUTRAL, **POSES}.items()}
    names = list(pictures)
    for index, name in enumerate(names):
        for other in names[:index]:
            changed = np.abs(pictures[name] - pictures[other]).max(axis=2) > 25
            assert changed.sum() >= 12, f"{name} looks like {other}"


def test_smile_raises_both_corners_and_smirk_only_one() -> None:
    rest = [_point(NEUTRAL, f"mouth_corner_{side}")[1] for side in ("left", "right")]
    smile = [_point(FacePose(mouth_corner=1), f"mouth_corner_{side}")[1] for side in ("left", "right")]
    smirk = [_point(FacePose(mouth_corner_asymmetry=1), f"mouth_corner_{side}")[1] for side in ("left", "right")]
    # 0.17 head units of half a head height, 0.285 of the frame: 0.048
    assert np.subtract(rest, smile) == pytest.approx([0.0485, 0.0485], abs=1e-3)
    assert rest[0] == pytest.approx(smirk[0], abs=1e-6)
    assert rest[1] - smirk[1] > 0.04


def test_raised_brows_move_at_least_three_pixels_of_64() -> None:
    raised = FacePose(brow_inner=1, brow_outer=1)
    for part in ("inner", "middle", "outer"):
        moved = _point(NEUTRAL, f"brow_{part}_left")[1] - _point(raised, f"brow_{part}_left")[1]
        assert moved * 64 >= 3.0


def test_landmarks_are_where_the_picture_shows_them() -> None:
    person = Person(eyes=(0, 200, 0))
    for pose in (NEUTRAL, FacePose(head_tilt=1), FacePose(lean=1, head_drop=1)):
        canvas = Image.new("RGB", (384, 384), (255, 255, 255))
        draw_person(canvas, pose, person)
        green = np.argwhere((np.asarray(canvas) == (0, 200, 0)).all(axis=2))[:, ::-1] / 384
        for side in ("left", "right"):
            iris = landmarks(pose, person)[LANDMARK_NAMES.index(f"iris_{side}")]
            nearest = green[np.linalg.norm(green - iris, axis=1) < 0.06]
            assert np.linalg.norm(nearest.mean(axis=0) - iris) < 0.01


def test_blink_closes_the_lids() -> None:
    upper, lower = LANDMARK_NAMES.index("lid_upper_left"), LANDMARK_NAMES.index("lid_lower_left")
    points = landmarks(NEUTRAL, Person(), motion=Motion(blink=1.0))
    opened = landmarks(NEUTRAL, Person())
    assert points[lower, 1] - points[upper, 1] < 0.1 * (opened[lower, 1] - opened[upper, 1])


def test_everyone_can_be_drawn_in_every_room() -> None:
    for index, hair_style in enumerate(HAIR_STYLES):
        for clothing_style in CLOTHING_STYLES:
            person = Person(hair_style=hair_style, clothing_style=clothing_style, glasses=index % 2 == 0)
            canvas = background(Room(), LOOKS["studio"], 64).copy()
            before = np.asarray(canvas).copy()
            draw_person(canvas, NEUTRAL, person, LOOKS["studio"])
            assert (np.asarray(canvas) != before).any(axis=2).mean() > 0.3
    rooms = [Room(pattern=pattern, furniture=piece, lamp=True) for pattern in PATTERNS for piece in FURNITURE]
    pictures = {background(room, FILM, 64).tobytes() for room in rooms}
    assert len(pictures) == len(PATTERNS) * len(FURNITURE)


def test_studio_backdrop_shows_no_room() -> None:
    furnished = Room(pattern="stripes", furniture="shelf", lamp=True)
    studio, film_room = (
        np.asarray(background(furnished, LOOKS[look], 64)).astype(float) for look in ("studio", "film")
    )
    assert np.abs(np.diff(studio, axis=1)).max() <= 2
    assert np.abs(np.diff(film_room, axis=1)).max() > 50


@pytest.mark.parametrize("semitones", [-4.0, 5.0])
def test_pitch_follows_the_style(semitones: float) -> None:
    heard = []
    for style in (VoiceStyle(), VoiceStyle(pitch_semitones=semitones)):
        rows = prosody(speak(SENTENCE, style, SPEAKER), 16000)
        heard.append(float(np.median(rows[rows[:, 2] > 0, 0])))
    assert 12 * (heard[1] - heard[0]) == pytest.approx(semitones, abs=1.0)


def test_flat_voice_has_less_than_a_third_of_the_usual_range() -> None:
    spreads = []
    for style in (VoiceStyle(), VoiceStyle(pitch_range=0.1)):
        rows = prosody(speak(SENTENCE, style, SPEAKER), 16000)
        spreads.append(np.ptp(np.percentile(rows[rows[:, 2] > 0, 0], [5, 95])))
    assert spreads[1] < spreads[0] / 3


def test_soft_and_loud_differ_by_the_decibels_of_the_style() -> None:
    soft, usual = (
        np.sqrt(np.mean(speak(SENTENCE, VoiceStyle(loudness_db=gain), SPEAKER) ** 2)) for gain in (-11.0, 0.0)
    )
    assert 20 * np.log10(usual / soft) == pytest.approx(11.0, abs=1.0)


def test_tremor_shakes_the_level_six_and_a_half_times_a_second() -> None:
    usual, shaking = (np.abs(speak(SENTENCE, VoiceStyle(tremor=t), SPEAKER)) for t in (0.0, 1.0))
    window = np.ones(480) / 480
    ratio = np.convolve(shaking, window, "same") / (np.convolve(usual, window, "same") + 1e-3)
    spectrum = np.abs(np.fft.rfft(ratio - ratio.mean(), 1 << 16))
    frequency_hz = np.fft.rfftfreq(1 << 16, 1 / 16000)
    assert frequency_hz[np.argmax(spectrum)] == pytest.approx(6.5, abs=1.0)


def test_slow_speech_is_longer_and_its_pauses_give_way_to_the_clip() -> None:
    style = VoiceStyle(pace=0.65)
    usual = len(speak(SENTENCE, VoiceStyle(), SPEAKER)) / 16000
    slow = len(speak(SENTENCE, style, SPEAKER)) / 16000
    paused = len(speak(SENTENCE, replace(style, pauses=0.6), SPEAKER)) / 16000
    fitted = len(speak(SENTENCE, replace(style, pauses=0.6), SPEAKER, longest_s=slow + 0.1)) / 16000
    assert slow > 1.3 * usual
    assert paused - slow == pytest.approx(3 * 0.15, abs=0.05)  # three gaps of 0.6 x 0.25 s
    assert fitted == pytest.approx(slow + 0.1, abs=0.05)


def test_a_sentence_sounds_the_same_whatever_was_spoken_before() -> None:
    first = speak(SENTENCE, VoiceStyle(), SPEAKER)
    speak("You lied to me.", VoiceStyle(pace=1.4, breathiness=0.5), Speaker(voice="en+m7"))
    assert np.array_equal(first, speak(SENTENCE, VoiceStyle(), SPEAKER))


def test_missing_synthesiser_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['espeakng_loader'] = None\n"
        "from r1omni.synth.voice import *\n"
        "try: speak('Hello.', VoiceStyle(), Speaker())\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install r1omni[synth]" in done.stdout


def test_prosody_of_a_200_hz_buzz() -> None:
    buzz = np.zeros(16000, np.float32)
    buzz[::80] = 0.5  # 16000 / 80 = 200 Hz: one octave above 100; mean square 0.25 / 80 = -25.05 dBFS
    rows = prosody(buzz, 16000)[5:-5]
    assert rows.shape == (40, 3)
    assert np.median(rows[:, 0]) == pytest.approx(1.0, abs=0.03)
    assert np.median(rows[:, 1]) == pytest.approx(-25.05, abs=0.5)
    assert (rows[:, 2] > 0.9).all()


def test_silence_is_unvoiced() -> None:
    rows = prosody(place(np.zeros(100, np.float32), 0.1, 1.0, 16000, seed=0), 16000)
    assert (rows[:, 2] == 0).all()
    assert rows[:-5, 1].max() < -55


def test_subtitle_wraps_to_two_lines_and_leaves_out_what_does_not_fit() -> None:
    assert wrap("She is gone.", 92) == ["She is gone."]
    assert len(wrap("Kids are talking by the door.", 92)) == 2
    assert len(wrap("one two three four five six seven eight nine ten eleven twelve thirteen", 60)) == 2


def test_subtitle_is_bright_on_a_dark_strip_at_the_bottom() -> None:
    frames = np.full((2, 96, 96, 3), 200, np.uint8)
    burn(frames, "Get out of here.")
    assert (frames[:, :85] == 200).all()
    assert frames[:, -9:].max() == 245
    assert np.median(frames[:, -9:]) == 50  # 200 / 4


def test_pose_rises_from_neutral_to_the_apex() -> None:
    spec = _spec(onset=0.3, pose_apex=FacePose(mouth_open=1.0))
    _, points = film(spec, np.full(120, -90.0))
    gap = points[:, LANDMARK_NAMES.index("lip_lower_top"), 1] - points[:, LANDMARK_NAMES.index("lip_upper_bottom"), 1]
    assert gap[:5].max() < 0.05  # before 0.3 x 2.4 s x 8 fps = frame 5.8 only speech moves the mouth
    assert gap[9:].min() > 0.1


def test_clip_file_contains_the_pictures_and_the_sound(tmp_path) -> None:
    path = tmp_path / "clip.mp4"
    geometry = render_clip(_spec(), path)
    media = load_media(path, num_frames=19)
    assert media.frames is not None and media.frames.shape == (19, 96, 96, 3)
    assert media.waveform is not None and len(media.waveform) / 16000 == pytest.approx(2.4, abs=0.1)
    assert geometry.landmarks.shape == (19, len(LANDMARK_NAMES), 2)
    assert geometry.voice is not None and geometry.voice.shape == (120, 3)
    assert ((geometry.landmarks > -0.2) & (geometry.landmarks < 1.2)).all()


def test_equal_specs_give_equal_pictures_and_another_seed_others() -> None:
    level_dbfs = np.full(120, -30.0)
    first, same, other = (film(_spec(seed=seed), level_dbfs)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
