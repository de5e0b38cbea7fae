"""Sides taken away in training: which, how often, and what is then taught and graded."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from r1omni.core.clip import Clip
from r1omni.core.instruction import parse_answer
from r1omni.infer.features import Features
from r1omni.train.examples_order import ExampleOrder, tokenise
from r1omni.train.one_sided import drawn_side, reasons_without
from r1omni.train.rollout import Reward, Sampler
from r1omni.train.training_data import label_examples, reasoned_examples
from small_model import MadeUpFeatures, small_clips, small_model

REASONS = (
    "In the video, her brows are raised. In the audio, the voice is loud. In the text, alarming words. "
    "The person feels fear."
)


def test_reasons_lose_what_they_say_of_the_absent_side() -> None:
    assert reasons_without(REASONS, "sound") == (
        "In the video, her brows are raised. In the text, alarming words. The person feels fear."
    )
    assert reasons_without(REASONS, "pictures") == (
        "In the audio, the voice is loud. In the text, alarming words. The person feels fear."
    )


def test_a_sentence_that_opens_the_absent_side_goes_too() -> None:
    text = "In the audio there is something odd. Her brows are raised."
    assert reasons_without(text, "sound") == "Her brows are raised."


def test_reasons_of_which_nothing_checkable_is_left_teach_nothing() -> None:
    assert reasons_without("The voice is loud. The person feels angry.", "sound") is None


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_examples_loses_a_side_each_side_as_often(share: float) -> None:
    drawn = Counter(drawn_side(share, {"pictures", "sound"}, f"a/{place}") for place in range(2000))
    # Standard errors of 2,000 draws are below .011.
    assert drawn["pictures"] / 2000 == pytest.approx(share / 2, abs=0.05)
    assert drawn["sound"] / 2000 == pytest.approx(share / 2, abs=0.05)
    assert drawn_side(1.0, (), "a") is None


def test_reasoned_examples_name_what_is_left_of_one_side() -> None:
    clip = Clip(id="0", path=Path("0.mp4"), label="fear", reasoning=REASONS)
    (example,) = reasoned_examples([clip])
    assert set(example.one_sided) == {"pictures", "sound"}
    answer = parse_answer(example.one_sided["sound"])
    assert (answer.reasoning, answer.answer, answer.well_formed) == (reasons_without(REASONS, "sound"), "fear", True)


def test_epochs_take_away_different_sides_and_without_a_share_none() -> None:
    engine = MadeUpFeatures(*small_model())
    rows = tokenise(label_examples(small_clips(12)), engine, 64)
    order = ExampleOrder(rows, step_size=12, seed=1, one_sided=0.5)
    epochs = [{row.example.clip.id: row.lacking for row in order.batch(step) if row.example.clip} for step in range(4)]
    assert len({tuple(sorted(epoch.items(), key=str)) for epoch in epochs}) == 4
    assert {side for epoch in epochs for side in epoch.values()} == {None, "pictures", "sound"}
    again = ExampleOrder(rows, step_size=12, seed=1, one_sided=0.5).batch(2)
    assert {row.example.clip.id: row.lacking for row in again if row.example.clip} == epochs[2]
    assert all(row.lacking is None for row in ExampleOrder(rows, step_size=12, seed=1).batch(0))


def test_sampled_groups_are_graded_by_the_sides_that_were_shown() -> None:
    engine = MadeUpFeatures(*small_model())
    seen: list[tuple[str, str | None]] = []

    def note(answer: object, clip: Clip, lacking: str | None) -> float:
        seen.append((clip.id, lacking))
        return 0.0

    sampler = Sampler(
        engine,
        [Reward("note", note)],
        "Which?",
        num_generations=2,
        temperature=1.0,
        max_completion_length=2,
        one_sided=1.0,
    )
    clips = small_clips(12)
    groups = sampler.sample(clips, "key")
    assert seen == [(group.clip.id, group.lacking) for group in groups for _ in range(2)]
    for group, features in zip(groups, engine.encoder.features(clips), strict=True):
        assert isinstance(features, Features)
        if features.modality != "video+audio":  # nothing is taken from a clip with one side
            assert group.lacking is None and group.prompt.features.modality == features.modality
            continue
        assert group.lacking is not None
        kept, expected = group.prompt.features, features.without(group.lacking)
        assert kept.modality == expected.modality == {"sound": "video", "pictures": "audio"}[group.lacking]
        for own, wanted in ((kept.video, expected.video), (kept.audio, expected.audio)):
            assert own is wanted or (own is not None and wanted is not None and torch.equal(own, wanted))
