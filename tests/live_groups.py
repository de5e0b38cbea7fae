"""Groups of answers straight from embedded prompts, for comparisons with what needs no tokenizer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from r1omni.infer.live_rows import Ending, LiveRows
from r1omni.infer.places import Group, Row


@dataclass(frozen=True)
class Written:
    """One answer."""

    token_ids: list[int]
    logprobs: list[float]
    ending: Ending


def write_groups(
    language_model,
    lm_head,
    embeds: Tensor,
    mask: Tensor,
    *,
    temperature: float,
    stop_ids: list[int],
    uniforms: Tensor,
    repetition_penalty: float = 1.0,
) -> list[list[Written]]:
    """Read left-padded prompts together and write answers to each: `uniforms` is [batch, group, answer]."""
    live = LiveRows(language_model, lm_head, stop_ids=stop_ids, repetition_penalty=repetition_penalty)
    _, num_samples, max_tokens = uniforms.shape
    groups = [
        Group(number, num_samples, max_tokens, temperature, drawn, int(kept.sum()))
        for number, (drawn, kept) in enumerate(zip(uniforms, mask, strict=True))
    ]
    found: dict[tuple[int, int], Written] = {}
    drawn = live.enter(embeds, mask.bool(), groups)
    while drawn is not None:
        ended: list[Row] = list(drawn.endings)
        for row, (ids, logprobs) in zip(ended, live.read(ended), strict=True):
            found[row.group.request, row.sample] = Written(ids, logprobs, drawn.endings[row])
        live.leave(ended)
        drawn = live.step()
    return [[found[number, sample] for sample in range(num_samples)] for number in range(len(groups))]


def padded(rows: list[Written]) -> tuple[Tensor, Tensor]:
    """Token ids [answers, tokens] padded on the right with 0, and their mask."""
    longest = max(len(row.token_ids) for row in rows)
    ids = torch.tensor([row.token_ids + [0] * (longest - len(row.token_ids)) for row in rows])
    lengths = torch.tensor([len(row.token_ids) for row in rows])
    return ids, torch.arange(longest) < lengths[:, None]
