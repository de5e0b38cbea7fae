"""The controls and rows of the table, worked by hand on invented predictions."""

from pathlib import Path

import pytest
import torch

from r1omni.core.clip import Clip
from r1omni.reproduce.examples import knowledge_examples
from r1omni.reproduce.table1 import controls, hallucination_rate, table_row
from r1omni.reproduce.tower_targets import eye_aligned, relative_pitch, tremor_share, voice_functionals
from r1omni.scoring.prediction import Prediction
from r1omni.synth.face import LANDMARK_NAMES
from r1omni.synth.words import describe, read_claims
from r1omni.synth.world import PATTERNS, Noise
from r1omni.train.training_data import reasoned_examples


def made_clip(emotion: str, pattern: int = 0) -> Clip:
    cues = dict(PATTERNS[emotion][pattern])  # pyright: ignore[reportArgumentType]
    return Clip(
        emotion, Path("x.mp4"), label=emotion, reasoning=describe(cues), meta={"cues": cues, "emotion": emotion}
    )


def made_prediction(clip: Clip, reasoning: str | None) -> Prediction:
    return Prediction(clip.id, clip.label, "", reasoning=reasoning)


def test_hallucination_is_the_share_of_false_claims() -> None:
    clips = [made_clip("happy"), made_clip("sad")]
    # happy has level brows and a high pitch; sad has slanted brows: 1 of 3 claims is false.
    texts = ["In the video, level brows. In the audio, high pitch.", "In the video, raised brows."]
    predictions = [made_prediction(clip, text) for clip, text in zip(clips, texts, strict=True)]
    assert hallucination_rate(clips, predictions) == pytest.approx(100 / 3)


def test_hallucination_is_undefined_without_a_claim() -> None:
    clip = made_clip("happy")
    assert hallucination_rate([clip], [made_prediction(clip, None)]) is None


def test_the_reader_of_true_claims_reaches_the_reader_of_cues() -> None:
    clips = [made_clip("happy"), made_clip("sad"), made_clip("angry", 1), made_clip("angry", 2)]
    figures = controls("dfew-like", clips, [made_prediction(c, c.reasoning) for c in clips], Noise())
    assert figures == {"claims_per_answer": 9.0, "claims_reader": 100.0, "cues_reader": 100.0, "prior": 50.0}


def test_a_row_keeps_undefined_figures_undefined() -> None:
    scores = {
        "war": 12.345,
        "uar": None,
        "oov_rate": 0.0,
        "format_rate": 0.0,
        "num_clips": 3,
        "war_interval": None,
        "uar_interval": None,
    }
    row = table_row("base", "dfew-like", scores, None)
    assert (row["war"], row["uar"], row["hallucination_rate"], row["num_clips"]) == (12.35, None, None, 3)


def test_knowledge_is_read_but_only_the_feeling_is_learnt() -> None:
    examples = knowledge_examples(50, seed=0, noise=Noise())
    assert all(example.clip is None and read_claims(example.given) for example in examples)
    assert all(not read_claims(example.answer) for example in examples)
    assert examples == knowledge_examples(50, seed=0, noise=Noise())


def test_a_reasoned_example_has_the_papers_tags() -> None:
    clip = made_clip("fear")
    (example,) = reasoned_examples([clip])
    assert example.answer == f"<think>{clip.reasoning}</think>\n<answer>fear</answer>"


def test_eye_alignment_removes_where_how_large_and_how_tilted_a_face_is() -> None:
    points = torch.rand(1, len(LANDMARK_NAMES), 2, generator=torch.Generator().manual_seed(0))
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    moved = 1.7 * points @ turn.T + torch.tensor([0.3, -0.2])
    assert torch.allclose(eye_aligned(moved), eye_aligned(points), atol=1e-4)
    left = eye_aligned(points)[0, LANDMARK_NAMES.index("eye_outer_left")]
    assert torch.allclose(left, torch.tensor([-0.5, 0.0]), atol=1e-5)


def test_voice_functionals_of_a_steady_voice() -> None:
    # Two voiced stretches of two steps, 1 octave up and at -20 dBFS: 4 of 6 steps voiced, one onset after the start.
    voice = torch.tensor([[1.0, -20.0, 1.0], [1.0, -20.0, 1.0], [0.0, -60.0, 0.0], [1.0, -20.0, 1.0]])
    voice = torch.cat([voice, torch.tensor([[1.0, -20.0, 1.0], [0.0, -60.0, 0.0]])])
    expected = torch.tensor([1.0, 0.0, 0.0, 0.0, -20.0, 4 / 6, 1.0])
    torch.testing.assert_close(voice_functionals(voice)[:7], expected)


def test_a_tremor_is_distinguished_from_the_rhythm_of_syllables() -> None:
    seconds = torch.arange(100) * 0.02
    assert float(tremor_share(torch.sin(2 * torch.pi * 6.5 * seconds))) > 0.95
    assert float(tremor_share(torch.sin(2 * torch.pi * 3.5 * seconds))) < 0.05


def test_relative_pitch_is_against_the_speakers_own_mean() -> None:
    relative = relative_pitch(torch.tensor([1.0, 2.0, 3.0, 5.0]), torch.tensor([0, 0, 2, 2]))
    torch.testing.assert_close(relative, torch.tensor([-0.5, 0.5, -1.0, 1.0]))
