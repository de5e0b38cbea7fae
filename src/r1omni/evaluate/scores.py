"""scores.json: every figure of one run in percent, with its counts, its intervals and the normaliser's name.

Clips that could not be read and clips without a gold label are left out of the metrics; how many there were stands
beside every metric. A metric over nothing is null.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.evaluate.explanation_scores import compare_reasons
from r1omni.scoring import metrics
from r1omni.scoring.explained_answer import ExplainedAnswer
from r1omni.scoring.intervals import Interval, bootstrap, mcnemar, paired_bootstrap, spread
from r1omni.scoring.normalise import NormaliserName, normaliser_rule
from r1omni.scoring.open_vocabulary import hit_rate, set_scores, split_words, wheel_rule
from r1omni.scoring.prediction import Prediction, scored, war_and_uar

_NUM_STRANGERS = 20  # most frequent answers outside the label set that scores.json lists


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 4)


def _percent_interval(interval: Interval) -> list[float | None]:
    return [_percent(interval.low), _percent(interval.high)]


def _counts(predictions: Sequence[Prediction], num_scored: int) -> dict[str, Any]:
    errors = Counter(prediction.error_kind for prediction in predictions if prediction.error_kind)
    return {
        "num_clips": len(predictions),
        "num_scored": num_scored,
        "num_errors": sum(errors.values()),
        "num_without_gold": len(predictions) - num_scored - sum(errors.values()),
        "errors": dict(sorted(errors.items())),
    }


def _format_rate(predictions: Sequence[Prediction]) -> float | None:
    read = [prediction for prediction in predictions if prediction.error_kind is None]
    return _percent(sum(bool(prediction.well_formed) for prediction in read) / len(read)) if read else None


def closed_set_scores(
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    normaliser: NormaliserName,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a run against one gold label per clip.

    Args:
        predictions: one per clip, already normalised.
        labels: the label set.
        normaliser: the name of what was done to the answers.
        num_resamples: of the bootstrap.
        confidence: share of the resamples inside the interval.
        seed: of the bootstrap.
    """
    over = scored(predictions)
    golds = [prediction.gold or "" for prediction in over]
    answers = [prediction.normalised for prediction in over]
    intervals = bootstrap(golds, answers, num_resamples=num_resamples, confidence=confidence, seed=seed)
    war, uar = war_and_uar(predictions)
    strangers = Counter(answer or "" for answer in answers if answer not in labels)
    ranked = sorted(strangers.items(), key=lambda item: (-item[1], item[0]))
    return {
        "unit": "percent",
        "normaliser": normaliser,
        "normaliser_rule": normaliser_rule(normaliser),
        **_counts(predictions, len(over)),
        "war": _percent(war),
        "uar": _percent(uar),
        "war_interval": _percent_interval(intervals["war"]) if intervals else None,
        "uar_interval": _percent_interval(intervals["uar"]) if intervals else None,
        "interval": {
            "method": "bootstrap over clips",
            "resamples": num_resamples,
            "confidence": confidence,
            "seed": seed,
        },
        "macro_f1": _percent(metrics.macro_f1(golds, answers)),
        "oov_rate": _percent(metrics.out_of_vocabulary_rate(answers, labels)),
        "format_rate": _format_rate(predictions),
        "recall": {name: _percent(value) for name, value in metrics.recall_per_class(golds, answers, labels).items()},
        "support": {label: golds.count(label) for label in labels},
        "confusion": {
            "rows": list(labels),
            "columns": [*labels, "out of vocabulary"],
            "counts": metrics.confusion(golds, answers, labels),
        },
        "answers_out_of_vocabulary": dict(ranked[:_NUM_STRANGERS]),
    }


