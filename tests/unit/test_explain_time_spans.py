"""What is left out of a clip is not there: frames are dropped, sound is silent, and the towers read it again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from r1omni.core.media_read import MediaRead, PicturesRead, SoundRead
from r1omni.explain.time_spans import leave_out_spans, num_spans
from r1omni.infer.encoder import Encoder
from r1omni.infer.features import Features
from r1omni.media.decode import Media
from small_model import small_model


@pytest.fixture(scope="module")
def encoder():
    model, processor = small_model()
    return Encoder(model.eval(), processor)


def clip(encoder, waveform: np.ndarray | None, times_s: list[float] | None):
    """Features of made arrays, with what the towers read and the times of the frames."""
    rate_hz = encoder.processor.feature_extractor.sampling_rate
    frames = None if times_s is None else np.zeros((len(times_s), 8, 8, 3), np.uint8)
    for shade, frame in enumerate([] if frames is None else frames):
        frame[:] = 20 * shade
    times = None if times_s is None else np.array(times_s)
    media = Media(frames, times, waveform, rate_hz, 2.0)
    inputs = encoder.processor.process_media(media)
    read = MediaRead(
        None if times_s is None else PicturesRead(len(set(times_s)), 2.0),
        None if waveform is None else SoundRead(len(waveform) / rate_hz, len(waveform) / rate_hz),
    )
    return replace(encoder.encode([inputs])[0], read=read), inputs, times


def test_sixteen_prefills_leave_room_for_so_many_spans():
    """(16 - others) / sides, at most 8: (16 - 7) / 2, (16 - 8) / 2, (16 - 3) / 1."""
    assert num_spans(("pictures", "sound"), 7) == 4
    assert num_spans(("pictures", "sound", "subtitle"), 8) == 4
    assert num_spans(("sound",), 3) == 8
    assert num_spans(("subtitle",), 3) == num_spans((), 1) == 0


def test_frames_of_a_span_are_dropped_and_the_spans_cover_the_pictures(encoder):
    """Frames at 0.2, 0.6, 1.0, 1.4 and 1.8 s in two spans: three frames, then two; the border is at 1.2 s."""
    features, inputs, times = clip(encoder, None, [0.2, 0.6, 1.0, 1.4, 1.8])
    first, second = leave_out_spans(encoder, features, inputs, 2, times, 0.0)
    assert [(span.side, span.start_s, span.stop_s) for span in (first, second)] == [
        ("pictures", 0.0, 1.2),
        ("pictures", 1.2, 2.0),
    ]
    assert features.video is not None
    assert torch.equal(first.features.video, features.video[3:])
    assert torch.equal(second.features.video, features.video[:3])


def test_copies_of_a_frame_are_left_out_together_and_two_frames_must_remain(encoder):
    """Frames at 0, 0, 1, 1 and 1 s: without the later ones two copies remain, without the earlier ones three."""
    features, inputs, times = clip(encoder, None, [0.0, 0.0, 1.0, 1.0, 1.0])
    assert [len(span.features.video) for span in leave_out_spans(encoder, features, inputs, 8, times, 0.0)] == [3, 2]
    features, inputs, times = clip(encoder, None, [0.0, 1.0])
    assert leave_out_spans(encoder, features, inputs, 8, times, 0.0) == ()


class HeardSteps(Encoder):
    """Gives the log-mel steps themselves, so that it can be seen what the tower is to read."""

    def encode(self, inputs):
        return [Features(None, entry["input_features"].T.contiguous()) for entry in inputs]


def test_a_span_of_sound_becomes_silence(encoder):
    """Half a second of noise, read from 10 s of the file on; the tower of this model hears 1 s in 100 steps."""
    listener = HeardSteps(encoder.model, encoder.processor)
    waveform = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    features, inputs, _ = clip(listener, waveform, None)
    assert features.audio is not None and len(features.audio) == 100
    loudest = float(features.audio.max())
    found = leave_out_spans(listener, features, inputs, 2, None, 10.0)
    assert [(span.side, span.start_s, span.stop_s) for span in found] == [
        ("sound", 10.0, 10.25),
        ("sound", 10.25, 10.5),
    ]
    for span, first, last in zip(found, (0, 25), (25, 50), strict=True):
        muted = span.features.audio
        assert torch.equal(muted[:first], features.audio[:first]) and torch.equal(muted[last:], features.audio[last:])
        assert torch.all(muted[first:last] == loudest - 2.0)
        assert torch.all(features.audio[first:last].max(dim=1).values > loudest - 1.0)
    # Behind the sound is silence, as the extractor pads it.
    assert float(features.audio[-1].max()) == pytest.approx(loudest - 2.0)


def test_sound_too_short_to_cut_and_a_clip_without_sides_have_no_spans(encoder):
    features, inputs, _ = clip(encoder, np.zeros(800, np.float32), None)
    assert leave_out_spans(encoder, features, inputs, 6, None, 0.0) == ()
    assert leave_out_spans(encoder, Features(None, None), {}, 6, None, 0.0) == ()
