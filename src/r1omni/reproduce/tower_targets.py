"""Pretraining of the towers on synthetic clips: their inputs and their targets.

Clips are decoded once: what the projector trains on, the features of the frozen tower, goes into the cache that later
stages read.

The targets are rendering parameters and measurements, never the names of cues: landmarks of the face relative to
the picture and to the eyes, curves of the voice, and functionals over the utterance as in paralinguistic feature sets.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from r1omni.config.scale import TowerSettings
from r1omni.core.clip import Clip
from r1omni.core.media_read import MediaRead
from r1omni.infer.encoder import Encoder
from r1omni.media.sample import sample_frame_indices
from r1omni.model.processing import HumanOmniProcessor
from r1omni.synth.corpus import targets_path
from r1omni.synth.face import LANDMARK_NAMES
from r1omni.synth.voice import PROSODY_STEP_S
from r1omni.train.tower_pretraining import train_tower

Report = Callable[[str, float], None]

SEEN_CLASSES = ("sentence", "room", "clothing")
"""What the vision tower classifies besides faces; the sentence is read from the subtitle."""
HEARD_CLASSES = ("sentence", "speaker")
_TREMOR_HZ = (5.0, 8.0)
_MODULATION_HZ = (2.0, 15.0)


def train_vision(
    encoder: Encoder,
    clips: list[Clip],
    tower: TowerSettings,
    projector: TowerSettings,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Train the vision tower, then its projector over the frozen tower, on the same targets.

    Args:
        encoder: over the model, which is changed in place; its cache receives the features of the trained tower.
        clips: clips with rendering parameters.
        tower: the tower's settings.
        projector: the projector's settings.
        seed: seeds the order of the examples and the initial heads.
        report: called with the part in training and the share done.

    Returns:
        The final explained variance of each; see `train_tower`.
    """
    model, learn = encoder.model, partial(_learn, seed, report)
    config = model.config
    (pictures, landmarks), reads = _read(clips, lambda clip: _pictures(clip, encoder))
    classes = class_ids(clips, SEEN_CLASSES)
    tokens = config.grid_patches**2
    facts = learn(
        "towers: vision",
        tower,
        lambda x: model.encode_video(x.unsqueeze(1).float().div_(127.5).sub_(1)).squeeze(1),
        model.vision_tower,
        pictures.flatten(0, 1),
        landmarks.flatten(0, 1)[:, None].expand(-1, tokens, -1),
        {name: ids.repeat_interleave(config.num_frames) for name, ids in classes.items()},
    )
    values = _pixel_values(encoder.processor)
    seen = _encode(encoder, clips, reads, lambda part: values[pictures[part].int()], "pixel_values")
    evenly = torch.full((1, 3), 1 / 3)
    projected = learn(
        "projectors: video",
        projector,
        lambda x: model.projector(x, evenly.expand(len(x), 3)),
        model.projector,
        seen,
        landmarks.repeat_interleave(config.video_tokens_per_frame, 1),
        classes,
    )
    return {"vision": facts, "projector": projected}


