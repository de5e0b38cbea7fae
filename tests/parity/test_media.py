"""Frames, pictures and sound from files."""

import hashlib

import numpy as np
import pytest
import torch

from parity.golden import TOLERANCE_FEATURES, Golden, Tensors, assert_close
from r1omni.media.decode import Media, load_media
from r1omni.media.sample import sample_frame_indices
from r1omni.model.processing import HumanOmniProcessor, pad_to_square


@pytest.fixture(scope="module")
def clip(golden: Golden) -> Media:
    sampled = golden.json("media.json")["video"]["sampled"]
    return load_media(golden.path("media/sample.mp4"), num_frames=len(sampled))


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _kept(stored: Tensors, name: str) -> tuple[torch.Tensor, int]:
    """A stored tensor, and of how many values along its last axis one is kept: `NAME_every8` keeps every eighth."""
    if name in stored:
        return stored[name], 1
    thinned = next(key for key in stored if key.startswith(f"{name}_every"))
    return stored[thinned], int(thinned.removeprefix(f"{name}_every"))


def test_frame_indices_equal_the_reference(golden: Golden) -> None:
    for name, expected in golden.json("frame_sample.json").items():
        if name.isdigit():
            assert sample_frame_indices(int(name), len(expected)) == expected
        elif name.startswith("uniform_"):
            available, wanted = int(name.split("_")[1]), int(name.split("_")[-1])
            assert sample_frame_indices(available, wanted) == expected
        else:  # one frame a second, from the middle of each second: not offered here
            assert name.startswith("fps_mode")
            assert expected == [12 + 25 * i for i in range(len(expected))]


def test_frames_equal_the_reference_decoder(golden: Golden, clip: Media) -> None:
    stored, said = golden.tensors("media.safetensors"), golden.json("media.json")
    assert sample_frame_indices(said["video"]["n_frames"], len(said["video"]["sampled"])) == said["video"]["sampled"]
    assert clip.frames is not None
    if "frames_u8_sha256" in said:
        assert _sha256(clip.frames) == said["frames_u8_sha256"]
    else:
        assert np.array_equal(clip.frames, stored["frames_u8"].numpy())
        assert np.array_equal(pad_to_square(clip.frames[0]), stored["padded_frame0_u8"].numpy())


@pytest.mark.parametrize(("aspect", "name"), [("pad", "pad"), ("stretch", "none")])
def test_pixels_equal_the_reference_bit_for_bit(
    golden: Golden, processor: HumanOmniProcessor, clip: Media, aspect: str, name: str
) -> None:
    stored, said = golden.tensors("media.safetensors"), golden.json("media.json")
    processor = processor if aspect == "pad" else processor.like_official()
    assert processor.aspect == aspect
    pixels = processor.process_media(clip)["pixel_values"]
    assert list(pixels.shape) == said[f"pixel_values_{name}"]["shape"]
    assert _sha256(pixels.numpy()) == said[f"pixel_values_{name}"]["sha256_f32"]
    if not golden.is_whole:
        return  # the hash is of every pixel; a whole set adds some of them, to see where a difference is
    excerpt = stored[f"pixel_values_{name}_excerpt"]
    rows, cols = excerpt.shape[-2:]
    found = [
        (top, left)
        for top in range(pixels.shape[-2] - rows + 1)
        for left in range(pixels.shape[-1] - cols + 1)
        if torch.equal(pixels[0, 0, top, left : left + cols], excerpt[0, 0, 0])
        and torch.equal(pixels[..., top : top + rows, left : left + cols], excerpt)
    ]
    assert found, "the excerpt is nowhere in our pixels"
    eight_bit = ((pixels[said[f"resized_u8_{name}_frames"]] * 0.5 + 0.5) * 255).round().to(torch.uint8)
    assert torch.equal(eight_bit, stored[f"resized_u8_{name}"])


