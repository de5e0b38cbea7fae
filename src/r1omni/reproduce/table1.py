"""Table 1 in miniature: every model answers every test split once; figures in percent, with controls.

The controls show what the figures are based on: `claims_reader` is the accuracy of the world's optimal classifier on
the cues that the model claims (how much the reasoning contains, whether or not the answer uses it), `cues_reader` the
same on the true cues (the upper limit), `prior` the share of the most frequent class.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.core.labels import Emotion
from r1omni.evaluate.explanation_scores import read_explained
from r1omni.evaluate.label_chances import write_probabilities
from r1omni.evaluate.predictions import read_predictions
from r1omni.evaluate.run import Grading, evaluate, score_again
from r1omni.evaluate.scores import compare
from r1omni.explain.explained_corpus import corpus_explainer
from r1omni.infer.engine import Engine
from r1omni.infer.features import Side
from r1omni.infer.greedy_answers import greedy_outcomes
from r1omni.reproduce.examples import SEEN
from r1omni.runs.record import run_facts
from r1omni.scoring.prediction import Prediction
from r1omni.synth.corpus import CORPORA
from r1omni.synth.words import false_claims, read_claims
from r1omni.synth.world import Channel, Noise, log_likelihoods


@dataclass(frozen=True)
class Question:
    """A model of the table and its instruction."""

    model: str
    instruction: str
    weights: str
    """Hash of the checkpoint: answers by other weights are never attributed to this model."""


def answer_corpus(
    engine: Engine, question: Question, corpus: str, clips: list[Clip], *, out: Path, max_new_tokens: int
) -> dict[str, Any]:
    """Evaluate one model on one test split; recorded answers are kept.

    Args:
        engine: the model's engine.
        question: the model and its instruction.
        corpus: name of the synthetic corpus.
        clips: its test split.
        out: folder of the predictions and scores.
        max_new_tokens: limit of an answer.

    Returns:
        The run's scores.json.
    """
    scores = evaluate(
        lambda pending: greedy_outcomes(engine, pending, question.instruction, max_new_tokens),
        clips,
        Grading(CORPORA[corpus].labels),
        out_dir=out,
        identity={
            "weights": question.weights,
            "instruction": question.instruction,
            "max_new_tokens": max_new_tokens,
            "modality": engine.encoder.modality,
            "num_frames": engine.encoder.num_frames,
        },
        facts=run_facts() | {"model": question.model, "corpus": corpus},
    )
    return scores or {}


def explain_answers(
    engine: Engine, question: Question, corpus: str, clips: list[Clip], out: Path, num_relied_on: int
) -> None:
    """Check the reasons of one model's answers against the true cues, and add the figures to its scores.json.

    Args:
        engine: the model's engine.
        question: the model and its instruction.
        corpus: name of the synthetic corpus.
        clips: its test split, already answered.
        out: folder of the predictions and scores.
        num_relied_on: answers whose reliance on their reasons is measured.
    """
    said, labels = read_predictions(out / "predictions.jsonl"), CORPORA[corpus].labels
    corpus_explainer(num_relied_on)(lambda: engine, clips, said, question.instruction, labels, out)
    score_again(out, clips, Grading(labels))


def calibrate_answers(engine: Engine, question: Question, corpus: str, clips: list[Clip], out: Path) -> None:
    """Ask how likely each label was after one model's answers, and add the calibration error to its scores.json.

    Args:
        engine: the model's engine.
        question: the model and its instruction.
        corpus: name of the synthetic corpus.
        clips: its test split, already answered.
        out: folder of the predictions and scores.
    """
    said, labels = read_predictions(out / "predictions.jsonl"), CORPORA[corpus].labels
    write_probabilities(lambda: engine, clips, said, question.instruction, labels, out)
    score_again(out, clips, Grading(labels))


def hallucination_rate(clips: list[Clip], predictions: list[Prediction]) -> float | None:
    """Return the percentage of claims in all reasonings that are false of their clip; None without a claim."""
    false, all_claims = 0, 0
    for clip, prediction in zip(clips, predictions, strict=True):
        if prediction.reasoning:
            wrong, count = false_claims(prediction.reasoning, clip.meta["cues"])
            false, all_claims = false + wrong, all_claims + count
    return 100 * false / all_claims if all_claims else None


def read_optimally(
    cues: list[dict[Channel, str]],
    clips: list[Clip],
    labels: tuple[Emotion, ...],
    counts: tuple[int, ...],
    noise: Noise,
) -> float:
    """Return the percentage of clips that the optimal classifier gets right from some cues, given the class shares."""
    weights = dict(zip(labels, counts or (1,) * len(labels), strict=True))
    hits = 0
    for seen, clip in zip(cues, clips, strict=True):
        likelihoods = log_likelihoods(seen, labels, noise, reading_error=0.1)
        posterior = {label: likelihoods[label] + math.log(weights[label]) for label in labels}
        hits += max(posterior, key=posterior.__getitem__) == clip.meta["emotion"]
    return 100 * hits / len(clips)


def controls(corpus: str, clips: list[Clip], predictions: list[Prediction], noise: Noise) -> dict[str, float | None]:
    """Return the controls of a model on one corpus; see the module's docstring."""
    kind = CORPORA[corpus]
    claims = [read_claims(prediction.reasoning or "") for prediction in predictions]
    true_cues = [clip.meta["cues"] for clip in clips]
    commonest = Counter(clip.meta["emotion"] for clip in clips).most_common(1)[0][1]
    return {
        "claims_per_answer": sum(map(len, claims)) / len(claims),
        "claims_reader": read_optimally(claims, clips, kind.labels, kind.counts, noise) if any(claims) else None,
        "cues_reader": read_optimally(true_cues, clips, kind.labels, kind.counts, noise),
        "prior": 100 * commonest / len(clips),
    }


