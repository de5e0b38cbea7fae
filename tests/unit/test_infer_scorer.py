"""Log-probabilities of given answers, and of labels, against plain rows of their own."""

import math

import pytest
import torch

from r1omni.core.message import Message
from r1omni.infer.features import NO_FEATURES, Features
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer, common_length, pad_answers, release_towers
from r1omni.model.adapters import beneath_adapters
from small_model import LABELS, MadeUpFeatures, small_clips, small_model

END = "<|im_end|>"
ANSWERS = [[[40, 41, 42], [50]], [[60, 61]], [[70], [71, 72], [73, 74, 75, 76]], []]


@pytest.fixture(scope="module")
def parts():
    model, processor = small_model()
    return model.eval(), processor


@pytest.fixture(scope="module")
def prompts(parts) -> list[Prompt]:
    both, no_pictures, no_sound = MadeUpFeatures(*parts).encoder.features(small_clips(3))
    talk = (
        Message("system", "Be brief."),
        Message("user", "Which?"),
        Message("assistant", "sad"),
        Message("user", "Why?"),
    )
    return [
        Prompt.ask("Which emotion?", both),
        Prompt(talk, no_pictures, prefix="<think>so"),
        Prompt.ask("Which?", no_sound),
        Prompt.ask("Who?", NO_FEATURES),
    ]


def plain(model, processor, prompt: Prompt, ids: list[int], temperature: float = 1.0) -> torch.Tensor:
    """A row of its own through the model, with nothing shared, padded or packed."""
    features = prompt.features
    frames = 0 if features.video is None else len(features.video)
    text = processor.process_text(
        [prompt.messages], [frames > 0], [features.audio is not None], [frames], prefixes=[prompt.prefix]
    )
    embeds = model.embed_prompt(**text, video_features=[features.video], audio_features=[features.audio])
    row = torch.cat([embeds, model.language_model.embed_tokens(torch.tensor([ids]))], dim=1)
    hidden = model.language_model(inputs_embeds=row, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, embeds.shape[1] - 1 : -1]) / temperature
    return logits.log_softmax(-1).gather(-1, torch.tensor(ids)[None, :, None])[0, :, 0]


def test_scores_equal_a_plain_forward_pass(parts, prompts):
    """Groups of 2, 1, 3 and no answers; conversations, a prefix, and each kind of clip; in batches of 3."""
    for temperature in (1.0, 0.7):
        found = Scorer(*parts, batch_size=3).score(prompts, ANSWERS, temperature)
        assert [[len(row) for row in group] for group in found] == [[len(row) for row in group] for group in ANSWERS]
        for prompt, group, scored in zip(prompts, ANSWERS, found, strict=True):
            for ids, row in zip(group, scored, strict=True):
                assert row == pytest.approx(plain(*parts, prompt, ids, temperature).tolist(), abs=1e-4)


def test_gradients_equal_a_plain_forward_pass(parts, prompts):
    model, processor = parts
    ids, mask = pad_answers(ANSWERS[:3])
    Scorer(model, processor)(prompts[:3], ids, mask).sum().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    sum(
        plain(*parts, prompt, row).sum() for prompt, group in zip(prompts, ANSWERS, strict=True) for row in group
    ).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert (found[name] - parameter.grad).norm() <= 1e-4 * parameter.grad.norm() + 1e-6, name
    model.zero_grad()
    assert {name.split(".")[0] for name in found} >= {"projector", "audio_projector", "gate", "language_model"}


def test_the_prompt_is_computed_once_for_all_answers_to_it(parts, prompts):
    """Tokens that pass the language model: the prompt's, and each answer's."""
    model, processor = parts
    widths = []
    handle = model.language_model.layers[0].register_forward_pre_hook(lambda module, args: widths.append(args[0].shape))
    Scorer(model, processor).score(prompts[:1], [[[5, 6, 7]] * 8])
    handle.remove()
    features = prompts[0].features
    num_prompt = len(processor.prompt_ids(prompts[0].messages, len(features.video), True))
    assert [shape[:2] for shape in widths] == [(1, num_prompt + 8 * 3)]