def test_sound_and_log_mel_equal_the_reference(golden: Golden, processor: HumanOmniProcessor, clip: Media) -> None:
    stored, said = golden.tensors("media.safetensors"), golden.json("media.json")
    assert clip.waveform is not None
    assert clip.sample_rate_hz == said["audio"]["sr"]
    assert len(clip.waveform) == said["audio"]["n_samples"]
    waveform, step = _kept(stored, "waveform")
    assert_close(torch.from_numpy(clip.waveform)[::step], waveform, 1e-6, "waveform")
    features = processor.process_media(clip)["input_features"][None]
    head, step = _kept(stored, "input_features_head")
    heard = said["input_features"]["frames_stored"]
    assert list(features.shape) == said["input_features"]["shape"]
    assert_close(features[..., :heard:step], head, TOLERANCE_FEATURES, "log-mel")
    assert (features[..., heard:] - stored["input_features_tail_const"]).abs().max() <= TOLERANCE_FEATURES
    assert abs(features.max().item() - said["input_features"]["max"]) <= TOLERANCE_FEATURES
    assert abs(features.min().item() - said["input_features"]["min"]) <= TOLERANCE_FEATURES


def test_sound_over_thirty_seconds_is_cut_as_the_reference_cuts_it(
    golden: Golden, processor: HumanOmniProcessor
) -> None:
    stored = golden.tensors("media.safetensors")
    n = np.arange(496_000)
    waveform = (np.sin(0.05 * n).astype(np.float32) * np.linspace(0, 1, len(n), dtype=np.float32)).astype(np.float32)
    media = Media(None, None, waveform, 16_000, len(n) / 16_000)
    ours = processor.process_media(media)["input_features"][None, :, ::50]
    assert_close(ours, stored["long31s_features_every50"], 5e-4, "31 s")


def test_only_like_official_invents_silence(golden: Golden, processor: HumanOmniProcessor, clip: Media) -> None:
    stored, said = golden.tensors("media.safetensors"), golden.json("media.json")["no_audio_fallback"]
    mute = Media(clip.frames, clip.frame_times_s, None, clip.sample_rate_hz, clip.duration_s)
    assert "input_features" not in processor.process_media(mute)
    invented = processor.like_official().process_media(mute)["input_features"]
    assert [1, *invented.shape] == said["shape"]
    assert (invented - said["value"]).abs().max() <= 1e-6
    assert abs(stored["silence_features_value"].item() - said["value"]) <= 1e-6


def test_stereo_is_mixed_at_the_reference_level(golden: Golden, processor: HumanOmniProcessor) -> None:
    """The reference's decoder lags by 16.7 samples; moved back by that, level and shape must agree."""
    stored = golden.tensors("media.safetensors")["stereo44k.waveform"].float().numpy()
    said = golden.json("media.json")["stereo44k"]
    first = said.get("first_sample", 0)  # a part of a set keeps some from the middle
    media = load_media(golden.path("media/stereo44k.mp4"), modality="audio")
    assert media.waveform is not None
    assert media.sample_rate_hz == said["sr"]
    assert abs(len(media.waveform) - said["n_samples"]) <= 64
    length = min(len(media.waveform), said["n_samples"])
    spectrum = np.fft.rfft(media.waveform[:length], 2 * length)
    turn = np.exp(-2j * np.pi * np.arange(len(spectrum)) / (2 * length) * 16.7)
    start, stop = max(first, 2000), min(first + len(stored), length - 2000)
    ours, theirs = np.fft.irfft(spectrum * turn, 2 * length)[start:stop], stored[start - first : stop - first]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999
    assert abs(ours.std() / theirs.std() - 1) < 0.01
    if len(stored) < said["n_samples"]:
        return
    lagging = Media(None, None, stored, media.sample_rate_hz, media.duration_s)
    heard, reference = (processor.process_media(m)["input_features"] for m in (media, lagging))
    assert (heard - reference).abs().mean() < 0.02
