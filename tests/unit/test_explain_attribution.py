"""What an answer rests on, against rows scored one by one, and with as few prefills as promised."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from r1omni.core.answer_format import AnswerFormat
from r1omni.core.instruction import REASONING_INSTRUCTION, format_answer, with_text_field
from r1omni.explain.attribution import AnsweredClip, LeftOut, attribute, retell
from r1omni.infer.features import ClipText
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.infer.scorer import Scorer
from small_model import LABELS, MadeUpFeatures, small_clips, small_model

REASONS = "the voice is loud, brows are raised\nso angry"
TEXT = format_answer(REASONS, "Angry")
ALL = frozenset({"pictures", "sound", "subtitle", "reasons"})


@pytest.fixture(scope="module")
def parts():
    model, processor = small_model()
    return model.eval(), processor


@pytest.fixture(scope="module")
def features(parts):
    return MadeUpFeatures(*parts).encoder.features(small_clips(3))


def entry(features, words: str | None = None, **others) -> AnsweredClip:
    if words is not None:
        features = replace(features, text=ClipText("Subtitle", words, "pictures"))
    return AnsweredClip(features, REASONING_INSTRUCTION, TEXT, **others)


def directly(parts, features, instruction: str) -> float:
    """log p(angry | instruction, empty reasons), among LABELS and in the case that the answer has."""
    empty = "<think></think>\n<answer>"
    candidates = ["Angry", *(label for label in LABELS if label != "angry")]
    rows = [logprobs(parts, features, instruction, empty, f"{label}</answer>") for label in candidates]
    return torch.tensor(rows).log_softmax(0)[0].item()


def logprobs(parts, features, instruction: str, given: str, text: str) -> float:
    """log p(text | instruction, given), each row scored by itself; the border falls between tokens."""
    model, processor = parts
    whole, head = processor.text_ids(given + text), processor.text_ids(given)
    assert whole[: len(head)] == head
    ((row,),) = Scorer(model, processor).score([Prompt.ask(instruction, features)], [[whole]])
    return sum(row[len(head) :])


def test_values_are_the_answers_log_probability_given_what_is_in_the_coalition(parts, features):
    """All 16 coalitions of a clip with four players; the words stay where the pictures that they were read in go."""
    both = features[0]
    asked = entry(both, words="so sad")
    (found,) = attribute(Scorer(*parts, batch_size=3), [asked], LABELS)
    assert found is not None and found.answer == "Angry" and len(found.values) == 16
    for has_pictures, has_sound, has_subtitle, has_reasons in product([False, True], repeat=4):
        names = zip(
            ("pictures", "sound", "subtitle", "reasons"),
            (has_pictures, has_sound, has_subtitle, has_reasons),
            strict=True,
        )
        members = frozenset(name for name, has in names if has)
        given = replace(both, video=both.video if has_pictures else None, audio=both.audio if has_sound else None)
        instruction = (
            with_text_field(REASONING_INSTRUCTION, "Subtitle", "so sad") if has_subtitle else REASONING_INSTRUCTION
        )
        expected = (
            logprobs(parts, given, instruction, TEXT[: TEXT.index("Angry")], "Angry</answer>")
            if has_reasons
            else directly(parts, given, instruction)
        )
        assert found.values[members] == pytest.approx(expected, abs=1e-4), members
    assert sum(found.shapley.values()) == pytest.approx(found.values[ALL] - found.values[frozenset()])


def test_four_players_take_8_prefills_and_spans_one_each(parts, features):
    """8 + 3 prompts pass the language model, in batches of 4."""
    model, processor = parts
    spans = tuple(LeftOut("sound", start, start + 1.0, features[0]) for start in (0.0, 1.0, 2.0))
    asked = entry(features[0], words="so sad", left_out=spans)
    counts = []
    handle = model.language_model.layers[0].register_forward_pre_hook(lambda _, args: counts.append(args[0].shape[0]))
    (found,) = attribute(Scorer(model, processor, batch_size=4), [asked])
    handle.remove()
    assert counts == [4, 4, 3] and found is not None and found.num_prefills == 11
    with pytest.raises(ValueError, match="at most 16 prefills"):
        attribute(Scorer(model, processor), [replace(asked, left_out=spans * 3)])


def test_players_are_those_that_the_clip_has(parts, features):
    """Clips of both sides, sound alone and pictures alone; a label-only text has no reasons."""
    both, sound, pictures = features
    found = attribute(Scorer(*parts), [entry(both), entry(sound), entry(pictures), replace(entry(both), text="angry")])
    assert [None if one is None else one.players for one in found] == [
        ("pictures", "sound", "reasons"),
        ("sound", "reasons"),
        ("pictures", "reasons"),
        ("pictures", "sound"),
    ]
    assert [len(one.words) for one in found if one is not None] == [9, 9, 9, 0]


def test_a_text_without_an_answer_has_no_attribution(parts, features):
    broken = replace(entry(features[0]), text="<think>so sad</think>")
    assert attribute(Scorer(*parts), [broken, entry(features[0])])[0] is None


def test_clips_do_not_change_each_other(parts, features):
    alone = attribute(Scorer(*parts), [entry(features[1])])[0]
    beside = attribute(Scorer(*parts), [entry(features[0]), entry(features[1])])[1]
    assert alone is not None and beside is not None
    assert beside.shapley == pytest.approx(alone.shapley, abs=1e-4)


def test_words_lean_by_the_difference_that_a_side_makes(parts, features):
    """A word's log-probability after all words before it, with the side and without; the leans cover the reasons."""
    both = features[0]
    (found,) = attribute(Scorer(*parts), [entry(both)])
    assert found is not None
    assert [REASONS[word.start : word.stop] for word in found.words] == REASONS.split()
    before = TEXT[: TEXT.index("loud")].rstrip()
    for side, missing in (("pictures", both.without("pictures")), ("sound", both.without("sound"))):
        expected = [logprobs(parts, given, REASONING_INSTRUCTION, before, " loud") for given in (both, missing)]
        assert found.words[3].leans[side] == pytest.approx(
            expected[0] - expected[1] + found_comma(parts, both, missing), abs=1e-3
        )