def test_label_probabilities_sum_to_1_and_equal_scoring_each_label_apart(parts, prompts):
    """P(label | prompt, text up to <answer>) = softmax over the labels of log p(text, label, what closes it)."""
    model, processor = parts
    texts = ["<think>so sad</think>\n<answer>happy</answer>", "> loud</think>\n<answer>", "no tags", ""]
    found = Scorer(model, processor, batch_size=3).label_probabilities(prompts, texts, LABELS)
    for prompt, text, chances in zip(prompts, texts, found, strict=True):
        assert list(chances) == list(LABELS) and sum(chances.values()) == pytest.approx(1)
        given = prompt.prefix + (text[: text.index("<answer>") + 8] if "<answer>" in text else "")
        bare = Prompt(prompt.messages, prompt.features)
        closing = "</answer>" if "<answer>" in text else END
        rows = [processor.tokenizer(f"{given}{label}{closing}")["input_ids"] for label in LABELS]
        expected = torch.stack([plain(model, processor, bare, ids).sum() for ids in rows]).softmax(-1)
        assert list(chances.values()) == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_calibration_of_the_model_changes_the_probabilities_of_labels_and_nothing_else(prompts):
    """Under a temperature T they are p^(1/T), normalised; a lapse rate r gives each label r / num_labels of it."""
    scorer = Scorer(*small_model())
    texts = ["<think>so sad</think>\n<answer>"] * 2
    given = prompts[0], prompts[2]
    plain, scores, scored = (
        scorer.label_probabilities(given, texts, LABELS),
        scorer.label_scores(given, texts, LABELS),
        scorer.score(prompts[:1], [[[5, 6, 7]]]),
    )
    scorer.model.config.label_temperature = 4.0
    warm = scorer.label_probabilities(given, texts, LABELS)
    for row, hot, score in zip(plain, warm, scores, strict=True):
        roots = {label: chance**0.25 for label, chance in row.items()}
        assert hot == pytest.approx({label: root / sum(roots.values()) for label, root in roots.items()}, rel=1e-4)
        assert sorted(hot, key=hot.__getitem__) == sorted(row, key=row.__getitem__)
        total = sum(math.exp(value) for value in score.values())
        assert row == pytest.approx({label: math.exp(value) / total for label, value in score.items()}, rel=1e-4)
    scorer.model.config.label_lapse_rate = 0.25
    for row, hot in zip(scorer.label_probabilities(given, texts, LABELS), warm, strict=True):
        assert row == pytest.approx({label: 0.75 * chance + 0.25 / len(LABELS) for label, chance in hot.items()})
    assert scorer.label_scores(given, texts, LABELS) == scores
    assert scorer.score(prompts[:1], [[[5, 6, 7]]]) == scored


def test_an_end_of_turn_in_what_was_written_stays_text(parts, prompts):
    """Scored with an end-of-turn token in its place, the two would be equal."""
    scorer = Scorer(*parts)
    (found,) = scorer.label_probabilities(prompts[:1], [f"so{END}sad<answer>"], LABELS)
    ids = [parts[1].text_ids(f"so{END}sad<answer>{label}</answer>") for label in LABELS]
    end = parts[1].tokenizer.eos_token_id
    assert not any(end in row for row in ids)
    expected = torch.stack([plain(*parts, prompts[0], row).sum() for row in ids]).softmax(-1)
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("side", ["pictures", "sound"])
def test_a_side_taken_away_equals_a_clip_that_never_had_it(parts, prompts, side):
    model, processor = parts
    both = prompts[0].features
    never = Features(None, both.audio) if side == "pictures" else Features(both.video, None)
    runs = []
    handles = [
        tower.register_forward_hook(lambda *_: runs.append(1)) for tower in (model.vision_tower, model.audio_tower)
    ]
    asked = [Prompt.ask("Which?", both.without(side)), Prompt.ask("Which?", never), Prompt.ask("Which?", both)]
    scorer = Scorer(model, processor)
    taken, absent, whole = (scorer.label_probabilities([one], ["<answer>"], LABELS)[0] for one in asked)
    for handle in handles:
        handle.remove()
    assert taken == absent != whole and not runs
    once, twice = both.without(side), both.without(side).without(side)
    assert (
        twice.video is once.video and twice.audio is once.audio and (twice.read, twice.text) == (once.read, once.text)
    )
    assert both.without(side).modality == ("audio" if side == "pictures" else "video")
    assert both.without("sound").without("pictures").modality is None and both.modality == "video+audio"


def test_each_part_keeps_its_mode_also_after_an_error(parts, prompts):
    model, processor = small_model()
    model.train()
    model.language_model.layers[0].eval()
    modes = {name: part.training for name, part in model.named_modules()}
    assert set(modes.values()) == {True, False}
    scorer = Scorer(model, processor)
    scorer.score(prompts[:1], [[[5]]])
    with pytest.raises(IndexError):
        scorer.score(prompts[:1], [[[10**6]]])
    with pytest.raises(ValueError, match="placeholders"):
        scorer.label_probabilities([Prompt.ask("Which?", Features(None, torch.zeros(3, 16)))], [""], LABELS)
    assert {name: part.training for name, part in model.named_modules()} == modes


def test_as_many_texts_and_groups_as_prompts_are_asked_for(parts, prompts):
    with pytest.raises(ValueError, match="Found 4 prompts and 1 texts"):
        Scorer(*parts).label_probabilities(prompts, [""], LABELS)
    with pytest.raises(ValueError, match="Found 4 prompts and 1 groups"):
        Scorer(*parts).score(prompts, [[[5]]])
    assert Scorer(*parts).score([], []) == [] == Scorer(*parts).label_probabilities([], [], LABELS)


def test_answers_are_padded_on_the_right_and_groups_with_empty_answers():
    ids, mask = pad_answers([[[1, 2], [3]], [[4, 5, 6]]])
    assert ids.tolist() == [[[1, 2, 0], [3, 0, 0]], [[4, 5, 6], [0, 0, 0]]]
    assert mask.tolist() == [[[True, True, False], [True, False, False]], [[True] * 3, [False] * 3]]
    assert common_length([[1, 2, 3], [1, 2], [1, 2, 4]]) == 2 and common_length([[1], [2]]) == 0


def test_a_scorer_without_towers_scores_the_same(parts, prompts):
    model, processor = small_model()
    expected = Scorer(model, processor).score(prompts, ANSWERS)
    release_towers(model)
    assert Scorer(model, processor).score(prompts, ANSWERS) == expected
    with pytest.raises(TypeError, match="expected HumanOmni"):
        beneath_adapters(torch.nn.Linear(1, 1))
