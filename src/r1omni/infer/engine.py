"""The one engine that turns clips into features and answers, for training, evaluation, explanation and service.

An `Encoder` turns clips into features. A
prompt is prefilled once and shared by all answers to it. What a clip samples depends on the seed and its id alone, not
on the batch it is in.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.decode import sample_groups
from r1omni.infer.embedding import embed_prompts, evaluating, repetition_penalty, stop_ids
from r1omni.infer.encoder import Encoder
from r1omni.infer.feature_cache import FeatureCache
from r1omni.infer.features import Features
from r1omni.infer.prompt import Prompt, clip_seed
from r1omni.infer.scorer import Scorer
from r1omni.media.decode import Modality
from r1omni.model.adapters import TrainedModel, beneath_adapters
from r1omni.model.processing import HumanOmniProcessor


@dataclass(frozen=True)
class Generation:
    """One answer as it was written."""

    token_ids: list[int]
    """With the end-of-turn token, unless truncated."""
    text: str
    """Without special tokens."""
    logprobs: list[float]
    """Of each token, under the distribution it was sampled from."""
    truncated: bool
    """Ran into the limit of tokens."""


class Engine:
    """Features and answers of clips.

    Args:
        model: HumanOmni; its weights are read anew at every call, so a model in training can be sampled from.
        processor: its processor.
        cache: features on disk; None keeps them in memory only.
        batch_size: prompts, or clips in the towers, at a time.
        num_workers: threads that decode clips.
        num_frames: frames sampled from a clip.
        modality: what is read of a clip; `auto` takes what is there.
        memory_bytes: features held in memory.
    """

    def __init__(
        self,
        model: TrainedModel,
        processor: HumanOmniProcessor,
        *,
        cache: FeatureCache | None = None,
        batch_size: int = 32,
        num_workers: int = 2,
        num_frames: int = 8,
        modality: Modality = "auto",
        memory_bytes: int = 2**30,
    ) -> None:
        self.model, self.processor, self.batch_size = model, processor, batch_size
        self._base = beneath_adapters(model)
        self.encoder = Encoder(
            model,
            processor,
            cache=cache,
            batch_size=batch_size,
            num_workers=num_workers,
            num_frames=num_frames,
            modality=modality,
            memory_bytes=memory_bytes,
        )

    def features(self, clips: Sequence[Clip]) -> list[Features | MediaError]:
        """Return each clip's features, or the error that says why it cannot be read."""
        return self.encoder.features(clips)

    def generate(
        self,
        clips: Sequence[Clip],
        instruction: str | Sequence[str],
        *,
        num_samples: int = 1,
        temperature: float = 0.0,
        max_new_tokens: int,
        seed: int | str = 0,
    ) -> list[list[Generation] | MediaError]:
        """Write answers to clips.

        Greedy answers equal the model's own `generate`, the repetition penalty of its generation settings included.
        Sampled ones follow the distribution that training scores: no penalty, no top-k, no top-p.

        Args:
            clips: the clips; one that cannot be read gives its error.
            instruction: one for all, or one per clip.
            num_samples: answers per clip.
            temperature: 0 takes the likeliest token.
            max_new_tokens: tokens of an answer, the end-of-turn token included.
            seed: with the clip's id, fixes what is drawn.
        """
        instructions = [instruction] * len(clips) if isinstance(instruction, str) else list(instruction)
        results: list[Any] = list(self.features(clips))
        uniforms = _uniforms(clips, num_samples, max_new_tokens, seed)
        readable = [index for index, features in enumerate(results) if isinstance(features, Features)]
        with evaluating(self.model):
            for start in range(0, len(readable), self.batch_size):
                part = readable[start : start + self.batch_size]
                written = self._write(
                    [instructions[index] for index in part],
                    [results[index] for index in part],
                    uniforms[part],
                    temperature,
                )
                for index, generations in zip(part, written, strict=True):
                    results[index] = generations
        return results

    def label_probabilities(
        self,
        clips: Sequence[Clip],
        instruction: str | Sequence[str],
        texts: Sequence[str],
        labels: Sequence[str],
    ) -> list[dict[str, float] | MediaError]:
        """Return how likely each label was, given the clip and what was written before it; they sum to 1.

        Args:
            clips: the clips.
            instruction: one for all, or one per clip.
            texts: what the model wrote; read up to the first `<answer>`. Without that tag the label follows the prompt.
            labels: the label set.
        """
        instructions = [instruction] * len(clips) if isinstance(instruction, str) else list(instruction)
        results: list[Any] = list(self.features(clips))
        readable = [index for index, features in enumerate(results) if isinstance(features, Features)]
        scored = Scorer(self.model, self.processor, batch_size=self.batch_size).label_probabilities(
            [Prompt.ask(instructions[index], results[index]) for index in readable],
            [texts[index] for index in readable],
            labels,
        )
        for index, probabilities in zip(readable, scored, strict=True):
            results[index] = probabilities
        return results

    def _write(
        self, instructions: list[str], features: list[Features], uniforms: Tensor, temperature: float
    ) -> list[list[Generation]]:
        prompts = [Prompt.ask(*asked) for asked in zip(instructions, features, strict=True)]
        with torch.no_grad():
            embeds, mask = embed_prompts(self._base, self.processor, prompts)
        samples = sample_groups(
            self.model.language_model,
            self.model.lm_head,
            embeds,
            mask,
            temperature=temperature,
            stop_ids=stop_ids(self._base, self.processor),
            uniforms=uniforms.to(embeds.device),
            repetition_penalty=repetition_penalty(self._base),
        )
        group = samples.lengths.shape[1]
        lengths, truncated = samples.lengths.flatten().tolist(), samples.truncated.flatten().tolist()
        ids, logprobs = samples.token_ids.flatten(0, 1).tolist(), samples.logprobs.flatten(0, 1).tolist()
        ids = [row[:length] for row, length in zip(ids, lengths, strict=True)]
        texts = self.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
        written = [
            Generation(row, text, chances[: len(row)], cut)
            for row, text, chances, cut in zip(ids, texts, logprobs, truncated, strict=True)
        ]
        return [written[start : start + group] for start in range(0, len(written), group)]


def build_engine(model: TrainedModel, processor: HumanOmniProcessor, settings: EngineSection) -> Engine:
    """Build the one engine over a loaded model.

    Args:
        model: HumanOmni, with or without adapters.
        processor: its processor.
        settings: the engine's section of a configuration.
    """
    folder = settings.cache_dir or Path(os.environ.get("R1OMNI_CACHE", "~/.cache/r1omni")).expanduser() / "features"
    return Engine(
        model,
        processor,
        cache=FeatureCache(folder, settings.cache_bytes),
        batch_size=settings.batch_size,
        num_workers=settings.num_workers,
        num_frames=settings.num_frames or processor.num_frames,
        modality=settings.modality,
    )


def _uniforms(clips: Sequence[Clip], num_samples: int, num_tokens: int, seed: int | str) -> Tensor:
    """[clips, samples, tokens] in [0, 1), from the seed, the clip's id and how often it came before."""
    seen: Counter[str] = Counter()
    drawn = torch.empty(len(clips), num_samples, num_tokens)
    generator = torch.Generator()
    for row, clip in zip(drawn, clips, strict=True):
        row.uniform_(generator=generator.manual_seed(clip_seed(seed, clip.id, seen[clip.id])))
        seen[clip.id] += 1
    return drawn