def open_set_scores(clips: Sequence[Clip], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Score a run against a set of gold words per clip, at both levels of the wheel; one gold word also by hit.

    Args:
        clips: the manifest, with `labels` (or `label`) as gold words.
        predictions: one per clip, in the same order.
    """
    pairs = [
        (clip.labels or ((clip.label,) if clip.label else ()), split_words(prediction.answer))
        for clip, prediction in zip(clips, predictions, strict=True)
        if prediction.error_kind is None
    ]
    golds, answers = [gold for gold, _ in pairs], [words for _, words in pairs]
    num_scored = sum(
        prediction.error_kind is None and bool(clip.labels or clip.label)
        for clip, prediction in zip(clips, predictions, strict=True)
    )
    result: dict[str, Any] = {
        "unit": "percent",
        "normaliser": "wheel",
        "normaliser_rule": wheel_rule(),
        **_counts(predictions, num_scored),
        "format_rate": _format_rate(predictions),
    }
    for level in ("sector", "family"):
        figures = asdict(set_scores(golds, answers, level))
        result[level] = {
            name: _percent(value) if name in ("precision", "recall", "f1") else value for name, value in figures.items()
        }
    single = [(next(iter(gold)), words) for gold, words in pairs if len(gold) == 1]
    hits = hit_rate([gold for gold, _ in single], [words for _, words in single])
    return result | {
        "hit_rate": _percent(hits.hit_rate),
        "hit_rate_clips": hits.num_clips,
        "mean_num_predicted": hits.mean_num_predicted,
    }


def check_field(clips: Sequence[Clip], field: str) -> None:
    """Refuse a field that no clip has.

    Args:
        clips: the manifest.
        field: a field of `Clip` or of its `meta`.

    Raises:
        ConfigError: no clip has it.
    """
    if clips and all(_field(clip, field) is None for clip in clips):
        known = sorted({name for clip in clips for name in clip.meta})
        raise ConfigError(
            f"No clip has the field {field!r}; the manifest's meta holds: {', '.join(known) or 'nothing'}."
        )


def _field(clip: Clip, name: str) -> object:
    return clip.meta.get(name, getattr(clip, name, None))


def scores_by_group(
    clips: Sequence[Clip], predictions: Sequence[Prediction], field: str
) -> dict[str, dict[str, float | int | None]]:
    """WAR and UAR of each value of a manifest field: actor, sex, intensity, language.

    Args:
        clips: the manifest.
        predictions: one per clip, in the same order.
        field: a field of `Clip` or of its `meta`; clips without it fall under "not given".

    Raises:
        ConfigError: no clip has the field.
    """
    check_field(clips, field)
    groups: dict[str, list[Prediction]] = {}
    for clip, prediction in zip(clips, predictions, strict=True):
        value = _field(clip, field)
        groups.setdefault("not given" if value is None else str(value), []).append(prediction)
    result = {}
    for value, members in sorted(groups.items()):
        war, uar = war_and_uar(members)
        result[value] = {
            "war": _percent(war),
            "uar": _percent(uar),
            "num_scored": len(scored(members)),
            "num_errors": sum(member.error_kind is not None for member in members),
        }
    return result


def compare(
    predictions_a: Sequence[Prediction],
    predictions_b: Sequence[Prediction],
    explained_a: Sequence[ExplainedAnswer] = (),
    explained_b: Sequence[ExplainedAnswer] = (),
) -> dict[str, Any]:
    """Compare two runs on the clips both could read: B minus A in points, with paired intervals and McNemar's test.

    Where both runs give reasons, `reasons` compares these as well.

    Args:
        predictions_a: one run.
        predictions_b: another run over the same manifest, in any order.
        explained_a: what is known of the reasons of the one run.
        explained_b: of the other.

    Raises:
        ConfigError: the runs have no clip in common, or disagree on a gold label.
    """
    other = {prediction.id: prediction for prediction in predictions_b if prediction.error_kind is None}
    pairs = [
        (first, other[first.id])
        for first in predictions_a
        if first.error_kind is None and first.gold is not None and first.id in other
    ]
    if not pairs:
        raise ConfigError("The two runs have no scored clip in common; compare runs over the same manifest.")
    strangers = [first.id for first, second in pairs if first.gold != second.gold]
    if strangers:
        raise ConfigError(
            f"The two runs disagree on the gold label of {len(strangers)} clips (first: {strangers[0]}); "
            "compare runs over the same manifest."
        )
    golds = [first.gold or "" for first, _ in pairs]
    answers_a, answers_b = [first.normalised for first, _ in pairs], [second.normalised for _, second in pairs]
    differences, test = paired_bootstrap(golds, answers_a, answers_b), mcnemar(golds, answers_a, answers_b)
    if differences is None or test is None:
        raise AssertionError("unreachable: there is at least one pair")
    return {
        "unit": "percentage points, B minus A",
        "num_clips": len(pairs),
        "mcnemar": asdict(test),
        **{
            name: {
                "difference": _percent(difference.value),
                "interval": _percent_interval(difference.interval),
                "p_value": difference.p_value,
            }
            for name, difference in differences.items()
        },
        "reasons": compare_reasons(
            [first for first, _ in pairs], [second for _, second in pairs], explained_a, explained_b
        ),
    }


def fold_summary(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of WAR, UAR, macro F1 and OOV rate over the scores of several folds, seeds or worlds.

    Args:
        scores: what `closed_set_scores` gave for each fold.

    Raises:
        ConfigError: the folds were scored with different normalisers, or different rules of one.
    """
    normalisers = sorted({fold["normaliser"] for fold in scores})
    rules = {fold.get("normaliser_rule") for fold in scores}
    if len(normalisers) > 1 or len(rules) > 1:
        raise ConfigError(
            f"Folds were scored with different normalisers ({', '.join(normalisers)}, {len(rules)} rules); score all "
            "with one: evaluate each folder again with this version, which needs no model."
        )
    return {
        "unit": "percent",
        "normaliser": normalisers[0] if normalisers else None,
        "num_folds": len(scores),
        **{name: asdict(spread([fold[name] for fold in scores])) for name in ("war", "uar", "macro_f1", "oov_rate")},
    }
