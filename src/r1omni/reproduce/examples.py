"""Clips -> supervised examples, a function for each stage."""

from itertools import cycle

import numpy as np

from r1omni.core.clip import Clip
from r1omni.core.instruction import LABEL_INSTRUCTION, REASONING_INSTRUCTION, format_answer
from r1omni.core.labels import MAFW_LABELS
from r1omni.synth.words import CAPTION_INSTRUCTIONS, KNOWLEDGE_INSTRUCTION, conclude, describe
from r1omni.synth.world import CHANNELS, Channel, Noise, express
from r1omni.train.sft import Example


def caption_examples(clips: list[Clip]) -> list[Example]:
    """What is seen and heard in each clip, without any emotion, asked for in many ways."""
    return [
        Example(instruction=instruction, answer=clip.reasoning or "", clip=clip)
        for clip, instruction in zip(clips, cycle(CAPTION_INSTRUCTIONS), strict=False)
    ]


def knowledge_examples(count: int, seed: int, noise: Noise) -> list[Example]:
    """What expressions mean, from text alone: descriptions of people who feel something, and what they feel.

    A language model knows this from reading. The descriptions name three cues or more and are as noisy as people are;
    only what the person feels is learnt, so that the descriptions teach no habit of inventing cues.

    Args:
        count: how many.
        seed: the world.
        noise: the world's noise.
    """
    rng = np.random.default_rng([seed, 2000])
    emotions = (*MAFW_LABELS, "calm")
    examples = []
    for _ in range(count):
        emotion = emotions[int(rng.integers(len(emotions)))]
        cues = express(emotion, rng, noise)
        chosen = set(rng.choice(CHANNELS, size=int(rng.choice([2, 3, 4, 6, 9, 9, 9])), replace=False).tolist())
        named: dict[Channel, str] = {channel: cues[channel] for channel in CHANNELS if channel in chosen}
        examples.append(
            Example(instruction=KNOWLEDGE_INSTRUCTION, given=describe(named), answer=f" {conclude(emotion)}")
        )
    return examples


def label_examples(clips: list[Clip]) -> list[Example]:
    """The label and nothing else: the label-only SFT."""
    return [Example(instruction=LABEL_INSTRUCTION, answer=clip.label or "", clip=clip) for clip in clips]


def reasoned_examples(clips: list[Clip]) -> list[Example]:
    """Reasons and an answer between their tags: the cold start."""
    return [
        Example(
            instruction=REASONING_INSTRUCTION,
            answer=format_answer(clip.reasoning or "", clip.label or ""),
            clip=clip,
        )
        for clip in clips
    ]
