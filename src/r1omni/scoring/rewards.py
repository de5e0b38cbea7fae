"""Verifiable rewards: functions of one answer, its gold label and what was measured in its clip, each in [0, 1].

    R = sum over names of weight x REWARDS[name](answer, gold, labels, evidence)

The paper's reward is accuracy + format with weights of 1; coherence and grounding are this package's own. To add a
reward, write a function and a row of `REWARDS`.
"""

from collections.abc import Callable, Sequence

from r1omni.core.clip import Answer
from r1omni.core.evidence import Evidence
from r1omni.scoring.claim_grading import grade_claims
from r1omni.scoring.claims import read_reasons
from r1omni.scoring.grade import grade
from r1omni.scoring.implied_emotion import implied_emotion

Reward = Callable[[Answer, str, Sequence[str], Evidence | None], float]

FULL_CLAIMS = 9
"""Supported claims that earn the whole grounding reward; the drawn people have as many cues."""
FALSE_CLAIM_COST = 3.0
"""What a contradicted claim takes, in supported claims. A claim pays where it holds in more than cost / (1 + cost) of
the cases, here three quarters: a sure claim pays and a guess does not, so that neither guessing nor silence pays."""


def accuracy_reward(answer: Answer, gold: str, labels: Sequence[str], evidence: Evidence | None = None) -> float:
    """Return 1 if the answer, stripped and lower-cased, is the gold label, else 0.

    Args:
        answer: the parsed output.
        gold: the true label, one of `labels`.
        labels: the label set of the corpus.
        evidence: unused.

    Source:
        arXiv 2503.05379, section 3.2. Deviation: the published code falls back to the whole output when tags are broken
        and is case-sensitive; here the one parser decides, in training as in evaluation.
    """
    del evidence
    return float(grade(answer, gold, labels).correct)


def format_reward(answer: Answer, gold: str, labels: Sequence[str], evidence: Evidence | None = None) -> float:
    """Return 1 for an answer with exactly the parts of its format, each once, in order, non-empty, and nothing else.

    Args:
        answer: the parsed output.
        gold: unused.
        labels: unused.
        evidence: unused.

    Source:
        arXiv 2503.05379, section 3.2. Deviation: the published pattern accepts empty, repeated and nested parts, which
        a policy learns to exploit.
    """
    del gold, labels, evidence
    return float(answer.well_formed)


def coherence_reward(answer: Answer, gold: str, labels: Sequence[str], evidence: Evidence | None = None) -> float:
    """Return 1 if the reasons alone imply the emotion that is answered, right or wrong, else 0.

    Args:
        answer: the parsed output; without reasons, or where nothing tells what they imply, it earns nothing.
        gold: unused.
        labels: the label set of the corpus.
        evidence: unused.
    """
    del gold, evidence
    implied = implied_emotion(answer.reasoning, labels).label
    return float(implied is not None and implied == answer.answer)


def grounding_reward(answer: Answer, gold: str, labels: Sequence[str], evidence: Evidence | None = None) -> float:
    """Return how much of what can be measured the reasons say rightly.

        1/2 + (supported - FALSE_CLAIM_COST x contradicted) / (2 x FULL_CLAIMS), between 0 and 1

    Reasons without a claim earn 1/2, so that there is something to lose. Denials ("no smile") can cost and never earn,
    a claim that is repeated counts once, and what nothing measures counts for nothing.

    Args:
        answer: the parsed output; without reasons it earns nothing.
        gold: unused.
        labels: unused.
        evidence: what was measured in the clip, or in the sides of it that the model was given.

    Raises:
        ValueError: there is no evidence.
    """
    del gold, labels
    if evidence is None:
        raise ValueError("there is no evidence for this clip; give its measurements, or set rewards.grounding to 0")
    if not answer.reasoning:
        return 0.0
    claims = {(claim.what, claim.value, claim.polarity): claim for claim in read_reasons(answer.reasoning).claims}
    net = 0.0
    for graded in grade_claims(list(claims.values()), evidence):
        if graded.state == "contradicted":
            net -= FALSE_CLAIM_COST
        elif graded.state == "supported" and graded.claim.polarity == "positive":
            net += 1
    return min(1.0, max(0.0, 0.5 + net / (2 * FULL_CLAIMS)))


REWARDS: dict[str, Reward] = {
    "accuracy": accuracy_reward,
    "format": format_reward,
    "coherence": coherence_reward,
    "grounding": grounding_reward,
}
PAPER_REWARDS = ("accuracy", "format")
"""Those of the paper."""
NEED_EVIDENCE = frozenset({"grounding"})
"""Those that read what was measured in the clip."""