def found_comma(parts, both, missing) -> float:
    """The comma behind the word belongs to it."""
    before = TEXT[: TEXT.index(",")]
    return logprobs(parts, both, REASONING_INSTRUCTION, before, ",") - logprobs(
        parts, missing, REASONING_INSTRUCTION, before, ","
    )


def test_the_curve_is_the_loss_without_a_span_with_and_without_reasons(parts, features):
    both = features[0]
    assert both.audio is not None
    muted = replace(both, audio=torch.zeros_like(both.audio))
    (found,) = attribute(Scorer(*parts), [entry(both, left_out=(LeftOut("sound", 0.5, 1.0, muted),))], LABELS)
    assert found is not None
    (span,) = found.curve
    before = TEXT[: TEXT.index("Angry")]
    after = logprobs(parts, both, REASONING_INSTRUCTION, before, "Angry</answer>")
    after -= logprobs(parts, muted, REASONING_INSTRUCTION, before, "Angry</answer>")
    without = directly(parts, both, REASONING_INSTRUCTION) - directly(parts, muted, REASONING_INSTRUCTION)
    assert (span.side, span.start_s, span.stop_s) == ("sound", 0.5, 1.0)
    assert span.directly == pytest.approx(without, abs=1e-4)
    assert span.after_reasons == pytest.approx(after, abs=1e-4)
    assert span.effect == pytest.approx((without + after) / 2, abs=1e-4)


def test_json_names_coalitions_by_their_players(parts, features):
    (found,) = attribute(Scorer(*parts), [entry(features[1])])
    assert found is not None
    record = found.to_json()
    assert list(record["values"]) == ["", "reasons", "sound", "sound+reasons"]
    assert record["clip_shares"] == {"sound": 1.0}
    assert set(record["words"][0]["leans"]) == {"sound"}


def test_reasons_behind_the_answer_are_no_player(parts, features):
    """In a format that answers first, what follows cannot have moved the answer."""
    processor = parts[1].with_answer_format(AnswerFormat.spelled("emotion:answer,why"))
    text = "<emotion>sad</emotion>\n<why>the voice is loud</why>"
    (found,) = attribute(Scorer(parts[0], processor), [replace(entry(features[0]), text=text)])
    assert found is not None and found.players == ("pictures", "sound") and found.words == ()


def test_reasons_written_anew_from_each_set_of_sides_carry_the_answer(parts, features):
    """w(S): after the reasons of S; with an output without tags, without reasons; with all, after its own."""
    both = features[0]
    nothing, pictures, sound = frozenset(), frozenset({"pictures"}), frozenset({"sound"})
    retold = {nothing: "no tags", pictures: format_answer("so happy", "happy"), sound: format_answer("so sad", "sad")}
    (found,) = attribute(Scorer(*parts, batch_size=3), [entry(both, retold=retold)], LABELS)
    assert found is not None and found.num_prefills == 7
    expected = {
        nothing: directly(parts, both.without("pictures").without("sound"), REASONING_INSTRUCTION),
        pictures: logprobs(
            parts, both.without("sound"), REASONING_INSTRUCTION, "<think>so happy</think>\n<answer>", "Angry</answer>"
        ),
        sound: logprobs(
            parts, both.without("pictures"), REASONING_INSTRUCTION, "<think>so sad</think>\n<answer>", "Angry</answer>"
        ),
        pictures | sound: found.values[frozenset({"pictures", "sound", "reasons"})],
    }
    for members, value in expected.items():
        assert found.retold_values[members] == pytest.approx(value, abs=1e-4), members
    gain = expected[pictures | sound] - expected[nothing]
    assert sum(found.retold.values()) == pytest.approx(gain, abs=1e-3)
    assert found.clip_shares != attribute(Scorer(*parts), [entry(both)], LABELS)[0].clip_shares


def test_the_model_reasons_anew_from_all_that_it_was_given_but_the_whole(parts, features):
    """Two sides make three sets, one makes one; with three things, or without reasons, nothing is written."""
    both, sound, _ = features
    asked = [entry(both), entry(sound), entry(both, words="so sad"), replace(entry(both), text="angry")]
    generator = MadeUpFeatures(*parts).generator
    found = retell(generator, asked, 4)
    assert [len(texts) for texts in found] == [3, 1, 0, 0]
    prompt = Prompt.ask(REASONING_INSTRUCTION, both.without("sound"))
    ((completion,),) = generator.run([prompt], Sampling(max_tokens=4))
    assert found[0][frozenset({"pictures"})] == completion.text
