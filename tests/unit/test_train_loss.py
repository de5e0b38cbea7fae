"""The objective by hand, against TRL's trainer and against the official trainer's recorded numbers."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from r1omni.train.loss import BatchCounts, group_advantages, kl_k3, policy_loss

GOLDEN = Path(__file__).parents[1] / "golden" / "grpo_loss.json"


def batch(answers=6, tokens=7):
    generator = torch.Generator().manual_seed(0)
    logprobs = -torch.rand(answers, tokens, generator=generator) * 3
    old = logprobs + torch.randn(answers, tokens, generator=generator) * 0.3
    reference = logprobs + torch.randn(answers, tokens, generator=generator) * 0.5
    lengths = torch.randint(1, tokens + 1, (answers,), generator=generator)
    mask = torch.arange(tokens) < lengths[:, None]
    advantages = torch.randn(answers, generator=generator)
    return logprobs, old, reference, advantages, mask


def test_group_advantages_by_hand():
    # Means 1 and 2; standard deviations (n-1) 1 and 0.
    rewards = torch.tensor([[0.0, 1.0, 2.0], [2.0, 2.0, 2.0]])
    expected = torch.tensor([[-1 / 1.0001, 0.0, 1 / 1.0001], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(group_advantages(rewards), expected)
    torch.testing.assert_close(group_advantages(rewards, "none"), torch.tensor([[-1.0, 0, 1], [0, 0, 0]]))
    # All six: mean 1.5, squares 2.25 + .25 + 4 * .25 = 3.5, / 5 = .7
    std = 0.7**0.5 + 1e-4
    torch.testing.assert_close(group_advantages(rewards, "batch")[0, 2], torch.tensor(1 / std))


def test_kl_is_zero_for_equal_policies_and_positive_otherwise():
    logprobs, _, reference, _, _ = batch()
    assert kl_k3(logprobs, logprobs).abs().max() == 0
    assert (kl_k3(logprobs, reference) > 0).all()
    # reference twice as likely: 2 - ln 2 - 1
    assert kl_k3(torch.zeros(1, 1), torch.full((1, 1), 2.0).log()).item() == pytest.approx(2 - 0.693147 - 1, abs=1e-5)


def test_clipping_stops_the_gradient_of_what_moved_too_far():
    logprobs = torch.tensor([[0.5, 0.1]], requires_grad=True)
    loss, sums = policy_loss(logprobs, torch.zeros(1, 2), torch.ones(1), torch.ones(1, 2, dtype=torch.bool))
    loss.backward()
    # exp(.5) = 1.65 > 1.2 is clipped; exp(.1) = 1.105 is not: gradient -1.105 / 2
    assert logprobs.grad[0, 0] == 0
    assert logprobs.grad[0, 1].item() == pytest.approx(-1.10517 / 2, abs=1e-5)
    assert sums["clipped"] == 1


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_parts_of_a_batch_add_up_to_the_whole(loss_type):
    logprobs, old, reference, advantages, mask = batch()
    options = dict(beta=0.04, loss_type=loss_type, max_completion_length=9)
    whole, _ = policy_loss(logprobs, old, advantages, mask, reference_logprobs=reference, **options)
    counts = BatchCounts(len(mask), float(mask.sum()))
    parts = [
        policy_loss(
            logprobs[rows],
            old[rows],
            advantages[rows],
            mask[rows],
            reference_logprobs=reference[rows],
            counts=counts,
            **options,
        )[0]
        for rows in (slice(0, 2), slice(2, 6))
    ]
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("beta", [0.0, 0.04])
def test_loss_and_gradient_equal_trl(loss_type, level, beta):
    """The trainer's own `_compute_loss`, run on a bare object that holds only what it reads."""
    trl = pytest.importorskip("trl.trainer.grpo_trainer", reason="trl is the oracle; install the dev extra")
    logprobs, old, reference, advantages, mask = batch()
    mask[1] = False  # a truncated answer that is left out
    theirs, ours = logprobs.clone().requires_grad_(), logprobs.clone().requires_grad_()
    trainer = bare_trainer(trl, theirs, loss_type=loss_type, level=level, beta=beta)
    ids = torch.zeros(mask.shape, dtype=torch.long)
    inputs = {
        "prompt_ids": ids[:, :1],
        "prompt_mask": ids[:, :1],
        "completion_ids": ids,
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }
    expected = trl.GRPOTrainer._compute_loss(trainer, trainer.model, inputs)
    loss, _ = policy_loss(
        ours,
        old,
        advantages,
        mask,
        reference_logprobs=reference,
        beta=beta,
        epsilon=0.1,
        epsilon_high=0.3,
        loss_type=loss_type,
        importance_sampling_level=level,
        max_completion_length=9,
    )
    expected.backward()
    loss.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-5)


def bare_trainer(trl, logprobs, *, loss_type, level, beta):
    from collections import defaultdict

    trainer = object.__new__(trl.GRPOTrainer)
    trainer.model = SimpleNamespace(training=True)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None)
    trainer.accelerator = SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x)
    trainer.args = SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1)
    trainer._metrics = {"train": defaultdict(list)}
    for name, value in dict(
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        importance_sampling_level=level, beta=beta, loss_type=loss_type, epsilon_low=0.1, epsilon_high=0.3,
        use_vllm=False, vllm_importance_sampling_correction=False, current_gradient_accumulation_steps=1,
        max_completion_length=9, _entropy_bonus_enabled=False,
    ).items():  # fmt: skip
        setattr(trainer, name, value)
    return trainer


def test_loss_equals_the_official_trainer():
    facts = json.loads(GOLDEN.read_text())
    recorded = {name: torch.tensor(value) for name, value in facts.items()}
    advantages = group_advantages(recorded["rewards_per_func"].sum(-1)[None])[0]
    torch.testing.assert_close(advantages, recorded["advantages"], atol=1e-5, rtol=1e-5)
    ended = recorded["completion_ids"] == facts["end_of_turn"]
    mask = ended.long().cumsum(-1) - ended.long() == 0
    logprobs, reference = recorded["logps"], recorded["ref_logps"]
    loss, _ = policy_loss(logprobs, logprobs, advantages, mask, reference_logprobs=reference, beta=facts["beta"])
    assert loss.item() == pytest.approx(facts["loss"], abs=1e-5)
    per_answer = (kl_k3(logprobs, reference) * mask).sum(-1) / mask.sum(-1)
    assert per_answer.mean().item() == pytest.approx(facts["kl"], abs=1e-5)
