"""The supervised examples of the recipe: captions, what expressions mean from text alone, and reasons a model can see.

The reasoned examples of the cold start name what annotators saw. A model that is taught to name more than it perceives
learns to guess, so a cue is left out of an example where the base model does not see it; compare Zhang et al. 2024,
"R-Tuning: Instructing Large Language Models to Say 'I Don't Know'".
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import get_args

import numpy as np

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.instruction import REASONING_INSTRUCTION, format_answer
from r1omni.core.labels import MAFW_LABELS, Emotion
from r1omni.infer.engine import Engine
from r1omni.infer.features import Side
from r1omni.infer.prompt import Sampling
from r1omni.synth.words import CAPTION_INSTRUCTIONS, KNOWLEDGE_INSTRUCTION, conclude, describe, read_claims
from r1omni.synth.world import CHANNELS, FACE_CHANNELS, VOICE_CHANNELS, Channel, Noise, express
from r1omni.train.training_data import Example

SEEN: dict[Side, tuple[Channel, ...]] = {"pictures": FACE_CHANNELS, "sound": VOICE_CHANNELS}
"""Side -> the channels that go with it."""


def caption_examples(clips: list[Clip]) -> list[Example]:
    """Return captions of what is seen and heard in each clip, without any emotion, for varied instructions."""
    return [
        Example(
            instruction=instruction,
            answer=clip.reasoning or "",
            clip=clip,
            one_sided={side: caption_without(clip, side) for side in get_args(Side)},
        )
        for clip, instruction in zip(clips, cycle(CAPTION_INSTRUCTIONS), strict=False)
    ]


def caption_without(clip: Clip, side: Side) -> str:
    """Return a clip's caption without what one side shows: the words are in the sound, and in a subtitle if it has one.

    Args:
        clip: of a made corpus, with its caption.
        side: what is taken away.
    """
    words_remain = side == "pictures" or clip.meta.get("subtitled", True)
    gone = {*SEEN[side], *(() if words_remain else ("words",))}
    claims = read_claims(clip.reasoning or "")
    return describe({channel: value for channel, value in claims.items() if channel not in gone})


CAPTIONS_PER_CLIP = 8
"""Captions that the base model writes of a clip, to tell what it sees."""
_CAPTION_TOKENS = 72


def seen_cues(engine: Engine, clips: Sequence[Clip], share: float) -> list[set[Channel]]:
    """Return the channels of each clip that a model sees: it names their true cue in enough of its sampled captions.

    Args:
        engine: the base model's.
        clips: of a made corpus.
        share: of `CAPTIONS_PER_CLIP` captions.

    Raises:
        MediaError: a clip cannot be read.
    """
    sampling = Sampling(temperature=1.0, max_tokens=_CAPTION_TOKENS, num_samples=CAPTIONS_PER_CLIP)
    found = []
    for clip, captions in zip(clips, engine.answer(clips, CAPTION_INSTRUCTIONS[0], sampling), strict=True):
        if isinstance(captions, MediaError):
            raise captions
        found.append(rightly_named([caption.text for caption in captions], clip.meta["cues"], share))
    return found


def rightly_named(captions: Sequence[str], cues: Mapping[Channel, str], share: float) -> set[Channel]:
    """Return the channels whose true cue is named in at least a share of some captions.

    Args:
        captions: of one clip.
        cues: the clip's true cues.
        share: of the captions.
    """
    claims = Counter(claim for caption in captions for claim in read_claims(caption).items())
    return {channel for channel, value in cues.items() if claims[channel, value] >= share * len(captions)}


def without_unseen(clip: Clip, seen: set[Channel]) -> Clip:
    """Return a clip whose reasoning names only what is seen, then the emotion.

    Args:
        clip: with a reasoning that names cues and concludes.
        seen: the channels that may be named.
    """
    claims = read_claims(clip.reasoning or "")
    named: dict[Channel, str] = {channel: value for channel, value in claims.items() if channel in seen}
    conclusion = conclude(clip.meta["emotion"])
    return replace(clip, reasoning=f"{describe(named)} {conclusion}".strip())


def knowledge_examples(
    count: int, seed: int, noise: Noise, *, one_sided: float = 0.0, answered: float = 0.0
) -> list[Example]:
    """Return text-only examples of what expressions mean: descriptions of people, and what they feel.

    They stand in for what a language model learns from its pretraining text. The descriptions name three or more cues,
    with the world's noise; the loss is on the emotion only, so that the descriptions do not teach inventing cues.

    Args:
        count: number of examples.
        seed: seeds the world.
        noise: the world's noise.
        one_sided: share of the descriptions that name the cues of one side and the words only.
        answered: share that go on to the answer in its tags.
    """
    rng = np.random.default_rng([seed, 2000])
    extra = np.random.default_rng([seed, 2001])
    emotions = (*MAFW_LABELS, "calm")
    examples = []
    for _ in range(count):
        emotion = emotions[int(rng.integers(len(emotions)))]
        cues = express(emotion, rng, noise)
        chosen = set(rng.choice(CHANNELS, size=int(rng.choice([2, 3, 4, 6, 9, 9, 9])), replace=False).tolist())
        if extra.random() < one_sided:
            chosen = {*(FACE_CHANNELS if extra.random() < 0.5 else VOICE_CHANNELS), "words"}
        named: dict[Channel, str] = {channel: cues[channel] for channel in CHANNELS if channel in chosen}
        examples.append(_knowledge(describe(named), emotion, is_answered=extra.random() < answered))
    return examples


def _knowledge(description: str, emotion: Emotion, *, is_answered: bool) -> Example:
    if not is_answered:
        return Example(instruction=KNOWLEDGE_INSTRUCTION, given=description, answer=f" {conclude(emotion)}")
    whole = format_answer(f"{description} {conclude(emotion)}", emotion)
    given = whole[: whole.index(description) + len(description)]
    return Example(instruction=REASONING_INSTRUCTION, given=given, answer=whole[len(given) :])
