"""Verifiable rewards: functions of one answer and its gold label, each in [0, 1].

    R = sum over names of weight x REWARDS[name](answer, gold, labels)

The paper's reward is accuracy + format with weights of 1. To add a reward, write a function and a row of `REWARDS`.
"""

from collections.abc import Callable, Sequence

from r1omni.core.clip import Answer
from r1omni.scoring.grade import grade

Reward = Callable[[Answer, str, Sequence[str]], float]


def accuracy_reward(answer: Answer, gold: str, labels: Sequence[str]) -> float:
    """Return 1 if the answer, stripped and lower-cased, is the gold label, else 0.

    Args:
        answer: the parsed output.
        gold: the true label, one of `labels`.
        labels: the label set of the corpus.

    Source:
        arXiv 2503.05379, section 3.2. Deviation: the published code falls back to the whole output when tags are broken
        and is case-sensitive; here the one parser decides, in training as in evaluation.
    """
    return float(grade(answer, gold, labels).correct)


def format_reward(answer: Answer, gold: str, labels: Sequence[str]) -> float:
    """Return 1 for an answer with exactly the parts of its format, each once, in order, non-empty, and nothing else.

    Args:
        answer: the parsed output.
        gold: unused.
        labels: unused.

    Source:
        arXiv 2503.05379, section 3.2. Deviation: the published pattern accepts empty, repeated and nested parts, which
        a policy learns to exploit.
    """
    del gold, labels
    return float(answer.well_formed)


REWARDS: dict[str, Reward] = {"accuracy": accuracy_reward, "format": format_reward}
