"""The one grader: Answer x gold -> Score. Rewards, evaluation and reports all call it.

An answer counts only if its normalised form equals the gold label. Anything outside the label set is a miss and is
counted as out of vocabulary; it is never dropped and never mapped to a default.
"""

from collections.abc import Sequence

from r1omni.core.clip import Answer, Score
from r1omni.core.errors import ConfigError
from r1omni.scoring.normalise import NormaliserName, exact, normalise


def grade(answer: Answer, gold: str, labels: Sequence[str], normaliser: NormaliserName = "exact") -> Score:
    """Grade one answer.

    Args:
        answer: the parsed output.
        gold: the true label, one of `labels`, apart from case and surrounding spaces.
        labels: the label set of the corpus.
        normaliser: how the answer is normalised before it is compared; see `scoring.normalise`.

    Raises:
        ConfigError: the gold label is not in the label set, so that no answer could be correct.
    """
    gold, labels = exact(gold), [exact(label) for label in labels]
    if gold not in labels:
        raise ConfigError(
            f"Gold label {gold!r} is not in the label set ({', '.join(labels)}); "
            "evaluate with the corpus's own labels (--labels manifest) or fix the manifest."
        )
    normalised = normalise(answer.answer, normaliser, labels)
    return Score(
        correct=normalised == gold,
        out_of_vocabulary=normalised not in labels,
        well_formed=answer.well_formed,
        normalised=normalised,
    )
