"""Log-probabilities of given answers: the loss of SFT, the policy and the reference of GRPO, label probabilities.

    log p(answer | prompt) = sum over t of log p(token t | prompt, tokens before t)

A prompt is computed once for all answers to it (`shared_prefix`). The scorer is one module, so that a distributed
wrapper sees one forward call. What the projectors keep for the backward pass, a layer's worth of memory for a hundredth
of the operations at full size, is computed again instead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from r1omni.core.answer_format import AnswerFormat
from r1omni.infer.embedding import embed_prompts, evaluating, left_pad, prompt_inputs, stop_ids
from r1omni.infer.features import Features
from r1omni.infer.prompt import Prompt
from r1omni.infer.shared_prefix import answer_logprobs
from r1omni.model.adapters import TrainedModel, beneath_adapters
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.processing import HumanOmniProcessor
from r1omni.scoring.calibration import LabelCalibration

_TOWERS = ("vision_tower", "audio_tower")
_AFTER_PROMPT = ("language_model", "lm_head")


class Scorer(nn.Module):
    """Scores answers under a model.

    Args:
        model: HumanOmni, with or without adapters.
        processor: its processor.
        batch_size: prompts that `score` and `label_probabilities` compute at once.
    """

    def __init__(self, model: TrainedModel, processor: HumanOmniProcessor, *, batch_size: int = 32) -> None:
        super().__init__()
        base = beneath_adapters(model)
        # The towers are not among the parts that processes share: features are given.
        self.parts = nn.ModuleDict({name: part for name, part in base.named_children() if name not in _TOWERS})
        self._model = (base,)
        self.processor = processor
        self.batch_size = batch_size
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
    def model(self) -> HumanOmniForConditionalGeneration:
        """The model that scores; adapters live in its layers."""
        return self._model[0]

    def run_every_part(self) -> None:
        """From now on run the projectors and the router in each pass, with or without pictures and sound.

        A clip and a still image of zeros go along, because clips of each length pass the projector separately.
        """
        config, device = self.model.config, self.model.device
        patches = (config.grid_patches**2, config.vision.hidden_size)
        audio = torch.zeros(config.audio_tokens, config.audio.d_model, device=device)
        lengths = sorted({1, config.num_frames})
        self.blanks = [Features(torch.zeros(frames, *patches, device=device), audio) for frames in lengths]

    def forward(
        self,
        prompts: Sequence[Prompt],
        answer_ids: Int[Tensor, "batch group answer"],
        answer_mask: Bool[Tensor, "batch group answer"],
        temperature: float = 1.0,
    ) -> Float[Tensor, "batch group answer"]:
        """Return the log-probability of each token of each answer; 0 where masked. Differentiable.

        Args:
            prompts: one per group of answers.
            answer_ids: token ids, padded on the right with any valid id.
            answer_mask: true at the tokens to score.
            temperature: logits are divided by it, as in sampling.
        """
        blanks = [Prompt.ask("", features) for features in self.blanks]
        inputs = prompt_inputs(self.model, self.processor, [*prompts, *blanks])
        if torch.is_grad_enabled() and self.recomputes:
            embeds = checkpoint(self.model.embed_prompt, **inputs, use_reentrant=False, preserve_rng_state=False)
        else:
            embeds = self.model.embed_prompt(**inputs)
        mask = inputs["attention_mask"].bool()
        if blanks:
            width = int(mask[: len(prompts)].sum(-1).max())
            embeds, mask = embeds[: len(prompts), -width:], mask[: len(prompts), -width:]
        return self._answer_logprobs(embeds, mask, answer_ids, answer_mask, temperature)

    @torch.no_grad()
    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[Sequence[int]]], temperature: float = 1.0
    ) -> list[list[list[float]]]:
        """Return the log-probability of each token of each answer, without gradients.

        Args:
            prompts: any number of them.
            answers: token ids of each answer to each prompt; any number of answers, of any length.
            temperature: logits are divided by it, as in sampling.

        Raises:
            ValueError: there are not as many groups of answers as prompts.
        """
        if len(prompts) != len(answers):
            raise ValueError(f"Found {len(prompts)} prompts and {len(answers)} groups of answers; give one group each.")
        scored: list[list[list[float]]] = [[[] for _ in group] for group in answers]
        wanted = [place for place, group in enumerate(answers) if any(group)]
        with evaluating(self.model):
            for start in range(0, len(wanted), self.batch_size):
                part = wanted[start : start + self.batch_size]
                ids, mask = pad_answers([answers[place] for place in part])
                rows = self.forward([prompts[place] for place in part], ids, mask, temperature).tolist()
                for place, group in zip(part, rows, strict=True):
                    scored[place] = [row[: len(ids)] for row, ids in zip(group, answers[place], strict=False)]
        return scored

    @torch.no_grad()
    def label_probabilities(
        self, prompts: Sequence[Prompt], texts: Sequence[str], labels: Sequence[str]
    ) -> list[dict[str, float]]:
        """Return how likely each label is, given the prompt and what was written before it; they sum to 1.

            p(label) = (1 - lapse_rate) softmax over the labels of score(label) / temperature + lapse_rate / num_labels

        with `label_lapse_rate` and `label_temperature` of the model's config.

        Args:
            prompts: any number of them.
            texts: what the model wrote after each prompt, read up to the first tag that opens the answer (`<answer>`
                in the paper's format). Without that tag the label follows the prompt.
            labels: the label set, at least one.

        Raises:
            ValueError: there are not as many texts as prompts.
        """
        config = self.model.config
        calibration = LabelCalibration(config.label_temperature, config.label_lapse_rate)
        batches = self._label_scores(prompts, texts, labels)
        return [
            dict(zip(labels, calibration.probabilities(row), strict=True))
            for scores in batches
            for row in scores.tolist()
        ]

    @torch.no_grad()
    def label_scores(
        self, prompts: Sequence[Prompt], texts: Sequence[str], labels: Sequence[str]
    ) -> list[dict[str, float]]:
        """Return the log-probability of each label with what closes it, before any temperature.

        Args:
            prompts: see `label_probabilities`.
            texts: see `label_probabilities`.
            labels: see `label_probabilities`.

        Raises:
            ValueError: there are not as many texts as prompts.
        """
        batches = self._label_scores(prompts, texts, labels)
        return [dict(zip(labels, row, strict=True)) for scores in batches for row in scores.tolist()]

    def _label_scores(
        self, prompts: Sequence[Prompt], texts: Sequence[str], labels: Sequence[str]
    ) -> Iterator[Float[Tensor, "batch labels"]]:
        """Score the labels batch by batch, each with what closes it: none profits from beginning another one."""
        if len(prompts) != len(texts):
            raise ValueError(f"Found {len(prompts)} prompts and {len(texts)} texts; give one text each.")
        with evaluating(self.model):
            for start in range(0, len(prompts), self.batch_size):
                stop = start + self.batch_size
                yield self._batch_label_scores(prompts[start:stop], texts[start:stop], labels)

    def _batch_label_scores(
        self, prompts: Sequence[Prompt], texts: Sequence[str], labels: Sequence[str]
    ) -> Float[Tensor, "batch labels"]:
        bare = [replace(prompt, prefix="") for prompt in prompts]
        embeds, mask = embed_prompts(self.model, self.processor, bare)
        end = stop_ids(self.model, self.processor)[0]
        tokenise, answer_format = self.processor.text_ids, AnswerFormat.spelled(self.processor.answer_format)
        before, after = [], []
        for prompt, text in zip(prompts, texts, strict=True):
            head, tag, _ = (prompt.prefix + text).partition(answer_format.opening)
            given = head + tag if tag else prompt.prefix
            tokenised = [
                tokenise(f"{given}{label}{answer_format.closing}") if tag else [*tokenise(f"{given}{label}"), end]
                for label in labels
            ]
            # A token may straddle the border; the rows share what comes before the first that differs.
            common = common_length([*tokenised, tokenise(given)])
            before.append(tokenised[0][:common])
            after.append([ids[common:] for ids in tokenised])
        embed = self.model.language_model.get_input_embeddings()
        rows = [
            torch.cat([row[kept], embed(torch.tensor(ids, dtype=torch.long, device=row.device))])
            for row, kept, ids in zip(embeds, mask, before, strict=True)
        ]
        return self._answer_logprobs(*left_pad(rows), *pad_answers(after)).sum(-1)

    def _answer_logprobs(
        self, embeds: Tensor, mask: Tensor, answer_ids: Tensor, answer_mask: Tensor, temperature: float = 1.0
    ) -> Tensor:
        return answer_logprobs(
            self.model.language_model,
            self.model.lm_head,
            embeds,
            mask,
            answer_ids.to(embeds.device),
            answer_mask.to(embeds.device),
            temperature,
        )


def release_towers(model: TrainedModel) -> None:
    """Free the towers of a model that only scores: it is given features.

    Args:
        model: HumanOmni; it cannot encode clips any more.
    """
    base = beneath_adapters(model)
    base.vision_tower, base.audio_tower = nn.Identity(), nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]


def pad_answers(
    groups: Sequence[Sequence[Sequence[int]]],
) -> tuple[Int[Tensor, "batch group answer"], Bool[Tensor, "batch group answer"]]:
    """Stack groups of answers, padded on the right; smaller groups are filled up with empty answers.

    Args:
        groups: token ids of the answers to each prompt.

    Returns:
        The ids and their mask: true at the answers' tokens.
    """
    size = max(len(group) for group in groups)
    answers = [answer for group in groups for answer in [*group, *[()] * (size - len(group))]]
    longest = max(len(answer) for answer in answers)
    rows = [[*answer, *[0] * (longest - len(answer))] for answer in answers]
    lengths = torch.tensor([len(answer) for answer in answers])
    shape = (len(groups), size)
    ids = torch.tensor(rows, dtype=torch.long).unflatten(0, shape)
    return ids, (torch.arange(longest) < lengths[:, None]).unflatten(0, shape)


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """Return the length of the longest common beginning.

    Args:
        rows: at least one.
    """
    for position, ids in enumerate(zip(*rows, strict=False)):
        if len(set(ids)) > 1:
            return position
    return min(len(row) for row in rows)
