"""The supervised examples of the base: captions of cues, and what expressions mean from text alone."""

from itertools import cycle

import numpy as np

from r1omni.core.clip import Clip
from r1omni.core.labels import MAFW_LABELS
from r1omni.synth.words import CAPTION_INSTRUCTIONS, KNOWLEDGE_INSTRUCTION, conclude, describe
from r1omni.synth.world import CHANNELS, Channel, Noise, express
from r1omni.train.training_data import Example


def caption_examples(clips: list[Clip]) -> list[Example]:
    """Return captions of what is seen and heard in each clip, without any emotion, for varied instructions."""
    return [
        Example(instruction=instruction, answer=clip.reasoning or "", clip=clip)
        for clip, instruction in zip(clips, cycle(CAPTION_INSTRUCTIONS), strict=False)
    ]


def knowledge_examples(count: int, seed: int, noise: Noise) -> list[Example]:
    """Return text-only examples of what expressions mean: descriptions of people, and what they feel.

    They stand in for what a language model learns from its pretraining text. The descriptions name three or more cues,
    with the world's noise; the loss is on the emotion only, so that the descriptions do not teach inventing cues.

    Args:
        count: number of examples.
        seed: seeds the world.
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
