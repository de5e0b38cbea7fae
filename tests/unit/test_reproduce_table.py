"""The controls and rows of the table, worked by hand on invented predictions."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from r1omni.core.clip import Clip
from r1omni.core.instruction import parse_answer
from r1omni.reproduce.examples import SEEN, caption_examples, knowledge_examples
from r1omni.reproduce.table1 import controls, hallucination_rate, one_sided_row, table_row
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


def test_one_side_counts_claims_about_the_absent_side() -> None:
    clips = [made_clip("happy"), made_clip("sad")]
    texts = ["In the video, level brows. In the audio, high pitch, normal pace.", "In the video, slanted brows."]
    predictions = [made_prediction(clip, text) for clip, text in zip(clips, texts, strict=True)]
    scores = {"war": 50.0, "uar": 50.0, "war_interval": [0.0, 100.0], "uar_interval": None, "num_clips": 2}
    row = one_sided_row("r1-omni", "dfew-like", "sound", scores, clips, predictions, Noise())
    # 2 of 4 claims, in 1 of 2 texts.
    assert (row["absent_claims"], row["absent_texts"], row["claims_per_answer"]) == (50.0, 50.0, 2.0)
    # From faces and words alone, both are told apart.
    assert (row["war"], row["cues_reader"]) == (50.0, 100.0)


def test_a_model_without_reasons_invents_nothing() -> None:
    clip = made_clip("happy")
    scores = {"war": 100.0, "uar": 100.0, "war_interval": None, "uar_interval": None, "num_clips": 1}
    row = one_sided_row("label-sft", "dfew-like", "sound", scores, [clip], [made_prediction(clip, None)], Noise())
    assert (row["absent_claims"], row["claims_reader"]) == (None, None)


def test_captions_of_one_side_name_its_cues_and_the_words_where_they_can_be_read() -> None:
    clip = made_clip("happy")
    (example,) = caption_examples([clip])
    assert set(read_claims(example.one_sided["sound"])) == {*SEEN["pictures"], "words"}
    assert set(read_claims(example.one_sided["pictures"])) == {*SEEN["sound"], "words"}
    (silent,) = caption_examples([replace(clip, meta={**clip.meta, "subtitled": False})])
    assert set(read_claims(silent.one_sided["sound"])) == set(SEEN["pictures"])


def test_answered_knowledge_ends_in_the_tags_and_learns_nothing_but_the_conclusion() -> None:
    for example in knowledge_examples(20, 0, Noise(), one_sided=1.0, answered=1.0):
        answer = parse_answer(example.given + example.answer)
        assert answer.well_formed and answer.reasoning is not None
        assert answer.reasoning.endswith(f"The person feels {answer.answer}.")
        assert not read_claims(example.answer)
        assert set(read_claims(example.given)) in ({*SEEN["pictures"], "words"}, {*SEEN["sound"], "words"})
