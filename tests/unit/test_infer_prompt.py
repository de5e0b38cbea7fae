"""Prompts, how they are embedded, and what a clip's draws depend on."""

import pytest
import torch

from r1omni.core.message import Message
from r1omni.infer.embedding import embed_prompts, evaluating, left_pad, repetition_penalty, stop_ids
from r1omni.infer.features import NO_FEATURES
from r1omni.infer.prompt import Prompt, Sampling, clip_seed
from small_model import MadeUpFeatures, small_clips, small_model


def test_a_question_is_a_prompt_of_one_user_message():
    assert Prompt.ask("Which?") == Prompt((Message("user", "Which?"),), NO_FEATURES, "")
    assert Sampling() == Sampling(temperature=0.0, max_tokens=512, seed=0, num_samples=1, stop=())


def test_a_clips_seed_is_56_bits_of_a_hash_of_seed_occurrence_and_id():
    """First seven bytes of `printf 0/0/clip-7 | sha256sum`."""
    assert clip_seed(0, "clip-7") == 0xD09C57DC679E31
    assert clip_seed("smoke", "a b", occurrence=2) == 26064286030420394
    assert len({clip_seed(seed, name, seen) for seed in (0, 1) for name in "ab" for seen in (0, 1)}) == 8


def test_embedded_prompts_do_not_depend_on_the_batch_they_are_in():
    model, processor = small_model()
    model.eval()
    features = MadeUpFeatures(model, processor).encoder.features(small_clips(3))
    prompts = [
        Prompt.ask("Which emotion?", entry, prefix)
        for entry, prefix in zip(features, ["", "so", "so sad"], strict=True)
    ]
    with torch.no_grad():
        together, mask = embed_prompts(model, processor, prompts)
        for row, kept, prompt in zip(together, mask, prompts, strict=True):
            alone, all_kept = embed_prompts(model, processor, [prompt])
            assert all_kept.all() and kept.tolist() == sorted(kept.tolist())
            torch.testing.assert_close(row[kept], alone[0], atol=1e-5, rtol=1e-5)


def test_a_prefix_is_embedded_after_the_prompt_as_an_answer_would_be():
    model, processor = small_model()
    with torch.no_grad():
        bare, _ = embed_prompts(model, processor, [Prompt.ask("Which?")])
        opened, _ = embed_prompts(model, processor, [Prompt.ask("Which?", prefix="<think>so")])
        ids = torch.tensor(processor.tokenizer("<think>so")["input_ids"])
    assert torch.equal(opened[0], torch.cat([bare[0], model.language_model.embed_tokens(ids)]))


def test_rows_are_padded_on_the_left():
    padded, mask = left_pad([torch.full((1, 2), 3.0), torch.full((2, 2), 5.0)])
    assert padded.tolist() == [[[0, 0], [3, 3]], [[5, 5], [5, 5]]]
    assert mask.tolist() == [[False, True], [True, True]]


def test_the_tokenizers_end_of_turn_comes_first_then_the_checkpoints_others():
    model, processor = small_model()
    end = processor.tokenizer.eos_token_id
    model.generation_config.eos_token_id = [7, end, 9]
    assert stop_ids(model, processor) == [end, 7, 9]
    model.generation_config.eos_token_id = 7
    assert stop_ids(model, processor) == [end, 7]
    model.generation_config.eos_token_id = None
    assert stop_ids(model, processor) == [end]
    assert repetition_penalty(model) == 1.0
    model.generation_config.repetition_penalty = 1.2
    assert repetition_penalty(model) == 1.2


def test_evaluation_ends_with_each_part_in_the_mode_it_was_in():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Sequential(torch.nn.Dropout())).train()
    model[0].eval()
    with pytest.raises(RuntimeError, match="stop"), evaluating(model):
        assert not any(part.training for part in model.modules())
        raise RuntimeError("stop")
    assert [part.training for part in model.modules()] == [True, False, True, True]
