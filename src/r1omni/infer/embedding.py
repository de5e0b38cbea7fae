"""Prompts as the language model reads them: embedded, with projected features in place of the placeholders.

Also what the generator and the scorer both ask of a checkpoint: the tokens that end a turn, its repetition penalty, and
evaluation mode for as long as they run.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypedDict

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from r1omni.infer.prompt import Prompt
from r1omni.model.adapters import TrainedModel, beneath_adapters
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.processing import HumanOmniProcessor


class PromptInputs(TypedDict):
    """The arguments of the model's `embed_prompt`."""

    input_ids: Int[Tensor, "batch prompt"]
    attention_mask: Int[Tensor, "batch prompt"]
    router_input_ids: Int[Tensor, "batch words"]
    router_attention_mask: Int[Tensor, "batch words"]
    video_features: list[Tensor | None]
    audio_features: list[Tensor | None]


def embed_prompts(
    model: HumanOmniForConditionalGeneration, processor: HumanOmniProcessor, prompts: Sequence[Prompt]
) -> tuple[Float[Tensor, "batch prompt hidden"], Bool[Tensor, "batch prompt"]]:
    """Embed prompts, the prefix of the answer included; gradients reach the projectors.

    Args:
        model: HumanOmni.
        processor: its processor.
        prompts: at least one.

    Returns:
        Embeddings, padded on the left, and their mask: true at real tokens.
    """
    inputs = prompt_inputs(model, processor, prompts)
    return model.embed_prompt(**inputs), inputs["attention_mask"].bool()


def prompt_inputs(
    model: HumanOmniForConditionalGeneration, processor: HumanOmniProcessor, prompts: Sequence[Prompt]
) -> PromptInputs:
    """Return the arguments of the model's `embed_prompt`, on its device; see `embed_prompts`."""
    features = [prompt.features for prompt in prompts]
    text = processor.process_text(
        [prompt.messages for prompt in prompts],
        [entry.video is not None for entry in features],
        [entry.audio is not None for entry in features],
        [0 if entry.video is None else len(entry.video) for entry in features],
        prefixes=[prompt.prefix for prompt in prompts],
    ).to(model.device)
    return PromptInputs(
        input_ids=text["input_ids"],
        attention_mask=text["attention_mask"],
        router_input_ids=text["router_input_ids"],
        router_attention_mask=text["router_attention_mask"],
        video_features=[None if entry.video is None else entry.video.to(model.device) for entry in features],
        audio_features=[None if entry.audio is None else entry.audio.to(model.device) for entry in features],
    )


def prompt_lengths(processor: HumanOmniProcessor, prompts: Sequence[Prompt]) -> list[int]:
    """Return how many tokens each prompt has; equal texts are tokenised once.

    Args:
        processor: the model's processor.
        prompts: any number.
    """
    lengths: dict[object, int] = {}
    found = []
    for prompt in prompts:
        video, audio = prompt.features.video, prompt.features.audio
        num_frames = 0 if video is None else len(video)
        key = prompt.messages, num_frames, audio is not None, prompt.prefix
        if key not in lengths:
            lengths[key] = len(processor.prompt_ids(*key[:3], prefix=prompt.prefix))
        found.append(lengths[key])
    return found


def left_pad(
    rows: Sequence[Float[Tensor, "_ hidden"]],
) -> tuple[Float[Tensor, "batch prompt hidden"], Bool[Tensor, "batch prompt"]]:
    """Stack embedded rows of different lengths, padding on the left.

    Args:
        rows: [tokens, hidden] each.

    Returns:
        The rows and their mask: true at real tokens.
    """
    padded = pad_sequence(list(rows), batch_first=True, padding_side="left")
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device) >= padded.shape[1] - lengths[:, None]


def stop_ids(model: TrainedModel, processor: HumanOmniProcessor) -> list[int]:
    """Return the end-of-turn tokens; the first is the one that training teaches."""
    first = processor.tokenizer.eos_token_id
    configured = getattr(beneath_adapters(model).generation_config, "eos_token_id", None)
    others = configured if isinstance(configured, list) else [configured]
    return [first, *(other for other in others if other is not None and other != first)]


def repetition_penalty(model: HumanOmniForConditionalGeneration) -> float:
    """Return the penalty that the checkpoint's generation settings put on greedy answers; 1 where they set none."""
    return getattr(model.generation_config, "repetition_penalty", None) or 1.0


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold a model in evaluation mode; afterwards, also after an error, each part is in the mode it was in.

    Args:
        model: any module.
    """
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
