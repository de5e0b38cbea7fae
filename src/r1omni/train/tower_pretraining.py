"""Training a tower from scratch on made clips, in place of SigLIP's and Whisper's own pretraining.

The targets are rendering parameters (where the landmarks of the face lie, the pitch and the energy of the voice, which
sentence is spoken, which room is seen): never a cue's name and never an emotion, so that the features know faces and
voices and nothing of what they mean. After this stage the towers are frozen. Loss:

    L = MSE(standardised regression targets) + class_weight * mean over class heads of cross-entropy

Left out on purpose: resuming within the stage (it takes a minute or two and is done whole or not at all).
"""

import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from r1omni.config.scale import TowerSettings


def train_tower(
    encode: Callable[[Tensor], Tensor],
    tower: nn.Module,
    inputs: Tensor,
    regress: Tensor,
    classify: Mapping[str, Tensor],
    *,
    settings: TowerSettings,
    class_weight: float = 0.3,
    seed: int = 0,
    on_step: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Train one tower and throw its heads away.

    Args:
        encode: inputs [batch, ...] -> features [batch, tokens, hidden]; gradients flow through them.
        tower: the module whose parameters train; frozen again on return.
        inputs: all examples, [examples, ...].
        regress: [examples, targets] for one head over all tokens, or [examples, tokens, targets] for a head per token.
        classify: name -> [examples] class ids, each with a head over all tokens.
        settings: epochs, examples per step, and the peak learning rate, which is reached after 5 % of the steps and
            followed by a cosine.
        class_weight: weight of the class heads against the regression.
        seed: order of the examples and initial heads.
        on_step: receives step, num_steps, loss and seconds.

    Returns:
        Over the last tenth of the steps: `explained` (share of the regression targets' variance) and the accuracy of
        each class head, all on training batches before their update.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        tokens, hidden = encode(inputs[:1]).shape[1:]
    dims = tuple(range(regress.ndim - 1))
    regress = (regress - regress.mean(dims)) / regress.std(dims).clamp_min(1e-4)
    per_token = regress.ndim == 3
    regression_head = nn.Linear(hidden if per_token else tokens * hidden, regress.shape[-1])
    class_heads = nn.ModuleDict({k: nn.Linear(tokens * hidden, int(v.max()) + 1) for k, v in classify.items()})
    for parameter in tower.parameters():
        parameter.requires_grad_(True)
    trained = [p for module in (tower, regression_head, class_heads) for p in module.parameters()]
    # One kernel for all of them: these towers have many small tensors, and calls cost more than the arithmetic.
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.01, fused=True)
    batch_size = settings.batch_size
    num_steps = settings.num_epochs * (len(inputs) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=num_steps, pct_start=0.05
    )
    last: list[dict[str, float]] = []
    started, step = time.monotonic(), 0
    for _ in range(settings.num_epochs):
        order = torch.randperm(len(inputs), generator=generator)
        for batch in order[: len(order) // batch_size * batch_size].split(batch_size):
            features = encode(inputs[batch])
            flat = features.flatten(1)
            error = F.mse_loss(regression_head(features if per_token else flat), regress[batch])
            logits = {name: head(flat) for name, head in class_heads.items()}
            losses = [F.cross_entropy(logits[name], classify[name][batch]) for name in classify]
            loss = error + class_weight * torch.stack(losses).mean() if losses else error
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0, foreach=True)
            optimizer.step()
            schedule.step()
            step += 1
            if step > 0.9 * num_steps:
                hits = {k: float((logits[k].argmax(-1) == classify[k][batch]).float().mean()) for k in classify}
                last.append({"explained": 1 - float(error.detach()), **hits})
            if on_step is not None:
                seconds = time.monotonic() - started
                on_step({"step": step, "num_steps": num_steps, "loss": float(loss.detach()), "seconds": seconds})
    # The fused optimizer does not count its writes; features of the untrained tower must not be taken for this one's.
    torch.autograd.graph.increment_version(list(tower.parameters()))
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    return {name: sum(row[name] for row in last) / len(last) for name in last[0]} if last else {}
