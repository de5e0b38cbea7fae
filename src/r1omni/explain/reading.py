"""Reader 2 of coherence: which emotion the model itself reads in reasons, given neither pictures nor sound.

The prompt is the one that the answer was written to, without its clip; the reasons stand as if the model had just
written them, and every label is scored behind them. One prefill per answer.
"""

from collections.abc import Sequence

from r1omni.core.answer_format import AnswerFormat
from r1omni.explain.attribution import AnsweredClip, has_reasons
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer


def read_alone(
    scorer: Scorer, answered: Sequence[AnsweredClip], labels: Sequence[str]
) -> list[dict[str, float] | None]:
    """Return the probability of every label given an answer's reasons and nothing else.

    Args:
        scorer: over the model that wrote the answers.
        answered: any number of answers; their clips are not looked at.
        labels: the label set, at least one.

    Returns:
        Label -> probability, one per answer; None where the output has no reasons before an answer.
    """
    answer_format = AnswerFormat.spelled(scorer.processor.answer_format)
    wanted = [has_reasons(answer_format, entry.text) for entry in answered]
    given = [entry for entry, is_wanted in zip(answered, wanted, strict=True) if is_wanted]
    prompts = [Prompt.ask(entry.instruction) for entry in given]
    found = iter(scorer.label_probabilities(prompts, [entry.text for entry in given], labels))
    return [next(found) if is_wanted else None for is_wanted in wanted]
