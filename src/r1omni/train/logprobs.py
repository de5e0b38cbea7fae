"""The training forward pass: prompts with their features and answers in, log-probabilities of the answers out.

One module, so that a distributed wrapper sees one forward call; SFT and GRPO, policy and reference, all go through it.
What the projectors keep for the backward pass, a layer's worth of memory for a hundredth of the operations at full
size, is computed again instead.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from r1omni.infer.embedding import prompt_inputs
from r1omni.infer.features import Features
from r1omni.infer.prompt import Prompt
from r1omni.infer.shared_prefix import answer_logprobs

_TOWERS = ("vision_tower", "audio_tower")
_AFTER_PROMPT = ("language_model", "lm_head")


class AnswerScorer(nn.Module):
    """Scores answers under a model.

    Args:
        model: HumanOmni, with or without adapters.
        processor: its processor.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        # The towers are not among the parts that processes share: features are given.
        base = model.get_base_model() if hasattr(model, "peft_config") else model
        self.parts = nn.ModuleDict({name: part for name, part in base.named_children() if name not in _TOWERS})
        self._model = (model,)
        self.processor = processor
        self.recomputes = any(
            parameter.requires_grad
            for name, part in self.parts.items()
            if name not in _AFTER_PROMPT
            for parameter in part.parameters()
        )
        """Whether a part trains whose activations are worth computing again."""
        self.blanks: list[Features] = []
        """Empty clips that each pass carries."""

    @property
    def model(self) -> Any:
        """What scores."""
        return self._model[0]

    def run_every_part(self) -> None:
        """From now on run the projectors and the router in each pass, be there pictures and sound or not.

        A clip and a picture of nothing go along, for clips of each length pass the projector apart.
        """
        config, device = self.model.config, self.model.device
        patches = (config.grid_patches**2, config.vision.hidden_size)
        audio = torch.zeros(config.audio_tokens, config.audio.d_model, device=device)
        lengths = sorted({1, config.num_frames})
        self.blanks = [Features(torch.zeros(frames, *patches, device=device), audio) for frames in lengths]

    def forward(
        self,
        instructions: Sequence[str],
        features: Sequence[Features],
        answer_ids: Tensor,
        answer_mask: Tensor,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return the log-probability of each token of each answer, [batch, group, answer]; 0 where masked.

        Args:
            instructions: one per prompt.
            features: one per prompt.
            answer_ids: [batch, group, answer], padded on the right.
            answer_mask: true at the tokens to score.
            temperature: logits are divided by it.
        """
        prompts = [Prompt.ask(*asked) for asked in zip(instructions, features, strict=True)]
        inputs = prompt_inputs(
            self.model, self.processor, [*prompts, *(Prompt.ask("", blank) for blank in self.blanks)]
        )
        if torch.is_grad_enabled() and self.recomputes:
            embeds = checkpoint(self.model.embed_prompt, **inputs, use_reentrant=False, preserve_rng_state=False)
        else:
            embeds = self.model.embed_prompt(**inputs)
        mask = inputs["attention_mask"]
        if self.blanks:
            width = int(mask[: len(features)].sum(-1).max())
            embeds, mask = embeds[: len(features), -width:], mask[: len(features), -width:]
        return answer_logprobs(
            self.model.language_model,
            self.model.lm_head,
            embeds,
            mask,
            answer_ids.to(embeds.device),
            answer_mask.to(embeds.device),
            temperature,
        )


def release_towers(model: Any) -> None:
    """Free the towers of a model that only scores: it is given features.

    Args:
        model: HumanOmni; it cannot encode clips any more.
    """
    model.vision_tower, model.audio_tower = nn.Identity(), nn.Identity()


def pad_answers(groups: Sequence[Sequence[Sequence[int]]]) -> tuple[Tensor, Tensor]:
    """Stack groups of answers, padded on the right; returns ids and mask, [batch, group, answer].

    Args:
        groups: token ids of the answers of each prompt; equally many for each.
    """
    longest = max(len(answer) for group in groups for answer in group)
    rows = [[*answer, *[0] * (longest - len(answer))] for group in groups for answer in group]
    lengths = torch.tensor([len(answer) for group in groups for answer in group])
    shape = (len(groups), len(groups[0]))
    ids = torch.tensor(rows, dtype=torch.long).unflatten(0, shape)
    return ids, (torch.arange(longest) < lengths[:, None]).unflatten(0, shape)
