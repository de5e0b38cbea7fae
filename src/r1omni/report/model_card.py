"""A checkpoint's model card in Markdown: what it is, its data, its figures with intervals and normaliser, its limits.

The text follows from what the run's and the evaluations' files hold; nothing is added about how well a model works.
Paths are left out: a card is read by strangers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from r1omni.core.json_text import json_text

USE_POLICY = """\
An answer is a guess from a face, a voice and words, not knowledge of what a person feels. Do not make decisions about
people with it. Inferring the emotions of people at work and in education is prohibited in the European Union, other
than for medical or safety reasons (AI Act, article 5(1)(f)); other uses are high-risk there and must be disclosed to
the people concerned. Other countries have rules on biometric data. Get consent before recording or analysing anybody.
"""


@dataclass(frozen=True)
class CardModel:
    """What a card says of the model itself."""

    name: str
    licence: str
    """Identifier as the hub lists them, such as apache-2.0 or cc-by-nc-4.0."""
    num_parameters: int
    num_frames: int
    sound_s: float
    """Seconds of sound that it hears."""
    answer_format: str
    video_pooling: str
    weights: str
    """Hash of weights, settings and vocabularies, as the records of runs have it."""
    base: str | None = None
    """Hub id of the model it was trained from; None where it is not from the hub, or not known."""
    calibration: Mapping[str, Any] | None = None
    """What its label probabilities were calibrated on, as calibration.json has it; None where they never were."""


@dataclass(frozen=True)
class CardTraining:
    """What a card says of the training run; from its record and configuration."""

    kind: str
    """sft or grpo."""
    manifests: Mapping[str, str]
    """Path -> SHA-256."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How it learnt."""
    seed: int | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CardFigures:
    """One evaluation: its scores.json and what its record says of the data."""

    corpus: str
    scores: Mapping[str, Any]
    fold: int | None = None
    split: str | None = None
    manifest_sha256: str | None = None

    @property
    def part(self) -> str:
        """The corpus with its fold and split."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.corpus}{fold}{'' if self.split is None else f', {self.split}'}"


def model_card(model: CardModel, training: CardTraining | None, figures: Sequence[CardFigures]) -> str:
    """Write the card, with the metadata that the hub reads at its head.

    Args:
        model: what is published.
        training: how it was made; None where its folder does not say.
        figures: evaluations of these weights.
    """
    return "\n".join(
        [
            "---",
            *_metadata(model, figures),
            "---",
            "",
            f"# {model.name}",
            "",
            "Names the emotion in a clip of video, sound or both, and gives reasons first "
            f"(`{model.answer_format}`). A HumanOmni model (SigLIP, Whisper, a text router, Qwen2) of "
            f"{model.num_parameters:,} parameters, for [r1omni](https://arxiv.org/abs/2503.05379).",
            "",
            "## Use",
            "",
            "    pip install r1omni",
            f"    r1omni predict clip.mp4 --model OWNER/{model.name}@REVISION",
            "",
            f"It reads {model.num_frames} frames, sampled evenly over the clip, and the first {model.sound_s:g} s of "
            f"sound. Video pooling: {model.video_pooling}. Pin the revision: answers belong to these weights alone "
            f"(`{model.weights[:16]}`).",
            "",
            "## Training",
            "",
            *_training(model, training),
            "",
            "## Figures",
            "",
            *_figures(figures),
            "",
            "## Limits",
            "",
            "- The figures hold for the corpora above. Other cameras, languages, cultures and ages were not measured "
            "unless a row says so.",
            "- Reasons can be wrong where the answer is right: they are generated text, not a measurement.",
            _calibration(model),
            f"- Sound after the first {model.sound_s:g} s is not heard, and what happens between two sampled frames is "
            "not seen, unless the clip is answered in windows (`--windows`).",
            "",
            "## Use policy",
            "",
            USE_POLICY,
            "## Licence",
            "",
            f"{model.licence}. The licences of the parts it was trained from, and the terms of the training data, "
            "apply too.",
            "",
        ]
    )


def _metadata(model: CardModel, figures: Sequence[CardFigures]) -> list[str]:
    """The YAML head; values are JSON, which YAML includes."""
    lines = [
        f"license: {json_text(model.licence)}",
        "library_name: r1omni",
        "pipeline_tag: video-text-to-text",
        'tags: ["emotion-recognition", "humanomni", "r1omni", "audio", "video"]',
    ]
    if model.base is not None:
        lines.append(f"base_model: {json_text(model.base)}")
    results = [
        {
            "task": {"type": "video-classification", "name": "Emotion recognition"},
            "dataset": {"type": entry.manifest_sha256 or entry.corpus, "name": entry.part},
            "metrics": [
                {"type": name, "name": f"{name.upper()} (percent, {entry.scores['normaliser']})", "value": value}
                for name in ("war", "uar")
                if (value := entry.scores.get(name)) is not None
            ],
        }
        for entry in figures
        if entry.scores.get("war") is not None
    ]
    if results:
        lines.append(f"model-index: {json_text([{'name': model.name, 'results': results}])}")
    return lines


def _calibration(model: CardModel) -> str:
    fitted = model.calibration
    if fitted is None:
        return "- The probabilities of labels are not calibrated."
    wrong = (
        f", {100 * fitted['label_errors']:.0f} % of whose labels were taken as wrong" if fitted["label_errors"] else ""
    )
    return (
        f"- The probabilities of labels were calibrated (temperature {fitted['temperature']:g}, lapse rate "
        f"{fitted['lapse_rate']:g}) on {fitted['num_clips']:,} clips{wrong}. On other data they can be far too high. "
        "They are of a label given the reasons that were written: they cannot tell answers with wrong reasons from "
        "others."
    )


def _training(model: CardModel, training: CardTraining | None) -> list[str]:
    if training is None:
        return ["The checkpoint's folder does not say how it was trained."]
    stage = {"sft": "Supervised fine-tuning", "grpo": "RLVR by GRPO"}.get(training.kind, training.kind)
    started = "" if model.base is None else f" from {model.base}"
    lines = [f"{stage}{started}, seed {training.seed}.", "", "| data | SHA-256 of the manifest |", "|---|---|"]
    lines += [f"| {PurePath(path).name} | `{digest[:16]}` |" for path, digest in training.manifests.items()]
    if training.settings:
        lines += ["", "| setting | value |", "|---|---|"]
        lines += [f"| {name} | {_cell(value)} |" for name, value in training.settings.items()]
    made_with = ", ".join(f"{name} {version}" for name, version in training.versions.items() if version)
    return [*lines, "", f"Made with {made_with}."] if made_with else lines


def _figures(figures: Sequence[CardFigures]) -> list[str]:
    if not figures:
        return ["No evaluation was given to this card."]
    lines = [
        "In percent, with 95 % bootstrap intervals over clips. WAR is the share of clips answered correctly, UAR the "
        "mean over classes of that share. Clips that cannot be read are left out and counted.",
        "",
        "| data | clips | unreadable | WAR | UAR | outside the label set | in the format | normaliser |",
        "|---|---|---|---|---|---|---|---|",
    ]
    closed = [entry for entry in figures if "war" in entry.scores]
    lines += [
        f"| {entry.part} | {entry.scores['num_scored']:,} | {entry.scores['num_errors']:,} "
        f"| {_share(entry.scores, 'war')} | {_share(entry.scores, 'uar')} | {_share(entry.scores, 'oov_rate')} "
        f"| {_share(entry.scores, 'format_rate')} | {entry.scores['normaliser']} |"
        for entry in closed
    ]
    lines += [
        f"| {entry.part} (open vocabulary) | {entry.scores['num_scored']:,} | {entry.scores['num_errors']:,} "
        f"| hit rate {_share(entry.scores, 'hit_rate')} | | | {_share(entry.scores, 'format_rate')} "
        f"| {entry.scores['normaliser']} |"
        for entry in figures
        if "war" not in entry.scores
    ]
    measured = [(entry, entry.scores["calibration"]) for entry in closed if "calibration" in entry.scores]
    calibrations = [
        f"- Probability of the likeliest label on {entry.part}: {found['mean_confidence']:.1f} on average, right in "
        f"{found['accuracy']:.1f}; expected calibration error {found['ece']:.1f}."
        for entry, found in measured
    ]
    rules = {entry.scores["normaliser"]: entry.scores["normaliser_rule"] for entry in figures}
    lines += ["", *(f"- Normaliser `{name}`, rule `{rule}`." for name, rule in sorted(rules.items()))]
    weak = [
        f"- Recall on {entry.part}: "
        + ", ".join(f"{label} {'-' if value is None else format(value, '.1f')}" for label, value in recall.items())
        + "."
        for entry in closed
        if (recall := entry.scores.get("recall"))
    ]
    return [*lines, *weak, *calibrations]


def _share(scores: Mapping[str, Any], name: str) -> str:
    value, interval = scores.get(name), scores.get(f"{name}_interval")
    if value is None:
        return "-"
    return f"{value:.1f}" + (f" ({interval[0]:.1f} to {interval[1]:.1f})" if interval else "")


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
