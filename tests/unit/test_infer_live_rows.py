"""Rows written side by side, and the shared prefix, against transformers itself."""

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from live_groups import padded, write_groups
from r1omni.infer.decoding_step import PACK_FROM_TOKENS
from r1omni.infer.live_rows import LiveRows
from r1omni.infer.places import Group, Places, Row
from r1omni.infer.shared_prefix import answer_logprobs

STOP = 3


@pytest.fixture
def model() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    model = Qwen2ForCausalLM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3) if parameter.dim() > 1 else None
    return model


def prompts(model: Qwen2ForCausalLM) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.randint(4, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, :4] = 0
    return ids, mask, model.get_input_embeddings()(ids)


def plain_logprobs(model, ids, mask, answer, temperature):
    """One row of its own for the prompt and one answer."""
    row = torch.cat([ids[mask.bool()], answer])[None]
    logits = model(row).logits[0, len(row[0]) - len(answer) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(-1, answer[:, None]).squeeze(1)


def test_greedy_tokens_and_logprobs_equal_generate_of_transformers(model):
    ids, mask, embeds = prompts(model)
    groups = write_groups(
        model.model, model.lm_head, embeds, mask, temperature=0.0, stop_ids=[STOP], uniforms=torch.zeros(3, 2, 20)
    )
    expected = model.generate(
        ids, attention_mask=mask, max_new_tokens=20, do_sample=False, eos_token_id=STOP, pad_token_id=STOP
    )[:, 9:]
    for row, (first, second) in enumerate(groups):
        length = len(first.token_ids)
        assert first.token_ids == second.token_ids == expected[row, :length].tolist()
        assert length == 20 or first.token_ids[-1] == STOP
        plain = plain_logprobs(model, ids[row], mask[row], expected[row, :length], 1.0)
        torch.testing.assert_close(torch.tensor(first.logprobs), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty` with `inputs_embeds`:UserWarning")
def test_greedy_tokens_under_a_repetition_penalty_equal_generate_of_transformers(model):
    ids, mask, embeds = prompts(model)
    settings = dict(temperature=0.0, stop_ids=[STOP], uniforms=torch.zeros(3, 1, 20))
    groups = write_groups(model.model, model.lm_head, embeds, mask, repetition_penalty=1.4, **settings)
    free = write_groups(model.model, model.lm_head, embeds, mask, **settings)
    for row, (answer,) in enumerate(groups):
        # from embeddings, so that the penalty sees the new tokens only; one row, so that no padding is among them
        expected = model.generate(
            inputs_embeds=embeds[row][mask[row].bool()][None],
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=STOP,
            pad_token_id=STOP,
            repetition_penalty=1.4,
        )[0]
        assert answer.token_ids == expected.tolist()
    assert [group[0].token_ids for group in groups] != [group[0].token_ids for group in free]


def test_sampling_ignores_a_repetition_penalty(model):
    _, mask, embeds = prompts(model)
    settings = dict(temperature=1.0, stop_ids=[STOP], uniforms=torch.rand(3, 4, 20))
    plain = write_groups(model.model, model.lm_head, embeds, mask, **settings)
    with_penalty = write_groups(model.model, model.lm_head, embeds, mask, repetition_penalty=1.4, **settings)
    assert plain == with_penalty


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampled_distribution_is_the_scored_one_while_rows_end_and_are_dropped(model, temperature):
    ids, mask, embeds = prompts(model)
    uniforms = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(2))
    groups = write_groups(
        model.model, model.lm_head, embeds, mask, temperature=temperature, stop_ids=[STOP, 4, 5, 6], uniforms=uniforms
    )
    answers = [answer for group in groups for answer in group]
    assert len({len(answer.token_ids) for answer in answers}) > 4
    token_ids, answer_mask = padded(answers)
    scored = answer_logprobs(
        model.model,
        model.lm_head,
        embeds,
        mask,
        token_ids.unflatten(0, (3, 16)),
        answer_mask.unflatten(0, (3, 16)),
        temperature=temperature,
    )
    drawn = torch.tensor([logprob for answer in answers for logprob in answer.logprobs])
    torch.testing.assert_close(scored.flatten(0, 1)[answer_mask], drawn, atol=1e-4, rtol=1e-4)
    for row, sample in [(0, 0), (1, 3), (2, 15)]:
        answer = torch.tensor(groups[row][sample].token_ids)
        plain = plain_logprobs(model, ids[row], mask[row], answer, temperature)
        torch.testing.assert_close(torch.tensor(groups[row][sample].logprobs), plain, atol=1e-4, rtol=1e-4)


def test_draws_follow_the_probabilities_of_the_first_token(model):
    _, mask, embeds = prompts(model)
    uniforms = (torch.arange(4000) / 4000 + 1 / 8000).view(1, 4000, 1)
    (group,) = write_groups(
        model.model, model.lm_head, embeds[:1], mask[:1], temperature=1.0, stop_ids=[STOP], uniforms=uniforms
    )
    shares = torch.bincount(torch.tensor([answer.token_ids[0] for answer in group]), minlength=40) / 4000
    expected = model(inputs_embeds=embeds[:1]).logits[0, -1].softmax(-1)
    # Uniform numbers on a grid of 4000 give each token its probability to within one grid step.
    assert (shares - expected).abs().max() <= 1.5 / 4000


def test_draws_of_a_prompt_do_not_depend_on_the_batch(model):
    _, mask, embeds = prompts(model)
    uniforms = torch.rand(3, 4, 12, generator=torch.Generator().manual_seed(5))
    settings = dict(temperature=1.0, stop_ids=[STOP])
    together = write_groups(model.model, model.lm_head, embeds, mask, uniforms=uniforms, **settings)
    (alone,) = write_groups(model.model, model.lm_head, embeds[1:2], mask[1:2], uniforms=uniforms[1:2], **settings)
    assert [answer.token_ids for answer in together[1]] == [answer.token_ids for answer in alone]


def test_weights_laid_out_for_bfloat16_on_a_cpu_give_the_same_answers(model):
    model = model.bfloat16()
    _, mask, embeds = prompts(model)
    settings = dict(temperature=0.0, stop_ids=[STOP])
    laid_out = write_groups(model.model, model.lm_head, embeds, mask, uniforms=torch.zeros(3, 1, 8), **settings)
    plain = write_groups(model.model, model.lm_head, embeds, mask, uniforms=torch.zeros(3, 1, 7), **settings)
    assert PACK_FROM_TOKENS == 8
    for (ours,), (theirs,) in zip(laid_out, plain, strict=True):
        assert ours.token_ids[:7] == theirs.token_ids
        assert ours.logprobs[:7] == pytest.approx(theirs.logprobs, abs=2e-2)


def test_keys_and_values_of_a_prompt_are_allocated_once_for_its_group(model):
    _, _, embeds = prompts(model)
    mask = torch.ones(1, 9, dtype=torch.bool)
    # 2 layers of keys and values, 2 key heads of width 8, 4 bytes: 256 bytes a token. 64 rows of up to 5 tokens.
    token_bytes, own_tokens = 2 * 2 * 2 * 8 * 4, 64 * 5
    live = LiveRows(model.model, model.lm_head, stop_ids=[STOP], num_bytes=token_bytes * (9 + own_tokens))
    live.enter(embeds[:1], mask, [Group(0, 64, 5, 1.0, torch.rand(64, 5), prompt_tokens=9)])
    assert live.pool.num_bytes == token_bytes * (9 + own_tokens)
    stored = [layer.prompt_keys for layer in live.pool._layers]
    assert [keys.shape for keys in stored] == [(2, 9, 8)] * 2  # [key heads, prompt, width]


def test_rows_of_one_size_lie_in_a_grid_and_fall_back_to_gathering_when_some_have_gone():
    places, groups = Places(), [Group(number, 2, 4, 0.0, torch.zeros(2, 4), 3) for number in range(3)]
    rows = [Row(group, sample) for group in groups for sample in range(2)]
    slots, chosen = places.choose(groups)
    places.put(groups, slots, rows, chosen)
    assert (slots, chosen, places.fold()) == ([0, 1, 2], [0, 1, 2, 3, 4, 5], (2, None))
    places.remove([rows[0]])
    assert places.close_row_gaps() == ([5], [0])
    # rows are now: c1 a1 b0 b1 c0, each in its slot's first or second share: c is slot 2, so c1 is share 4, a1 share 0
    assert places.fold() == (2, [4, 0, 2, 3, 5])
    assert places.remove([rows[2], rows[3]]) == [1]
    newcomer = Group(3, 2, 4, 0.0, torch.zeros(2, 4), 3)
    assert places.choose([newcomer]) == ([1], [2, 3])
