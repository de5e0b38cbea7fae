"""The recipe, top to bottom: corpora -> towers -> base -> cold start -> label-only SFT -> RLVR -> Table 1 -> report.

Every stage writes its own folder under `OUT/stages/` and is done when the folder is complete; a second call does what
is missing, and a killed run goes on where it stopped. The five models of the table are

    base             pretrained on captions, text and a few labels        answers with a label
    cold-start       base + the reasoned examples                         reasons, then answers
    label-sft        base + the labels of the two training corpora        answers with a label
    cold-start-sft   cold-start + the same labels (a control)             answers with a label
    r1-omni          cold-start + RLVR on the same clips and labels       reasons, then answers

Left out on purpose: anything that looks at a test split before the last stage.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from r1omni.config.recipe import RecipeSettings, SftSettings, TowerSettings
from r1omni.core.clip import Answer, Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.instruction import LABEL_INSTRUCTION, REASONING_INSTRUCTION, parse_answer
from r1omni.core.labels import MAFW_LABELS
from r1omni.datasets.manifest import read_manifest
from r1omni.evaluate.predictions import read_predictions, write_atomically
from r1omni.infer.cache import FeatureCache
from r1omni.infer.engine import Engine
from r1omni.media.decode import load_media
from r1omni.media.sample import sample_frame_indices
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.presets import build_model, preset_config
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.tokenizer import build_tokenizers
from r1omni.reproduce.examples import caption_examples, knowledge_examples, label_examples, reasoned_examples
from r1omni.reproduce.gallery import build_report
from r1omni.reproduce.table import Question, answer_corpus, compare_runs, controls, hallucination_rate, table_row
from r1omni.scoring.grade import grade
from r1omni.scoring.metrics import uar, war
from r1omni.scoring.rewards import REWARDS
from r1omni.synth.corpus import CORPORA, make_corpus, targets_path
from r1omni.synth.face import LANDMARK_NAMES
from r1omni.synth.words import CAPTION_INSTRUCTION, KNOWLEDGE_INSTRUCTION
from r1omni.synth.world import Noise
from r1omni.train.grpo import Reward, train_grpo
from r1omni.train.sft import Example, train_sft
from r1omni.train.towers import train_tower

Model = HumanOmniForConditionalGeneration
Report = Callable[[str, float], None]
"""Called with a stage's name and the share of it that is done."""

_ENCODED_AT_ONCE = 256

INSTRUCTIONS: dict[str, str] = {
    "base": LABEL_INSTRUCTION,
    "cold-start": REASONING_INSTRUCTION,
    "label-sft": LABEL_INSTRUCTION,
    "cold-start-sft": LABEL_INSTRUCTION,
    "r1-omni": REASONING_INSTRUCTION,
}
"""The models of the table, in its order, and what each is asked."""

TRAINING_CORPORA = ("dfew-like", "mafw-like")
TEST_CORPORA = ("dfew-like", "mafw-like", "ravdess-like")
SFT_TRAINABLE = ("language_model", "projector", "audio_projector", "router_gate")


@dataclass
class Recipe:
    """One run of the recipe: where it lies, what shapes it, and how long its stages took."""

    out: Path
    settings: RecipeSettings
    seed: int
    report: Report = lambda stage, share: None
    noise: Noise = field(default_factory=Noise)

    def stage(self, name: str) -> Path:
        """Folder of a stage."""
        return self.out / "stages" / name

    def record_seconds(self, name: str, seconds: float) -> None:
        """Add to the time a stage took, over all calls."""
        path = self.out / "seconds.json"
        taken = json.loads(path.read_text()) if path.exists() else {}
        taken[name] = taken.get(name, 0.0) + seconds
        write_atomically(path, json.dumps(taken, indent=1))


def corpus_clips(recipe: Recipe, corpus: str, split: str | None = None) -> list[Clip]:
    """The clips of a made corpus, all or of one split."""
    clips = read_manifest(recipe.out / "corpora" / corpus / "manifest.jsonl")
    return [clip for clip in clips if split is None or clip.split == split]


def labelled_clips(recipe: Recipe, split: str) -> list[Clip]:
    """The clips of both training corpora in one split."""
    return [clip for corpus in TRAINING_CORPORA for clip in corpus_clips(recipe, corpus, split)]


