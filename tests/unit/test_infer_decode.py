"""The decode loop and the shared prefix against transformers itself."""

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from r1omni.infer.decode import PACK_FROM_TOKENS, sample_groups
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
    samples = sample_groups(
        model.model, model.lm_head, embeds, mask, temperature=0.0, stop_ids=[STOP], uniforms=torch.zeros(3, 2, 20)
    )
    expected = model.generate(
        ids, attention_mask=mask, max_new_tokens=20, do_sample=False, eos_token_id=STOP, pad_token_id=STOP
    )[:, 9:]
    for row in range(3):
        length = int(samples.lengths[row, 0])
        assert samples.token_ids[row, 0, :length].tolist() == expected[row, :length].tolist()
        assert torch.equal(samples.token_ids[row, 0], samples.token_ids[row, 1])
        plain = plain_logprobs(model, ids[row], mask[row], expected[row, :length], 1.0)
        torch.testing.assert_close(samples.logprobs[row, 0, :length], plain, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty` with `inputs_embeds`:UserWarning")
def test_greedy_tokens_under_a_repetition_penalty_equal_generate_of_transformers(model):
    ids, mask, embeds = prompts(model)
    settings = dict(temperature=0.0, stop_ids=[STOP], uniforms=torch.zeros(3, 1, 20))
    samples = sample_groups(model.model, model.lm_head, embeds, mask, repetition_penalty=1.4, **settings)
    free = sample_groups(model.model, model.lm_head, embeds, mask, **settings)
    for row in range(3):
        # from embeddings, so that the penalty sees the new tokens only; one row, so that no padding is among them
        expected = model.generate(
            inputs_embeds=embeds[row][mask[row].bool()][None],
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=STOP,
            pad_token_id=STOP,
            repetition_penalty=1.4,
        )[0]
        assert samples.token_ids[row, 0, : len(expected)].tolist() == expected.tolist()
    assert samples.token_ids.tolist() != free.token_ids.tolist()


def test_sampling_ignores_a_repetition_penalty(model):
    _, mask, embeds = prompts(model)
    settings = dict(temperature=1.0, stop_ids=[STOP], uniforms=torch.rand(3, 4, 20))
    plain = sample_groups(model.model, model.lm_head, embeds, mask, **settings)
    with_penalty = sample_groups(model.model, model.lm_head, embeds, mask, repetition_penalty=1.4, **settings)
    assert torch.equal(plain.token_ids, with_penalty.token_ids)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampled_distribution_is_the_scored_one_while_rows_end_and_are_dropped(model, temperature):
    ids, mask, embeds = prompts(model)
    uniforms = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(2))
    samples = sample_groups(
        model.model, model.lm_head, embeds, mask, temperature=temperature, stop_ids=[STOP, 4, 5, 6], uniforms=uniforms
    )
    assert samples.lengths.unique().numel() > 4
    answer_mask = torch.arange(samples.token_ids.shape[2]) < samples.lengths[..., None]
    scored = answer_logprobs(
        model.model, model.lm_head, embeds, mask, samples.token_ids, answer_mask, temperature=temperature
    )
    torch.testing.assert_close(scored, samples.logprobs, atol=1e-4, rtol=1e-4)
    for row, sample in [(0, 0), (1, 3), (2, 15)]:
        length = int(samples.lengths[row, sample])
        answer = samples.token_ids[row, sample, :length]
        plain = plain_logprobs(model, ids[row], mask[row], answer, temperature)
        torch.testing.assert_close(samples.logprobs[row, sample, :length], plain, atol=1e-4, rtol=1e-4)


def test_draws_follow_the_probabilities_of_the_first_token(model):
    _, mask, embeds = prompts(model)
    uniforms = (torch.arange(4000) / 4000 + 1 / 8000).view(1, 4000, 1)
    samples = sample_groups(
        model.model, model.lm_head, embeds[:1], mask[:1], temperature=1.0, stop_ids=[STOP], uniforms=uniforms
    )
    shares = torch.bincount(samples.token_ids.flatten(), minlength=40) / 4000
    expected = model(inputs_embeds=embeds[:1]).logits[0, -1].softmax(-1)
    # Uniform numbers on a grid of 4000 give each token its probability to within one grid step.
    assert (shares - expected).abs().max() <= 1.5 / 4000


def test_draws_of_a_prompt_do_not_depend_on_the_batch(model):
    _, mask, embeds = prompts(model)
    uniforms = torch.rand(3, 4, 12, generator=torch.Generator().manual_seed(5))
    together = sample_groups(
        model.model, model.lm_head, embeds, mask, temperature=1.0, stop_ids=[STOP], uniforms=uniforms
    )
    alone = sample_groups(
        model.model, model.lm_head, embeds[1:2], mask[1:2], temperature=1.0, stop_ids=[STOP], uniforms=uniforms[1:2]
    )
    longest = alone.token_ids.shape[2]
    assert torch.equal(together.token_ids[1, :, :longest], alone.token_ids[0])


def test_weights_laid_out_for_bfloat16_on_a_cpu_give_the_same_answers(model):
    model = model.bfloat16()
    _, mask, embeds = prompts(model)
    settings = dict(temperature=0.0, stop_ids=[STOP])
    laid_out = sample_groups(model.model, model.lm_head, embeds, mask, uniforms=torch.zeros(3, 1, 8), **settings)
    assert laid_out.token_ids.shape[2] == PACK_FROM_TOKENS == 8
    mask_of_answers = torch.arange(8) < laid_out.lengths[..., None]
    plain = answer_logprobs(model.model, model.lm_head, embeds, mask, laid_out.token_ids, mask_of_answers)
    # bfloat16 keeps 8 bits: logits up to 4.6 are rounded by 2^-7 = 0.008 after each of a few sums.
    torch.testing.assert_close(laid_out.logprobs, plain, atol=0.1, rtol=0)
