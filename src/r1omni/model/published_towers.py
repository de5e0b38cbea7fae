"""Towers as separate releases: where they are published, their sizes, and their names of tensors."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, RevisionNotFoundError
from transformers import BertConfig, SiglipVisionConfig, WhisperConfig

from r1omni.core.errors import CheckpointError
from r1omni.model.presets import PRESETS
from r1omni.model.weights import Stored, read_json

DEFAULT_VISION = {
    "all_in_one_small": "google/siglip-base-patch16-224",
    "all_in_one": "google/siglip-so400m-patch14-384",
}
DEFAULT_AUDIO = "openai/whisper-large-v3"
DEFAULT_ROUTER = "google-bert/bert-base-uncased"
TOWER_FLAGS = {"vision tower": "--vision", "audio tower": "--audio", "router": "--router"}
"""Part -> the option that names its folder."""

_SETTINGS = ("*.json", "*.txt", "*.jinja")
_WEIGHTS = ("model.safetensors", "model-*.safetensors")


@dataclass(frozen=True)
class Towers:
    """Folder or hub id of each tower that the checkpoint does not contain; None uses the default."""

    vision: str | None = None
    audio: str | None = None
    router: str | None = None


def fetch(path_or_id: str, what: str, flag: str | None = None, *, weights: bool = True) -> Path:
    """Return a folder as it is, or download a hub repository's safetensors, settings and vocabularies.

    Args:
        path_or_id: a folder, or a hub id: `owner/name`, or `owner/name@revision` with a branch, tag or commit.
        what: its role, for the error.
        flag: the option that names another.
        weights: whether the safetensors are needed too.

    Raises:
        CheckpointError: it is neither a folder nor a hub id that can be downloaded.
    """
    if Path(path_or_id).is_dir():
        return Path(path_or_id)
    fix = "Name a folder or a hub id."
    if flag:
        fix = f"Name a folder or hub id with {flag}, an option of `r1omni predict` and of `r1omni checkpoint convert`."
    fix = _like(Path(path_or_id)) + fix
    repository, _, revision = path_or_id.partition("@")
    if path_or_id.startswith((".", "/", "~")) or repository.count("/") > 1:
        raise CheckpointError(f"{path_or_id} is neither a folder nor a hub id (owner/name); expected {what}. {fix}")
    try:
        patterns = [*_SETTINGS, *(_WEIGHTS if weights else ())]
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        if isinstance(error, RevisionNotFoundError):
            reason = f"it has no branch, tag or commit {revision!r}"
        if HF_HUB_OFFLINE:
            reason = "HF_HUB_OFFLINE is set, and it is not in the cache"
        raise CheckpointError(
            f"{path_or_id}, {what}, is not a folder and could not be downloaded from the hub: {reason}. {fix}"
        ) from error


def _like(path: Path) -> str:
    """Name the folders nearest in spelling to one that does not exist."""
    try:
        names = [place.name for place in path.absolute().parent.iterdir() if place.is_dir()]
    except OSError:
        return ""
    near = get_close_matches(path.name, names)
    return f"Is it {' or '.join(str(path.parent / name) for name in near)}? " if near else ""


def named_folder(given: str | None, recorded: str | None, folder: Path, part: str, weights: bool) -> Path | None:
    """Return the tower folder that was given, else the recorded one if it exists.

    Args:
        given: folder or hub id.
        recorded: the path in the checkpoint's config.json, usually of the machine that trained it.
        folder: the checkpoint's.
        part: the tower.
        weights: whether its weights are needed.
    """
    if given is not None:
        return fetch(given, f"the {part}", TOWER_FLAGS[part], weights=weights)
    if not recorded:
        return None
    places = (Path(recorded), folder / recorded, folder.parent / recorded)
    return next((place for place in places if place.is_dir()), None)


def _settings(folder: Path | None, what: str) -> dict[str, Any] | None:
    return None if folder is None else read_json(folder / "config.json", what)


def _unknown(what: str, flag: str, default: str, shape: object) -> CheckpointError:
    return CheckpointError(
        f"The sizes of the {what} cannot be determined from the checkpoint (found {shape}). Name its folder or hub id "
        f"with {flag}, for example {flag} {default}."
    )


def vision_config(folder: Path | None, inventory: dict[str, Stored], projector: str) -> SiglipVisionConfig:
    """Return the vision tower's sizes: its folder's, or the published ones if the checkpoint's shapes match.

    Args:
        folder: the tower's own, if any.
        inventory: the checkpoint's tensors.
        projector: the projector type.
    """
    saved = _settings(folder, "the vision tower's settings")
    if saved is not None:
        if "siglip" not in str(saved.get("model_type", "")):
            raise CheckpointError(
                f"{folder}/config.json has model_type {saved.get('model_type')!r}; the vision tower must be a SigLIP, "
                f"for example --vision {DEFAULT_VISION[projector]}."
            )
        return SiglipVisionConfig(**_plain(saved.get("vision_config", saved)))
    table = inventory.get("model.vision_tower.vision_tower.vision_model.embeddings.position_embedding.weight")
    by_shape: dict[tuple[int, ...], dict[str, Any]]
    by_shape = {(196, 768): PRESETS["0.5b"]["vision_config"], (729, 1152): PRESETS["7b"]["vision_config"]}
    if table is None:
        return SiglipVisionConfig(**by_shape[(196, 768) if projector == "all_in_one_small" else (729, 1152)])
    if table.shape not in by_shape:
        raise _unknown("vision tower", "--vision", DEFAULT_VISION[projector], f"position table {list(table.shape)}")
    return SiglipVisionConfig(**by_shape[table.shape])


def audio_config(folder: Path | None, inventory: dict[str, Stored]) -> WhisperConfig:
    """Return the audio tower's sizes, likewise.

    Args:
        folder: the tower's own, if any.
        inventory: the checkpoint's tensors.
    """
    saved = _settings(folder, "the audio tower's settings")
    if saved is not None:
        if saved.get("model_type") != "whisper":
            raise CheckpointError(
                f"{folder}/config.json has model_type {saved.get('model_type')!r}; the audio tower must be a Whisper, "
                f"for example --audio {DEFAULT_AUDIO}."
            )
        return WhisperConfig(**_plain(saved))
    table = inventory.get("model.audio_tower.audio_tower.encoder.embed_positions.weight")
    if table is not None and table.shape != (1500, 1280):
        raise _unknown("audio tower", "--audio", DEFAULT_AUDIO, f"position table {list(table.shape)}")
    return WhisperConfig(**PRESETS["0.5b"]["audio_config"])


def router_config(folder: Path | None, inventory: dict[str, Stored]) -> BertConfig:
    """Return the router's sizes, likewise.

    Args:
        folder: the router's own, if any.
        inventory: the checkpoint's tensors.
    """
    saved = _settings(folder, "the router's settings")
    if saved is not None:
        if saved.get("model_type") != "bert":
            raise CheckpointError(
                f"{folder}/config.json has model_type {saved.get('model_type')!r}; the router must be a BERT, "
                f"for example --router {DEFAULT_ROUTER}."
            )
        return BertConfig(**_plain(saved))
    table = inventory.get("model.bert_model.embeddings.word_embeddings.weight")
    if table is not None and table.shape != (30522, 768):
        raise _unknown("router", "--router", DEFAULT_ROUTER, f"word table {list(table.shape)}")
    return BertConfig()


def _plain(saved: dict[str, Any]) -> dict[str, Any]:
    """Return the settings without those that describe the file rather than the model."""
    return {k: v for k, v in saved.items() if k not in ("model_type", "architectures", "torch_dtype", "dtype")}


_TOWER_PREFIXES = {
    "vision": ("vision_model.", ""),
    "audio": ("model.encoder.", "encoder.", ""),
    "router": ("bert.", ""),
}


def tower_sources(kind: str, found: dict[str, Stored], wanted: list[str]) -> dict[str, Stored]:
    """Map a tower's own release to our names; BERT's old `gamma` and `beta` become weight and bias.

    Args:
        kind: vision, audio or router.
        found: the release's tensors.
        wanted: our names.
    """
    modern = {k.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): s
              for k, s in found.items()}  # fmt: skip
    out: dict[str, Stored] = {}
    for name in wanted:
        own = name.split(".", 1)[1]
        own = "encoder." + own if kind == "vision" and own.startswith("layers.") else own
        stored = next((modern[p + own] for p in _TOWER_PREFIXES[kind] if p + own in modern), None)
        if stored is not None:
            out[name] = stored
    return out