def make_corpora(recipe: Recipe) -> None:
    """Write the five made corpora."""
    for corpus, size in recipe.settings.corpora.sizes().items():
        make_corpus(
            corpus,
            recipe.out / "corpora" / corpus,
            size,
            recipe.seed,
            noise=recipe.noise,
            on_clip=lambda done, corpus=corpus, size=size: recipe.report(f"corpora: {corpus}", done / size),
        )


def make_towers(recipe: Recipe) -> None:
    """Build the model and its tokenizers; train towers, then projectors, from scratch on rendering parameters."""
    folder, settings = recipe.stage("towers") / "model", recipe.settings
    if folder.exists():
        return
    clips = corpus_clips(recipe, "humanomni-like")
    texts = [clip.reasoning or "" for clip in corpus_clips(recipe, "emer-like")]
    texts += [LABEL_INSTRUCTION, REASONING_INSTRUCTION, CAPTION_INSTRUCTION, KNOWLEDGE_INSTRUCTION] * 200
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
    processor = HumanOmniProcessor.from_config(config, language, router)
    pictures, landmarks, sounds, voices, classes = tower_examples(processor, clips, config.audio_pool)
    per_frame = {name: classes[name].repeat_interleave(config.num_frames) for name in ("sentence", "room", "clothing")}
    spoken = {name: classes[name] for name in ("sentence", "speaker")}

    def learn(name: str, encode: Callable, part: torch.nn.Module, numbers: TowerSettings, *examples: Any) -> Any:
        def tell(row: dict[str, float]) -> None:
            recipe.report(name, row["step"] / row["num_steps"])

        return train_tower(encode, part, *examples, **numbers.model_dump(), seed=recipe.seed, on_step=tell)

    vision = learn(
        "towers: vision",
        lambda x: model.encode_video(x.unsqueeze(1).float() / 127.5 - 1).squeeze(1),
        model.vision_tower,
        settings.vision_tower,
        pictures,
        landmarks[:, None].expand(-1, config.grid_patches**2, -1),
        per_frame,
    )
    audio = learn("towers: audio", model.encode_audio, model.audio_tower, settings.audio_tower, sounds, voices, spoken)
    with torch.no_grad():
        frames = pictures.unflatten(0, (len(clips), config.num_frames))
        seen = torch.cat([model.encode_video(part.float() / 127.5 - 1) for part in frames.split(64)])
        heard = torch.cat([model.encode_audio(part) for part in sounds.split(64)])
    evenly = torch.full((1, 3), 1 / 3)
    video_projector = learn(
        "projectors: video",
        lambda x: model.projector(x, evenly.expand(len(x), 3)),
        model.projector,
        settings.projectors,
        seen,
        landmarks.unflatten(0, (len(clips), config.num_frames)).repeat_interleave(config.video_tokens_per_frame, 1),
        {name: classes[name] for name in per_frame},
    )
    audio_projector = learn(
        "projectors: audio", model.audio_projector, model.audio_projector, settings.projectors, heard, voices, spoken
    )
    facts = {"vision": vision, "audio": audio, "projector": video_projector, "audio_projector": audio_projector}
    save_model(model, processor, folder, facts)


