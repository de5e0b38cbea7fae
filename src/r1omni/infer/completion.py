"""What the generator hands out: answers, and the tokens of an answer one by one."""

from dataclasses import dataclass
from typing import Literal

from r1omni.core.media_read import NOTHING_READ, MediaRead

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Completion:
    """One answer as it was written."""

    token_ids: list[int]
    """With the end-of-turn token or the tokens of the stop string, where one ended it."""
    text: str
    """Without special tokens; cut before the stop string."""
    logprobs: list[float]
    """Of each token, under the distribution it was drawn from (of greedy answers: under the model's own)."""
    finish_reason: FinishReason
    """`stop` at an end-of-turn token or a stop string, `length` at the limit of tokens."""
    read: MediaRead = NOTHING_READ
    """What was read of the clip that the prompt is about."""

    @classmethod
    def unwritten(cls, read: MediaRead) -> "Completion":
        """Return the answer to a request that was cancelled before a token was written.

        Args:
            read: what was read of its clip.
        """
        return cls([], "", [], "cancelled", read)

    @property
    def truncated(self) -> bool:
        """Whether the limit of tokens cut it off."""
        return self.finish_reason == "length"


@dataclass(frozen=True)
class Event:
    """One token of one answer."""

    request: int
    """The number that `admit` returned."""
    sample: int
    """Which of the request's answers."""
    token_id: int
    logprob: float
    text: str
    """Text that the token completed: whole characters, and none of a stop string. Put together, the texts of an answer
    are its completion's."""
    completion: Completion | None = None
    """The whole answer, with its last token; None before."""
