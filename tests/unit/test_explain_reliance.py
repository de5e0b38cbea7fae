"""Reader 2 and reliance on the reasons: what is scored after what, and with how many prefills."""

import pytest

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.instruction import REASONING_INSTRUCTION, format_answer
from r1omni.explain.attribution import AnsweredClip
from r1omni.explain.reading import has_reasons, read_alone
from r1omni.explain.reliance import _variants, measure_reliance, other_outputs
from r1omni.infer.features import NO_FEATURES
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer
from small_model import LABELS, MadeUpFeatures, small_clips, small_model

FIRST = format_answer("The voice is loud. The brows are raised.", "angry")
SECOND = format_answer("The mouth is closed.", "sad")


@pytest.fixture(scope="module")
def parts():
    model, processor = small_model()
    return model.eval(), processor


@pytest.fixture(scope="module")
def features(parts):
    return MadeUpFeatures(*parts).encoder.features(small_clips(2))


def test_reasons_are_cut_replaced_and_turned_round():
    first, second = _variants(PAPER_FORMAT, [FIRST, SECOND], other_outputs(PAPER_FORMAT, [FIRST, SECOND]))
    assert first is not None and second is not None
    assert first.cut == ["<think></think>\n<answer>", "<think>The voice is loud. </think>\n<answer>"]
    assert first.replaced == "<think>The mouth is closed.</think>\n<answer>"
    assert first.turned in (
        "<think>The voice is soft. The brows are raised.</think>\n<answer>",
        "<think>The voice is loud. The brows are lowered.</think>\n<answer>",
    )
    assert second.replaced == first.own
    assert second.turned == "<think>The mouth is open.</think>\n<answer>"


def test_reasons_are_replaced_by_those_for_another_answer():
    same = format_answer("The tone is calm.", "angry")
    assert other_outputs(PAPER_FORMAT, [FIRST, same, SECOND]) == [SECOND, SECOND, FIRST]
    assert other_outputs(PAPER_FORMAT, [FIRST, same, "no reasons"]) == [same, FIRST, None]
    assert other_outputs(PAPER_FORMAT, [FIRST, FIRST]) == [None, None]


def test_a_quotation_is_one_sentence_and_other_formats_keep_their_tags():
    answer_format = AnswerFormat(("context", "think", "answer"))
    text = '<context>A room.</context>\n<think>He says "Go. Now." He smiles.</think>\n<answer>happy</answer>'
    (variant,) = _variants(answer_format, [text], other_outputs(answer_format, [text]))
    assert variant is not None
    assert variant.cut == [
        "<context></context>\n<think></think>\n<answer>",
        "<context>A room.</context>\n<think></think>\n<answer>",
        '<context>A room.</context>\n<think>He says "Go. Now." </think>\n<answer>',
    ]
    assert variant.replaced is None


def test_an_output_without_reasons_has_nothing_to_rely_on(parts, features):
    assert not has_reasons(PAPER_FORMAT, "angry") and not has_reasons(PAPER_FORMAT, "<answer>angry</answer>")
    asked = [AnsweredClip(features[0], "Which emotion?", "angry")]
    scorer = Scorer(*parts)
    assert measure_reliance(scorer, asked, LABELS) == [None]
    assert read_alone(scorer, asked, LABELS) == [None]


def test_the_model_reads_reasons_without_the_clip(parts, features):
    scorer = Scorer(*parts, batch_size=2)
    asked = [AnsweredClip(features[place], REASONING_INSTRUCTION, text) for place, text in enumerate((FIRST, SECOND))]
    alone = read_alone(scorer, asked, LABELS)
    expected = scorer.label_probabilities([Prompt.ask(REASONING_INSTRUCTION, NO_FEATURES)] * 2, [FIRST, SECOND], LABELS)
    for row, other in zip(alone, expected, strict=True):
        assert row == pytest.approx(other, abs=1e-5)
    with_clip = scorer.label_probabilities([Prompt.ask(REASONING_INSTRUCTION, features[0])], [FIRST], LABELS)[0]
    assert with_clip != pytest.approx(alone[0], abs=1e-6)


def test_every_variant_takes_one_prefill_in_batches(parts, features):
    """The first answer has 1 + 2 + 1 + 1 texts, the second 1 + 1 + 1 + 1: nine rows, four at a time."""
    model, processor = parts
    asked = [AnsweredClip(features[place], REASONING_INSTRUCTION, text) for place, text in enumerate((FIRST, SECOND))]
    counts = []
    handle = model.language_model.layers[0].register_forward_pre_hook(lambda _, args: counts.append(args[0].shape[0]))
    first, second = measure_reliance(Scorer(model, processor, batch_size=4), asked, LABELS)
    handle.remove()
    assert counts == [4, 4, 1]
    assert first is not None and second is not None and len(first.cut) == 2 and len(second.cut) == 1
    scorer = Scorer(model, processor)
    for entry, found in ((asked[0], first), (asked[1], second)):
        (row,) = scorer.label_probabilities([Prompt.ask(entry.instruction, entry.features)], [entry.text], LABELS)
        assert found.own == max(row, key=row.__getitem__)
