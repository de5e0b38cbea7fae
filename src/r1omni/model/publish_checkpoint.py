"""Publishing a trained model: one folder that the Hugging Face hub takes as it is, with its model card.

The folder is a copy of the model's own files (our layout) and README.md. An evaluation is quoted only where its record
names these weights.
"""

import json
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1omni.core.errors import CheckpointError, ConfigError
from r1omni.model.checkpoint_hash import checkpoint_identity
from r1omni.model.read_checkpoint import Checkpoint, read_checkpoint
from r1omni.model.stored_answer_format import answer_format_of
from r1omni.model.stored_calibration import CALIBRATION
from r1omni.report.model_card import CardFigures, CardModel, CardTraining, model_card
from r1omni.runs.files import replaced_folder, write_text
from r1omni.runs.run_folder import CONFIGURATION, RECORD, read_record

CARD = "README.md"
_MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "LICENSE*", "router_tokenizer")


def publish_checkpoint(
    run: Path,
    out: Path,
    *,
    licence: str,
    scores: Sequence[Path] = (),
    name: str | None = None,
    base: str | None = None,
) -> Path:
    """Write a model and its card into a folder for the hub, whole or not at all.

    Args:
        run: the folder of a training run that is done, or a model's.
        out: the folder to write; it must not exist.
        licence: identifier as the hub lists them.
        scores: folders of evaluations of this model.
        name: of the model in the card; None takes the name of `out`.
        base: hub id that it was trained from; None takes the one that the run started from, where it is a hub id.

    Returns:
        The folder.

    Raises:
        CheckpointError: there is no complete model of our layout.
        ConfigError: `out` exists, or a folder of scores is not one, or is of another model.
        WriteError: the disk is full or the folder not writable.
    """
    if out.exists():
        raise ConfigError(f"{out} exists already; give another --out")
    model = run / "model" if (run / "model" / "config.json").is_file() else run
    checkpoint = read_checkpoint(model)
    checkpoint.raise_problems()
    if checkpoint.layout != "r1omni" or checkpoint.adapter is not None:
        raise CheckpointError(
            f"{model} is not a model in this package's layout; make one of it: "
            f"`r1omni checkpoint convert {model} --out MODEL`."
        )
    identity = checkpoint_identity(model)
    training = _training_of(run)
    started_from = base or (None if training is None else _hub_id(_configuration(run).get("model")))
    described = _described(checkpoint, name or out.name, licence, identity["weights"], started_from)
    card = model_card(described, training, [figures_of(folder, identity) for folder in scores])
    with replaced_folder(out) as partial:
        for pattern in _MODEL_FILES:
            for path in sorted(model.glob(pattern)):
                if path.is_dir():
                    shutil.copytree(path, partial / path.name)
                else:
                    shutil.copy2(path, partial / path.name)
        write_text(partial / CARD, card)
    return out


def figures_of(folder: Path, identity: Mapping[str, str]) -> CardFigures:
    """Read an evaluation's figures.

    Args:
        folder: of `r1omni evaluate`, of one manifest.
        identity: what `checkpoint_identity` says of the model that it must have evaluated.

    Raises:
        ConfigError: it is not such a folder, not complete, or of other weights.
    """
    record = read_record(folder)
    path = folder / "scores.json"
    if record["kind"] != "evaluation" or not path.is_file():
        raise ConfigError(f"{folder} holds no scores.json of an evaluation; give the --out of `r1omni evaluate`.")
    evaluated = record["identity"].get("weights")
    if evaluated != identity["weights"]:
        raise ConfigError(
            f"{folder} evaluated other weights ({str(evaluated)[:12]}) than those that are published "
            f"({identity['weights'][:12]}); evaluate this model, or name the evaluation of it."
        )
    facts = record["facts"]
    return CardFigures(
        facts.get("corpus") or "corpus",
        json.loads(path.read_bytes()),
        facts.get("fold"),
        facts.get("split"),
        record["identity"].get("manifest"),
    )


def _described(checkpoint: Checkpoint, name: str, licence: str, weights: str, base: str | None) -> CardModel:
    config = checkpoint.config
    extractor = checkpoint.processor().feature_extractor
    return CardModel(
        name=name,
        licence=licence,
        num_parameters=sum(stored.num_parameters for stored in checkpoint.sources.values()),
        num_frames=config.num_frames,
        sound_s=extractor.n_samples / extractor.sampling_rate,
        answer_format=str(answer_format_of(checkpoint.folder)),
        video_pooling=config.video_pooling,
        weights=weights,
        base=base,
        calibration=json.loads(fitted.read_bytes()) if (fitted := checkpoint.folder / CALIBRATION).is_file() else None,
    )


def _training_of(run: Path) -> CardTraining | None:
    """What a run's record says; None for a model's folder without one."""
    if not (run / RECORD).is_file():
        return None
    record = read_record(run)
    if record["kind"] not in ("sft", "grpo"):
        return None
    facts = record["facts"]
    settings = _configuration(run).get("training", {})
    return CardTraining(
        record["kind"],
        facts.get("manifests") or {},
        settings if isinstance(settings, dict) else {},
        facts.get("seed"),
        facts.get("versions") or {},
    )


def _configuration(run: Path) -> dict[str, Any]:
    path = run / CONFIGURATION
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _hub_id(named: object) -> str | None:
    """The id that a run started from, without its revision; None for a folder."""
    if not isinstance(named, str) or named.startswith((".", "/", "~")) or named.count("/") != 1:
        return None
    return None if Path(named).exists() else named.partition("@")[0]
