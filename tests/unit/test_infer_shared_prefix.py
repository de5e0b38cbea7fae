"""Loss and every gradient of the shared prefix against a row of its own for every answer."""

import pytest
import torch

from r1omni.config.sections import TRAINED_PARTS
from r1omni.infer.embedding import embed_prompts
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer, pad_answers
from r1omni.infer.shared_prefix import answer_logprobs
from r1omni.train.loss import policy_loss
from r1omni.train.optimise import recompute_activations, set_trainable
from small_model import MadeUpFeatures, small_clips, small_model

# peft 0.21 asks transformers by a name that 5.23 deprecates: https://github.com/huggingface/peft
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
INSTRUCTIONS = ["Which emotion?", "What does the person feel, and why?", "Which emotion?"]
ADVANTAGES = torch.tensor([1.0, -0.5, -0.5, 0.3, 0.7, -1.0, -0.2, 1.2, -1.0])


def answers():
    generator = torch.Generator().manual_seed(0)
    lengths = iter([5, 1, 9, 4, 7, 2, 3, 8, 6])
    return [[torch.randint(4, 400, (next(lengths),), generator=generator).tolist() for _ in range(3)] for _ in range(3)]


def prepared(adapters: bool):
    model, processor = small_model()
    set_trainable(model, TRAINED_PARTS)
    if adapters:
        peft = pytest.importorskip("peft", reason="adapters need peft")
        torch.manual_seed(1)
        config = peft.LoraConfig(r=4, target_modules=r"language_model\.layers.*_proj", init_lora_weights=False)
        model = peft.get_peft_model(model, config)
        set_trainable(model, TRAINED_PARTS)
    return model.eval(), processor


def plain(model, processor, features):
    """As the official trainer does it: every answer in a row of its own with the whole prompt."""
    model = model.get_base_model() if hasattr(model, "peft_config") else model
    rows = []
    for instruction, entry, group in zip(INSTRUCTIONS, features, answers(), strict=True):
        for answer in group:
            embeds, _ = embed_prompts(model, processor, [Prompt.ask(instruction, entry)])
            ids = torch.tensor([answer])
            row = torch.cat([embeds, model.language_model.embed_tokens(ids)], dim=1)
            hidden = model.language_model(inputs_embeds=row, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden[:, embeds.shape[1] - 1 : -1])
            chosen = logits.log_softmax(-1).gather(-1, ids[..., None])[0, :, 0]
            rows.append(torch.nn.functional.pad(chosen, (0, 9 - len(answer))))
    return torch.stack(rows)


def loss_and_gradients(model, logprobs, mask):
    old = logprobs.detach() + 0.05 * torch.sin(torch.arange(logprobs.numel()).view(logprobs.shape))
    reference = logprobs.detach() - 0.2
    loss, _ = policy_loss(logprobs, old, ADVANTAGES, mask, reference_logprobs=reference, beta=0.04)
    model.zero_grad()
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("adapters", [False, True], ids=["whole", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_loss_and_every_gradient_equal_the_plain_way(adapters, checkpointing):
    """One clip with both sides, one without pictures, one without sound; prompts and answers of mixed lengths."""
    model, processor = prepared(adapters)
    features = MadeUpFeatures(model, processor).encoder.features(small_clips(3))
    ids, mask = pad_answers(answers())
    expected, expected_gradients = loss_and_gradients(model, plain(model, processor, features), mask.flatten(0, 1))
    if checkpointing:
        recompute_activations(model.language_model)
        model.language_model.train()
    prompts = [Prompt.ask(*asked) for asked in zip(INSTRUCTIONS, features, strict=True)]
    logprobs = Scorer(model, processor)(prompts, ids, mask).flatten(0, 1)
    loss, gradients = loss_and_gradients(model, logprobs, mask.flatten(0, 1))
    torch.testing.assert_close(loss, expected, atol=0, rtol=1e-4)
    assert gradients.keys() == expected_gradients.keys() and len(gradients) > 20
    for name, gradient in gradients.items():
        difference = (gradient - expected_gradients[name]).norm()
        assert difference <= 1e-4 * expected_gradients[name].norm() + 1e-9, name


def test_logits_in_chunks_give_the_same_gradient():
    model, processor = prepared(adapters=False)
    features = MadeUpFeatures(model, processor).encoder.features(small_clips(3))
    ids, mask = pad_answers(answers())
    results = []
    for max_logits in (2**26, 400 * 7):
        prompts = [Prompt.ask(*asked) for asked in zip(INSTRUCTIONS, features, strict=True)]
        embeds, prompt_mask = embed_prompts(model, processor, prompts)
        logprobs = answer_logprobs(
            model.language_model, model.lm_head, embeds, prompt_mask, ids, mask, 0.8, max_logits=max_logits
        )
        results.append(loss_and_gradients(model, logprobs.flatten(0, 1), mask.flatten(0, 1)))
    torch.testing.assert_close(results[0], results[1], atol=1e-6, rtol=1e-4)
