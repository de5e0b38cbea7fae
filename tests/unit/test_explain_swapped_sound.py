"""Answers to a clip with another one's sound: who gives it, and what is compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.instruction import REASONING_INSTRUCTION, format_answer
from r1omni.explain.attribution import AnsweredClip
from r1omni.explain.swapped_sound import choose_donors, swap_sound
from r1omni.infer.features import ClipText
from r1omni.infer.prompt import Prompt, Sampling
from small_model import MadeUpFeatures, small_model


@pytest.fixture(scope="module")
def engine():
    model, processor = small_model()
    return MadeUpFeatures(model.eval(), processor)


def clip(name: str) -> Clip:
    return Clip(name, Path(f"/made-up/{name}.mp4"))


def test_a_donor_is_the_next_clip_with_sound_and_another_answer():
    """The second clip has no sound, the fifth no answer; the circle goes on at the first."""
    answers = ["happy", "sad", "happy", "sad", None]
    assert choose_donors(answers, [True, False, True, True, True]) == [3, None, 3, 0, None]
    assert choose_donors(["happy", "happy"], [True, True]) == [None, None]
    assert choose_donors([], []) == []


def test_the_answer_is_that_to_the_own_pictures_with_the_donors_sound(engine):
    own, donor = engine.encoder.features([clip("1"), clip("2")])
    mixed = replace(own, audio=donor.audio)
    ((completion,),) = engine.generator.run([Prompt.ask(REASONING_INSTRUCTION, mixed)], Sampling(max_tokens=6))
    expected = engine.answer_format.parse(completion.text).answer
    heard = replace(own, text=ClipText("Transcript", "so sad", "sound"))
    same = AnsweredClip(heard, REASONING_INSTRUCTION, expected or "")
    other = AnsweredClip(own, REASONING_INSTRUCTION, format_answer("so", "happy"))
    first, second = swap_sound(engine, [same, other], [clip("2"), clip("2")], 6)
    assert first is not None and second is not None
    assert (first.donor, first.answer, first.is_changed) == ("2", expected, False)
    assert (second.answer, second.is_changed) == (expected, True)


def test_without_sound_or_donor_nothing_is_tried(engine):
    silent, heard = engine.encoder.features([clip("v-1"), clip("1")])
    asked = [AnsweredClip(entry, REASONING_INSTRUCTION, "happy") for entry in (silent, heard, heard, heard)]
    donors = [clip("2"), None, clip("v-2"), clip("x-2")]
    assert swap_sound(engine, asked, donors, 4) == [None, None, None, None]