def one_sided_row(
    model: str,
    corpus: str,
    absent: Side,
    scores: dict[str, Any],
    clips: list[Clip],
    predictions: list[Prediction],
    noise: Noise,
) -> dict[str, Any]:
    """Return how a model does with one side of the clips taken away; percentages.

    `absent_claims` is the share of its claims that are about the absent side, `absent_texts` the share of its texts
    with such a claim, `cues_reader` what the optimal classifier reaches on the true cues of the other side and the
    words, `claims_reader` on the model's own claims of these.

    Args:
        model: of the table.
        corpus: what was answered.
        absent: the side that was taken away.
        scores: of these answers.
        clips: what was answered.
        predictions: one per clip.
        noise: the world's.
    """
    kind = CORPORA[corpus]
    claims = [read_claims(prediction.reasoning or "") for prediction in predictions]
    num_absent = [sum(channel in SEEN[absent] for channel in said) for said in claims]
    num_claims = sum(map(len, claims))

    def reader(cues: list[dict[Channel, str]]) -> float:
        left: list[dict[Channel, str]] = [
            {channel: value for channel, value in said.items() if channel not in SEEN[absent]} for said in cues
        ]
        return read_optimally(left, clips, kind.labels, kind.counts, noise)

    return {
        "model": model,
        "corpus": corpus,
        "absent": absent,
        **{name: scores[name] for name in ("war", "uar", "war_interval", "uar_interval", "num_clips")},
        "absent_claims": 100 * sum(num_absent) / num_claims if num_claims else None,
        "absent_texts": 100 * sum(map(bool, num_absent)) / len(claims) if num_claims else None,
        "claims_per_answer": num_claims / len(claims),
        "claims_reader": reader(claims) if num_claims else None,
        "cues_reader": reader([clip.meta["cues"] for clip in clips]),
    }


def table_row(model: str, corpus: str, scores: dict[str, Any], hallucination: float | None) -> dict[str, Any]:
    """Return a row of table.json; percentages with two decimals, None where a figure is undefined.

    EEA, EPC and FCR say how the reasons fit label and answer; see `r1omni.scoring.coherence`. The calibration error and
    the mean confidence are there for models whose label probabilities were asked for.
    """

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 2)

    figures = {name: rounded(scores[name]) for name in ("war", "uar", "oov_rate", "format_rate")}
    reasons = scores.get("explanations", {}).get("figures", {})
    return {
        "model": model,
        "corpus": corpus,
        **figures,
        **{name: rounded(reasons.get(name, {}).get("value")) for name in ("eea", "epc", "fcr")},
        "hallucination_rate": rounded(hallucination),
        **{
            name: rounded(scores["calibration"][name]) for name in ("ece", "mean_confidence") if "calibration" in scores
        },
        "num_clips": scores["num_clips"],
        "war_interval": scores["war_interval"],
        "uar_interval": scores["uar_interval"],
    }


def compare_runs(model_a: str, model_b: str, corpus: str, folder_a: Path, folder_b: Path) -> dict[str, Any]:
    """Return B minus A in points on one corpus, paired by clip."""
    first, second = read_predictions(folder_a / "predictions.jsonl"), read_predictions(folder_b / "predictions.jsonl")
    explained = [read_explained(folder, said) for folder, said in ((folder_a, first), (folder_b, second))]
    return {"a": model_a, "b": model_b, "corpus": corpus, **compare(first, second, *explained)}


def table_text(rows: list[dict[str, Any]]) -> str:
    """Format Table 1: a line per model, WAR and UAR per corpus; a metric over nothing is a dash.

    Args:
        rows: of table.json.
    """
    cells = {(row["model"], row["corpus"], metric): row[metric] for row in rows for metric in ("war", "uar")}
    models, corpora = dict.fromkeys(row["model"] for row in rows), dict.fromkeys(row["corpus"] for row in rows)
    lines = ["".join([f"{'':<16}", *(f"{corpus:>16}" for corpus in corpora)])]
    lines.append("".join([f"{'':<16}", *(f"{'WAR':>9}{'UAR':>7}" for _ in corpora)]))
    for model in models:
        line = f"{model:<16}"
        for corpus in corpora:
            war, uar = (cells.get((model, corpus, metric)) for metric in ("war", "uar"))
            line += f"{'-' if war is None else f'{war:.1f}':>9}{'-' if uar is None else f'{uar:.1f}':>7}"
        lines.append(line)
    return "\n".join(lines)