def tower_examples(
    processor: HumanOmniProcessor, clips: list[Clip], pool: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Read the inputs and targets of the tower stage: 8-bit pictures, landmarks, log-mel, voice curves, class ids."""
    num_frames, num_tokens = processor.num_frames, processor.audio_tokens

    def read(clip: Clip) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        inputs = processor.process_media(load_media(clip.path, num_frames=num_frames))
        pictures = ((inputs["pixel_values"] + 1) * 127.5).round().to(torch.uint8)
        with np.load(targets_path(clip)) as targets:
            landmarks = torch.from_numpy(targets["landmarks"]).float()
            voice = torch.from_numpy(targets["voice"]).float()
        landmarks = landmarks[sample_frame_indices(len(landmarks), num_frames)]
        landmarks = torch.cat([landmarks, eye_aligned(landmarks)], dim=1).flatten(1)
        # The curves have a step every 20 ms, as the tower before its pooling; after the clip it hears silence.
        steps = pool * num_tokens
        silence = torch.tensor([0.0, float(voice[:, 1].min()), 0.0]).expand(max(0, steps - len(voice)), 3)
        spoken = voice_functionals(voice)
        voice = torch.cat([voice, silence])[:steps].unflatten(0, (num_tokens, pool))
        voice = torch.cat([voice.mean(1), voice.std(1), spoken.expand(num_tokens, -1)], dim=-1)
        return pictures, landmarks, inputs["input_features"], voice

    with ThreadPoolExecutor(2) as threads:
        pictures, landmarks, sounds, voices = zip(*threads.map(read, clips), strict=True)
    sentences = sorted({clip.subtitle or "" for clip in clips})
    classes = {"sentence": torch.tensor([sentences.index(clip.subtitle or "") for clip in clips])}
    for name in ("room", "clothing", "speaker"):
        classes[name] = torch.tensor([int(clip.meta[name]) for clip in clips])
    return torch.cat(pictures), torch.cat(landmarks), torch.stack(sounds), torch.stack(voices), classes


def voice_functionals(voice: torch.Tensor) -> torch.Tensor:
    """Measures over a whole utterance, as paralinguistic feature sets take them; none knows the speaker's usual voice.

    Args:
        voice: [steps, 3], every 20 ms: octaves above 100 Hz, level in dBFS, voicing.

    Returns:
        [7]: mean, deviation and 10-90 % range of the pitch, deviation of its steps, mean level, voiced share and
        voiced onsets.
    """
    voiced = voice[:, 2] > 0.5
    if int(voiced.sum()) < 3:
        return torch.zeros(7)
    pitch, level = voice[voiced, 0], voice[voiced, 1]
    spread = torch.quantile(pitch, torch.tensor([0.1, 0.9])).diff()[0]
    onsets = (voiced[1:] & ~voiced[:-1]).sum()
    return torch.stack(
        [pitch.mean(), pitch.std(), spread, pitch.diff().std(), level.mean(), voiced.float().mean(), onsets.float()]
    )


def eye_aligned(landmarks: torch.Tensor) -> torch.Tensor:
    """Landmarks in the frame of the eyes: their midpoint at 0, their outer corners at unit distance on the x axis.

    Where a face is hides how it moves: a raised brow shifts by less than a head that leans.

    Args:
        landmarks: [frames, landmarks, 2], parts of the frame.
    """
    left, right = (landmarks[:, LANDMARK_NAMES.index(f"eye_outer_{side}")] for side in ("left", "right"))
    axis = right - left
    across = axis / axis.square().sum(-1, keepdim=True)
    down = torch.stack([-across[:, 1], across[:, 0]], dim=-1)
    centred = landmarks - ((left + right) / 2)[:, None]
    return torch.stack([(centred * across[:, None]).sum(-1), (centred * down[:, None]).sum(-1)], dim=-1)


def save_model(model: Model, processor: HumanOmniProcessor, folder: Path, facts: Mapping[str, object]) -> None:
    """Write a model folder whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    model.save_pretrained(partial)
    processor.save_pretrained(partial)
    (partial / "facts.json").write_text(json.dumps(facts, indent=1))
    partial.replace(folder)


def load_model(recipe: Recipe, stage: str) -> tuple[Model, HumanOmniProcessor]:
    """Read the model that a stage left."""
    folder = recipe.stage(stage) / "model"
    return Model.from_pretrained(folder), HumanOmniProcessor.from_pretrained(folder)


def weights_sha256(folder: Path) -> str:
    """Hash of a model folder's weights."""
    with (folder / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_engine(recipe: Recipe, model: Model, processor: HumanOmniProcessor) -> Engine:
    """The one engine that encodes and generates, over the run's feature cache."""
    cache = FeatureCache(recipe.out / "features")
    batch_size = recipe.settings.eval_batch_size
    return Engine(model, processor, cache=cache, batch_size=batch_size, num_frames=processor.num_frames)


def validation_scores(
    engine: Engine, clips: list[Clip], instruction: str, settings: RecipeSettings
) -> dict[str, float]:
    """WAR and UAR of greedy answers on held-out clips with the crowd's labels, as fractions."""
    length = settings.grpo.max_completion_length
    generated = engine.generate(clips, instruction, max_new_tokens=length)
    golds = [clip.label or "" for clip in clips]
    answers = [
        None if isinstance(row, MediaError) else grade(parse_answer(row[0].text), gold, MAFW_LABELS).normalised
        for row, gold in zip(generated, golds, strict=True)
    ]
    return {"war": war(golds, answers) or 0.0, "uar": uar(golds, answers) or 0.0}


def run_sft(
    recipe: Recipe,
    name: str,
    start: str,
    examples: list[Example],
    settings: SftSettings,
    *,
    validated: bool = False,
    trainable: tuple[str, ...] = SFT_TRAINABLE,
) -> None:
    """One supervised stage from the model of an earlier one.

    Args:
        recipe: the run.
        name: the stage, and the model it makes.
        start: the stage whose model it starts from.
        examples: what it learns.
        settings: its numbers.
        validated: keep the epoch with the best WAR on the validation split (labels of the crowd), else the last.
        trainable: the parts that train.
    """
    if (recipe.stage(name) / "model").exists():
        return
    model, processor = load_model(recipe, start)
    engine = make_engine(recipe, model, processor)
    held_out = labelled_clips(recipe, "val") if validated else []

    def validate(_: Model) -> dict[str, float]:
        return validation_scores(engine, held_out, INSTRUCTIONS[name], recipe.settings)

    num_steps = settings.num_epochs * -(-len(examples) // settings.batch_size)
    train_sft(
        model,
        processor,
        examples,
        engine.features,
        output_dir=recipe.stage(name),
        num_epochs=settings.num_epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_ratio=settings.warmup_ratio,
        weight_decay=settings.weight_decay,
        patience=settings.patience,
        validate=validate if validated else None,
        seed=recipe.seed,
        trainable=trainable,
        on_step=lambda row: recipe.report(name, row["step"] / num_steps),
    )


def run_rlvr(recipe: Recipe) -> None:
    """RLVR by GRPO from the cold start, on the labels of the two training corpora."""
    if (recipe.stage("r1-omni") / "model").exists():
        return
    settings = recipe.settings.grpo
    model, processor = load_model(recipe, "cold-start")
    reference, _ = load_model(recipe, "cold-start")
    engine = make_engine(recipe, model, processor)
    held_out = labelled_clips(recipe, "val")

    def validate(_: Model) -> dict[str, float]:
        return validation_scores(engine, held_out, REASONING_INSTRUCTION, recipe.settings)

    train_grpo(
        model,
        reference,
        processor,
        engine,
        labelled_clips(recipe, "train"),
        [Reward("accuracy", reward_of("accuracy")), Reward("format", reward_of("format"))],
        output_dir=recipe.stage("r1-omni"),
        max_steps=settings.max_steps,
        num_generations=settings.num_generations,
        prompts_per_device=settings.prompts_per_micro_batch,
        gradient_accumulation_steps=settings.prompts_per_step // settings.prompts_per_micro_batch,
        num_iterations=settings.num_iterations,
        beta=settings.beta,
        temperature=settings.temperature,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_ratio=settings.warmup_ratio,
        max_completion_length=settings.max_completion_length,
        zero_variance=settings.zero_variance,
        min_format=settings.min_format,
        min_accuracy=settings.min_accuracy,
        validate=validate,
        validate_every_steps=settings.validate_every_steps,
        seed=recipe.seed,
        on_step=lambda row: recipe.report("r1-omni", row["step"] / settings.max_steps),
    )


def reward_of(name: str) -> Callable[[Answer, Clip], float]:
    """A reward of the scorer, held against the clip's label within its corpus's label set."""
    function = REWARDS[name]
    return lambda answer, clip: function(answer, clip.label or "", CORPORA[clip.corpus or ""].labels)


def timed(recipe: Recipe, name: str, stage: Callable[[], object]) -> None:
    """Run a stage and record what it took."""
    started = time.monotonic()
    stage()
    recipe.record_seconds(name, time.monotonic() - started)


def encode_once(recipe: Recipe) -> None:
    """Run the frozen towers over every clip of the run; no later stage runs them again."""
    model, processor = load_model(recipe, "towers")
    engine = make_engine(recipe, model, processor)
    clips = [clip for corpus in recipe.settings.corpora.sizes() for clip in corpus_clips(recipe, corpus)]
    for start in range(0, len(clips), _ENCODED_AT_ONCE):
        engine.features(clips[start : start + _ENCODED_AT_ONCE])
        recipe.report("features", min(1.0, (start + _ENCODED_AT_ONCE) / len(clips)))


def pretrain_base(recipe: Recipe) -> None:
    """Base: captions of cues, what expressions mean from text alone, and a few labels.

    The language model alone learns: at its first, rough steps an aligned projector falls back to a constant.
    """
    settings = recipe.settings.base
    examples = caption_examples(corpus_clips(recipe, "humanomni-like"))
    examples += knowledge_examples(settings.knowledge_examples, recipe.seed, recipe.noise)
    labelled = labelled_clips(recipe, "train")
    examples += label_examples(labelled[:: max(1, len(labelled) // settings.labelled_clips)])
    run_sft(recipe, "base", "towers", examples, settings, trainable=("language_model",))


def evaluate_models(recipe: Recipe) -> dict[str, Any]:
    """Let the five models answer the three test splits, and write table.json."""
    rows, checks, done = [], [], 0
    for name, instruction in INSTRUCTIONS.items():
        model, processor = load_model(recipe, name)
        engine = make_engine(recipe, model, processor)
        for corpus in TEST_CORPORA:
            clips, folder = corpus_clips(recipe, corpus, "test"), evaluation_folder(recipe, name, corpus)
            length = recipe.settings.grpo.max_completion_length
            question = Question(name, instruction, weights_sha256(recipe.stage(name) / "model"))
            scores = answer_corpus(engine, question, corpus, clips, out=folder, max_new_tokens=length)
            predictions = read_predictions(folder / "predictions.jsonl")
            rows.append(table_row(name, corpus, scores, hallucination_rate(clips, predictions)))
            checks.append({"model": name, "corpus": corpus, **controls(corpus, clips, predictions, recipe.noise)})
            done += 1
            recipe.report("evaluation", done / (len(INSTRUCTIONS) * len(TEST_CORPORA)))
    comparisons = [
        compare_runs(
            a, "r1-omni", corpus, evaluation_folder(recipe, a, corpus), evaluation_folder(recipe, "r1-omni", corpus)
        )
        for a in ("cold-start", "label-sft", "cold-start-sft")
        for corpus in TEST_CORPORA
    ]
    table = {
        "scale": recipe.settings.scale,
        "seed": recipe.seed,
        "rows": rows,
        "comparisons": comparisons,
        "controls": checks,
    }
    write_atomically(recipe.out / "table.json", json.dumps(table, indent=1) + "\n")
    return table


def write_report(recipe: Recipe) -> None:
    """Write report.html, one offline file."""
    tests = {corpus: corpus_clips(recipe, corpus, "test") for corpus in TEST_CORPORA}
    page = build_report(recipe.out, list(INSTRUCTIONS), tests, recipe.settings.gallery_clips)
    write_atomically(recipe.out / "report.html", page)


def evaluation_folder(recipe: Recipe, model: str, corpus: str) -> Path:
    """Where one model's predictions and scores on one test split lie."""
    return recipe.out / "evaluations" / model / corpus


def reproduce(out: Path, settings: RecipeSettings, seed: int, report: Report = lambda stage, share: None) -> Recipe:
    """Run the whole recipe, or what is missing of it.

    Args:
        out: the run's folder; a second call with the same settings and seed goes on in it.
        settings: the scale.
        seed: the world, and every random choice in it.
        report: told the name and the share done of each stage.

    Returns:
        The run; `table.json` and `report.html` lie in its folder.

    Raises:
        ConfigError: the folder holds a run with other settings or another seed.
        NotReadyError: the cold start is not good enough for RLVR.
    """
    recipe = Recipe(out, settings, seed, report)
    claim_folder(recipe)
    stages: dict[str, Callable[[], object]] = {
        "corpora": lambda: make_corpora(recipe),
        "towers": lambda: make_towers(recipe),
        "features": lambda: encode_once(recipe),
        "base": lambda: pretrain_base(recipe),
        "cold-start": lambda: run_sft(
            recipe, "cold-start", "base", reasoned_examples(corpus_clips(recipe, "emer-like")), settings.cold_start
        ),
        "label-sft": lambda: run_sft(
            recipe,
            "label-sft",
            "base",
            label_examples(labelled_clips(recipe, "train")),
            settings.label_sft,
            validated=True,
        ),
        "cold-start-sft": lambda: run_sft(
            recipe,
            "cold-start-sft",
            "cold-start",
            label_examples(labelled_clips(recipe, "train")),
            settings.label_sft,
            validated=True,
        ),
        "r1-omni": lambda: run_rlvr(recipe),
        "evaluation": lambda: evaluate_models(recipe),
        "report": lambda: write_report(recipe),
    }
    for name, stage in stages.items():
        timed(recipe, name, stage)
    return recipe


def claim_folder(recipe: Recipe) -> None:
    """Write the run's settings into its folder, or hold them against those that lie there."""
    path = recipe.out / "settings.json"
    wanted = {"seed": recipe.seed, "settings": recipe.settings.model_dump(mode="json")}
    if path.exists() and json.loads(path.read_text()) != wanted:
        raise ConfigError(
            f"{recipe.out} holds a run with other settings or another seed (see {path.name}); "
            "choose another --out, or remove that folder."
        )
    recipe.out.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(wanted, indent=1) + "\n")
