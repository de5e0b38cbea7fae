"""What is asked of the model, and how an answer is drawn.

A `Prompt` is a conversation with the features of at most one clip; its media stand at the head of the first user
message, and the router reads the last user message. A `Sampling` belongs to one request: what a request gets depends on
its prompt and its sampling alone, never on what runs beside it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from r1omni.core.instruction import with_text_field
from r1omni.core.message import Message
from r1omni.infer.features import NO_FEATURES, Features


@dataclass(frozen=True)
class Prompt:
    """A conversation that the model continues."""

    messages: tuple[Message, ...]
    """Turns in order. Without a system message the default of the chat template applies."""
    features: Features = NO_FEATURES
    """The clip that the conversation is about."""
    prefix: str = ""
    """Opening of the assistant's answer: read, not generated."""

    @classmethod
    def ask(cls, instruction: str, features: Features = NO_FEATURES, prefix: str = "") -> "Prompt":
        """Return a prompt of one user message.

        Args:
            instruction: the question.
            features: the clip it is about; its words, if it comes with them, become a field after the question.
            prefix: opening of the answer.
        """
        if features.text is not None:
            instruction = with_text_field(instruction, features.text.label, features.text.text)
        return cls((Message("user", instruction),), features, prefix)


@dataclass(frozen=True)
class Sampling:
    """How the answers to one prompt are drawn.

    Greedy answers follow the checkpoint's repetition penalty, as transformers' `generate` does; sampled ones follow the
    distribution that training scores: no penalty, no top-k, no top-p.
    """

    temperature: float = 0.0
    """0 takes the most likely token."""
    max_tokens: int = 512
    """Tokens of an answer, the end-of-turn token included."""
    seed: int = 0
    """Fixes what is drawn."""
    num_samples: int = 1
    """Answers to the prompt."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer as soon as one of them is written."""


def clip_seeds(seed: int | str) -> Callable[[str], int]:
    """Return a function from a clip's id to the seed of its draws; an id that comes again gets another one.

    Args:
        seed: the seed of the run or of the step.
    """
    seen: Counter[str] = Counter()

    def next_seed(clip_id: str) -> int:
        seen[clip_id] += 1
        return clip_seed(seed, clip_id, seen[clip_id] - 1)

    return next_seed


def clip_seed(seed: int | str, clip_id: str, occurrence: int = 0) -> int:
    """Return the seed of a clip's draws: 56 bits that depend on neither the batch nor the order of the clips.

    Args:
        seed: the seed of the run or of the step.
        clip_id: id of the clip.
        occurrence: how often the clip was answered before under this seed.
    """
    name = hashlib.sha256(f"{seed}/{occurrence}/{clip_id}".encode()).digest()
    return int.from_bytes(name[:7], "big")