def train_audio(
    encoder: Encoder,
    clips: list[Clip],
    tower: TowerSettings | None,
    projector: TowerSettings,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Train the audio tower, then its projector over the frozen tower; arguments and result as in `train_vision`.

    Without settings of its own the tower stays as it is, and the result says nothing of it.
    """
    model, learn = encoder.model, partial(_learn, seed, report)
    num_tokens = encoder.processor.audio_tokens
    (sounds, curves, measures), reads = _read(clips, lambda clip: _sound(clip, encoder))
    speakers = class_ids(clips, ("speaker",))["speaker"]
    measures = torch.cat([measures, relative_pitch(measures[:, 0], speakers)[:, None]], dim=1)
    targets = torch.cat([curves, measures[:, None].expand(-1, num_tokens, -1)], dim=-1)
    classes = class_ids(clips, HEARD_CLASSES)
    facts: dict[str, Any] = {}
    if tower is not None:
        facts["audio"] = learn("towers: audio", tower, model.encode_audio, model.audio_tower, sounds, targets, classes)
    heard = _encode(encoder, clips, reads, lambda part: sounds[part], "input_features")
    projected = learn(
        "projectors: audio",
        projector,
        model.audio_projector,
        model.audio_projector,
        heard,
        targets,
        classes,
    )
    return facts | {"audio_projector": projected}


def _learn(seed: int, report: Report, name: str, settings: TowerSettings, *examples: Any) -> dict[str, float]:
    """Train a part on its examples and report its progress by name; see `train_tower`."""

    def tell(row: dict[str, float]) -> None:
        report(name, row["step"] / row["num_steps"])

    return train_tower(*examples, settings=settings, seed=seed, on_step=tell)


def class_ids(clips: list[Clip], names: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the class ids of each clip for `sentence` or for a field of the clips' meta."""
    sentences = sorted({clip.subtitle or "" for clip in clips})
    return {
        name: torch.tensor(
            [sentences.index(clip.subtitle or "") if name == "sentence" else int(clip.meta[name]) for clip in clips]
        )
        for name in names
    }


def _read(
    clips: list[Clip], read: Callable[[Clip], tuple[tuple[Tensor, ...], MediaRead]]
) -> tuple[tuple[Tensor, ...], list[MediaRead]]:
    """Return what `read` gives of the clips, each of its tensors stacked, and what was read of each clip."""
    with ThreadPoolExecutor(1) as ahead:
        rows, reads = zip(*ahead.map(read, clips), strict=True)
    return tuple(torch.stack(column) for column in zip(*rows, strict=True)), list(reads)


def _encode(
    encoder: Encoder, clips: list[Clip], reads: list[MediaRead], inputs: Callable[[slice], Tensor], name: str
) -> Tensor:
    """Return the features of one side of the clips, [clips, ...], and keep them in the encoder's cache.

    Args:
        encoder: over the model.
        clips: the clips.
        reads: what was read of each.
        inputs: what the tower reads of a range of the clips.
        name: of these inputs, as `process_media` has it.
    """
    features: list[Tensor] = []
    for start in range(0, len(clips), encoder.batch_size):
        part = slice(start, start + encoder.batch_size)
        decoded = [{name: tensor} for tensor in inputs(part)]
        for found in encoder.encode_decoded(clips[part], decoded, reads[part]):
            side = found.video if name == "pixel_values" else found.audio
            assert side is not None
            features.append(side)
    return torch.stack(features)


def _pixel_values(processor: HumanOmniProcessor) -> Tensor:
    """Return what the processor makes of each level of an 8-bit picture, [256], to the bit."""
    size_px = processor.image_processor.size["height"]
    levels = np.resize(np.arange(256, dtype=np.uint8), (size_px, size_px, 3))
    return processor.image_processor([levels], return_tensors="pt")["pixel_values"][0].movedim(0, -1).flatten()[:256]


def _pictures(clip: Clip, encoder: Encoder) -> tuple[tuple[Tensor, Tensor], MediaRead]:
    """Return 8-bit pictures [frames, 3, image, image] and the landmarks of each, [frames, targets]."""
    inputs, read = encoder.load_inputs(clip, "video")
    pictures = ((inputs["pixel_values"] + 1) * 127.5).round().to(torch.uint8)
    with np.load(targets_path(clip)) as targets:
        landmarks = torch.from_numpy(targets["landmarks"]).float()
    landmarks = landmarks[sample_frame_indices(len(landmarks), encoder.num_frames)]
    return (pictures, torch.cat([landmarks, eye_aligned(landmarks)], dim=1).flatten(1)), read


def _sound(clip: Clip, encoder: Encoder) -> tuple[tuple[Tensor, Tensor, Tensor], MediaRead]:
    """Return log-mels [mels, mel_frames]; mean and deviation of pitch, level and voicing per token; functionals."""
    inputs, read = encoder.load_inputs(clip, "audio")
    with np.load(targets_path(clip)) as targets:
        voice = torch.from_numpy(targets["voice"]).float()
    # The curves have a step every 20 ms, as the tower before its pooling; after the clip's end the input is silence.
    pool, num_tokens = encoder.model.config.audio_pool, encoder.processor.audio_tokens
    steps = pool * num_tokens
    silence = torch.tensor([0.0, float(voice[:, 1].min()), 0.0]).expand(max(0, steps - len(voice)), 3)
    curves = torch.cat([voice, silence])[:steps].unflatten(0, (num_tokens, pool))
    targets = torch.cat([curves.mean(1), curves.std(1)], dim=-1)
    return (inputs["input_features"], targets, voice_functionals(voice)), read


def voice_functionals(voice: Tensor) -> Tensor:
    """Return functionals of a whole utterance, as in paralinguistic feature sets; not normalised by speaker.

    Args:
        voice: [steps, 3], every 20 ms: octaves above 100 Hz, level in dBFS, voicing.

    Returns:
        [9]: mean, deviation and 10-90 % range of the pitch, deviation of its steps, mean level, voiced share, voiced
        onsets, and the share of 5 to 8 Hz in the modulation of the level and of the pitch.
    """
    voiced = voice[:, 2] > 0.5
    if int(voiced.sum()) < 3:
        return torch.zeros(9)
    pitch, level = voice[voiced, 0], voice[voiced, 1]
    spread = torch.quantile(pitch, torch.tensor([0.1, 0.9])).diff()[0]
    onsets = (voiced[1:] & ~voiced[:-1]).sum()
    places = voiced.nonzero()[:, 0]
    first, last = int(places[0]), int(places[-1]) + 1
    between = np.interp(np.arange(first, last), places.numpy(), pitch.numpy())
    return torch.stack(
        [
            pitch.mean(),
            pitch.std(),
            spread,
            pitch.diff().std(),
            level.mean(),
            voiced.float().mean(),
            onsets.float(),
            tremor_share(voice[first:last, 1]),
            tremor_share(torch.from_numpy(between).float()),
        ]
    )


def tremor_share(curve: Tensor) -> Tensor:
    """Return the share of 5 to 8 Hz, the range of vocal tremor, in a curve's modulation between 2 and 15 Hz.

    Args:
        curve: [steps], every 20 ms.
    """
    length = max(256, len(curve))
    window = torch.hann_window(len(curve))
    power = torch.fft.rfft((curve - curve.mean()) * window, length).abs().square()
    frequency_hz = torch.fft.rfftfreq(length, PROSODY_STEP_S)

    def within(low: float, high: float) -> Tensor:
        return power[(frequency_hz >= low) & (frequency_hz < high)].sum()

    return within(*_TREMOR_HZ) / within(*_MODULATION_HZ).clamp_min(1e-6)


def relative_pitch(pitch: Tensor, speakers: Tensor) -> Tensor:
    """Return pitch relative to the speaker's mean, the usual normalisation by speaker.

    Args:
        pitch: [clips], octaves.
        speakers: [clips], the speaker of each.
    """
    usual = torch.stack([pitch[speakers == speaker].mean() for speaker in range(int(speakers.max()) + 1)])
    return pitch - usual[speakers]


def eye_aligned(landmarks: Tensor) -> Tensor:
    """Return landmarks relative to the eyes: their midpoint at 0, their outer corners at unit distance on the x axis.

    The position of a face masks its expression: a raised brow shifts by less than a leaning head.

    Args:
        landmarks: [frames, landmarks, 2], fractions of the frame.
    """
    left, right = (landmarks[:, LANDMARK_NAMES.index(f"eye_outer_{side}")] for side in ("left", "right"))
    axis = right - left
    across = axis / axis.square().sum(-1, keepdim=True)
    down = torch.stack([-across[:, 1], across[:, 0]], dim=-1)
    centred = landmarks - ((left + right) / 2)[:, None]
    return torch.stack([(centred * across[:, None]).sum(-1), (centred * down[:, None]).sum(-1)], dim=-1)
