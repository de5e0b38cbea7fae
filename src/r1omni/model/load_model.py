"""Loading, inspecting and converting checkpoints: our own folders and the published ones.

`load_model` reads either. `convert_checkpoint` writes a published folder as one self-contained folder, tensor by
tensor, so that it needs the memory of one output shard and not of the model.
"""

import json
import logging
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import BertTokenizer, GenerationConfig, Qwen2Tokenizer, SiglipImageProcessorPil

from r1omni.core.errors import CheckpointError
from r1omni.model.configuration import HumanOmniConfig, VideoPooling
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.official import (
    PARTS,
    OfficialCheckpoint,
    expected_shapes,
    is_official,
    part_of,
    published_pooling,
    read_official,
)
from r1omni.model.precision import DtypeName, best_device, dtype_on
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.published_towers import Towers, fetch
from r1omni.model.weights import INDEX, SINGLE, Stored, read_inventory, read_json, read_tensors, reading_order
from r1omni.runs.file_hashes import FileStamp
from r1omni.runs.files import replaced_folder, sweep

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartReport:
    """One part of a checkpoint."""

    name: str
    num_parameters: int
    """Parameters that are read."""
    dtypes: tuple[str, ...]
    """As stored, the most frequent first."""
    files: tuple[str, ...]
    """The files that contain them."""


@dataclass(frozen=True)
class CheckpointReport:
    """What `r1omni checkpoint inspect` shows."""

    folder: Path
    layout: str
    """`r1omni` or `official`."""
    config: HumanOmniConfig
    parts: tuple[PartReport, ...]
    num_unread_parameters: int
    """Stored but unused: the vision tower's last layer and heads, poolers, classifiers."""
    problems: tuple[str, ...]
    """Problems that keep it from loading, one sentence each."""


def load_model(
    path_or_id: str | os.PathLike[str],
    *,
    vision: str | None = None,
    audio: str | None = None,
    router: str | None = None,
    dtype: torch.dtype | DtypeName = "auto",
    device: str | torch.device = "cpu",
    video_pooling: VideoPooling | None = None,
    attn_implementation: str | None = None,
) -> tuple[HumanOmniForConditionalGeneration, HumanOmniProcessor]:
    """Load a model, in evaluation mode, and its processor from our own or a published folder or hub id.

    Args:
        path_or_id: the folder or hub id.
        vision: SigLIP folder or hub id, for a published checkpoint without its vision tower; None uses the default.
        audio: Whisper folder or hub id, likewise.
        router: BERT folder or hub id, likewise; its vocabulary is always needed.
        dtype: a torch dtype or its name; `auto` chooses the one that the device computes fastest in.
        device: the model's device; `auto` uses this process's GPU if there is one.
        video_pooling: see `HumanOmniConfig.video_pooling`; None uses the checkpoint's own, which for a published one
            is `slow_fast` if its folder or hub id is named HumanOmni-7B.
        attn_implementation: name of transformers' attention function; None uses its default.

    Raises:
        CheckpointError: the checkpoint cannot be loaded; the message names the key and the file, and how to fix it.
    """
    folder = fetch(os.fspath(path_or_id), "the model")
    place = best_device() if device == "auto" else torch.device(device)
    kind = dtype_on(place, dtype)
    raw = read_json(folder / "config.json", "the model's settings")
    if is_official(raw):
        checkpoint = read_official(folder, Towers(vision, audio, router))
        _raise_problems(checkpoint.problems)
        checkpoint.config.video_pooling = _official_pooling(path_or_id, video_pooling)
        weights_files = _stamps(checkpoint.sources)
        state = {}
        names = {id(stored): name for name, stored in checkpoint.sources.items()}
        for stored, tensor in read_tensors(checkpoint.sources.values()):
            state[names[id(stored)]] = tensor
        processor = official_processor(checkpoint)
        model = HumanOmniForConditionalGeneration.from_pretrained(
            None, config=checkpoint.config, state_dict=state, dtype=kind, attn_implementation=attn_implementation
        )
        model.generation_config = official_generation_config(checkpoint, processor)
    else:
        config, sources, problems = _own_problems(folder, raw)
        _raise_problems(problems)
        weights_files = _stamps(sources)
        config.video_pooling = video_pooling or config.video_pooling
        model = HumanOmniForConditionalGeneration.from_pretrained(
            folder, config=config, dtype=kind, attn_implementation=attn_implementation
        )
        processor = HumanOmniProcessor.from_pretrained(folder)
        processor.video_pooling = config.video_pooling
    model.weights_files = weights_files
    return model.to(place).eval(), processor


def _stamps(sources: dict[str, Stored]) -> tuple[FileStamp, ...]:
    return tuple(FileStamp.of(file) for file in sorted({stored.file for stored in sources.values()}))


def inspect_checkpoint(
    path_or_id: str | os.PathLike[str],
    *,
    vision: str | None = None,
    audio: str | None = None,
    router: str | None = None,
    video_pooling: VideoPooling | None = None,
) -> CheckpointReport:
    """Report a checkpoint's parts and problems, from headers alone.

    Args:
        path_or_id: the folder or hub id.
        vision: see `load_model`.
        audio: see `load_model`.
        router: see `load_model`.
        video_pooling: see `load_model`.

    Raises:
        CheckpointError: config.json or the weights cannot be read at all.
    """
    folder = fetch(os.fspath(path_or_id), "the model")
    raw = read_json(folder / "config.json", "the model's settings")
    if is_official(raw):
        checkpoint = read_official(folder, Towers(vision, audio, router))
        config, sources, problems = checkpoint.config, checkpoint.sources, checkpoint.problems
        if checkpoint.router_folder is None:
            problems = [*problems, _NO_ROUTER]
        config.video_pooling = _official_pooling(path_or_id, video_pooling)
        unread = sum(stored.num_parameters for stored in checkpoint.unread)
        layout = "official"
    else:
        config, sources, problems = _own_problems(folder, raw)
        config.video_pooling = video_pooling or config.video_pooling
        unread, layout = 0, "r1omni"
    parts = tuple(_part_report(part, sources) for part in PARTS)
    return CheckpointReport(folder, layout, config, parts, unread, tuple(problems))


def convert_checkpoint(
    path_or_id: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    vision: str | None = None,
    audio: str | None = None,
    router: str | None = None,
    video_pooling: VideoPooling | None = None,
    shard_bytes: int = 2 * 2**30,
) -> Path:
    """Write a published checkpoint as one self-contained folder; stored values are not changed.

    The folder appears under its name only when it is complete. Unused tensors are left out.

    Args:
        path_or_id: a published folder or hub id.
        out: the folder to write; it must not exist.
        vision: see `load_model`.
        audio: see `load_model`.
        router: see `load_model`.
        video_pooling: see `load_model`; kept in the written configuration.
        shard_bytes: maximum size of an output file, and about the memory needed.

    Raises:
        CheckpointError: the checkpoint cannot be read, is ours already, or `out` exists.
    """
    folder, target = fetch(os.fspath(path_or_id), "the model"), Path(out)
    if target.exists():
        raise CheckpointError(f"{target} exists; convert writes a new folder. Remove it or name another with --out.")
    if not is_official(read_json(folder / "config.json", "the model's settings")):
        raise CheckpointError(
            f"{folder} is not a published HumanOmni folder; it needs no conversion or cannot have one."
        )
    checkpoint = read_official(folder, Towers(vision, audio, router))
    _raise_problems(checkpoint.problems)
    checkpoint.config.video_pooling = _official_pooling(path_or_id, video_pooling)
    processor = official_processor(checkpoint)
    sweep(target.parent)
    with replaced_folder(target) as partial:
        checkpoint.config.save_pretrained(partial)
        official_generation_config(checkpoint, processor).save_pretrained(partial)
        processor.save_pretrained(partial)
        _write_shards(checkpoint.sources, partial, shard_bytes)
    return target


def official_processor(checkpoint: OfficialCheckpoint) -> HumanOmniProcessor:
    """Build the processor of a published checkpoint.

    Args:
        checkpoint: what `read_official` returned.

    Raises:
        CheckpointError: a tokenizer's files are missing.
    """
    folder = checkpoint.folder
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(
            f"{folder} holds no tokenizer; expected tokenizer.json, or vocab.json with merges.txt. Download them too."
        )
    if checkpoint.router_folder is None:
        raise CheckpointError(_NO_ROUTER)
    if not any((checkpoint.router_folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise CheckpointError(
            f"{checkpoint.router_folder} holds no vocab.txt; the router needs one. Name another: --router."
        )
    try:
        tokenizer = Qwen2Tokenizer.from_pretrained(folder)
    except (ValueError, OSError) as error:
        raise CheckpointError(
            f"The tokenizer in {folder} cannot be read: {error}. Download its files again."
        ) from error
    if tokenizer.chat_template is None:
        raise CheckpointError(
            f"The tokenizer in {folder} has no chat template; expected one in tokenizer_config.json or "
            "chat_template.jinja. Copy it from the Qwen2.5 release the checkpoint was trained from."
        )
    rows = checkpoint.config.text.vocab_size
    if len(tokenizer) > rows:
        raise CheckpointError(
            f"The tokenizer in {folder} has {len(tokenizer)} tokens, but model.embed_tokens.weight only {rows} rows. "
            "Take tokenizer and weights from one release."
        )
    router_tokenizer = BertTokenizer.from_pretrained(checkpoint.router_folder)
    processor = HumanOmniProcessor.from_config(checkpoint.config, tokenizer, router_tokenizer)
    vision = checkpoint.vision_folder
    if vision is not None and (vision / "preprocessor_config.json").is_file():
        processor.image_processor = SiglipImageProcessorPil.from_pretrained(vision)
    return processor


def official_generation_config(checkpoint: OfficialCheckpoint, processor: HumanOmniProcessor) -> GenerationConfig:
    """Read a published checkpoint's generation settings; the end of the turn always stops it.

    Args:
        checkpoint: what `read_official` returned.
        processor: its processor.
    """
    path = checkpoint.folder / "generation_config.json"
    config = GenerationConfig(**(read_json(path, "how the model generates") if path.is_file() else {}))
    tokenizer = processor.tokenizer
    if config.eos_token_id is None:
        config.eos_token_id = tokenizer.eos_token_id
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    return config


_NO_ROUTER = (
    "The router's vocabulary is missing: published checkpoints do not hold it. Name the folder or hub id of "
    "bert-base-uncased with --router."
)


def _official_pooling(path_or_id: str | os.PathLike[str], asked: VideoPooling | None) -> VideoPooling:
    """Return the requested pooling, or that of the published checkpoint of this name, with a note if it is not none."""
    if asked is not None:
        return asked
    pooling = published_pooling(path_or_id)
    if pooling != "none":
        _log.warning(
            "%s: video tokens are pooled (video_pooling %s), as HumanOmni's own code does for this checkpoint. "
            "--video-pooling none reads them all, as R1-Omni's code does.",
            os.fspath(path_or_id),
            pooling,
        )
    return pooling


def _raise_problems(problems: list[str]) -> None:
    if problems:
        more = f" ({len(problems) - 1} more problems: see `r1omni checkpoint inspect`.)" if len(problems) > 1 else ""
        raise CheckpointError(problems[0] + more)


def _own_problems(folder: Path, raw: dict[str, Any]) -> tuple[HumanOmniConfig, dict[str, Stored], list[str]]:
    """Check a folder that `save_pretrained` or `convert_checkpoint` wrote."""
    if raw.get("model_type") != HumanOmniConfig.model_type:
        raise CheckpointError(
            f"{folder / 'config.json'} has model_type {raw.get('model_type')!r}; expected humanomni or HumanOmni_qwen2."
        )
    config = HumanOmniConfig.from_pretrained(folder)
    sources = read_inventory(folder)
    expected = expected_shapes(config)
    problems = [
        f"{key} in {stored.file} has shape {list(stored.shape)}; config.json asks for {list(expected[key])}."
        for key, stored in sources.items()
        if key in expected and stored.shape != expected[key]
    ]
    problems += [f"{key} in {s.file} is not expected." for key, s in sources.items() if key not in expected]
    problems += [f"{key} is missing from {folder}. Copy the folder again." for key in expected if key not in sources]
    if not (folder / "processor_config.json").is_file():
        problems.append(f"{folder} holds no processor_config.json; save the processor with the model.")
    return config, sources, problems


def _part_report(part: str, sources: dict[str, Stored]) -> PartReport:
    held = [stored for name, stored in sources.items() if part_of(name) == part] if sources else []
    dtypes = Counter(stored.dtype for stored in held)
    return PartReport(
        part,
        sum(stored.num_parameters for stored in held),
        tuple(dtype for dtype, _ in dtypes.most_common()),
        tuple(sorted({str(stored.file) for stored in held})),
    )


def _write_shards(sources: dict[str, Stored], folder: Path, shard_bytes: int) -> None:
    """Write tensors as they are read, starting a new file when the next one would not fit."""
    names = {id(stored): name for name, stored in sources.items()}
    shards: list[list[Stored]] = [[]]
    for stored in reading_order(sources.values()):
        if shards[-1] and sum(held.num_bytes for held in shards[-1]) + stored.num_bytes > shard_bytes:
            shards.append([])
        shards[-1].append(stored)
    weight_map: dict[str, str] = {}
    for i, shard in enumerate(shards, start=1):
        file = SINGLE if len(shards) == 1 else f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        tensors = {names[id(stored)]: tensor.contiguous() for stored, tensor in read_tensors(shard)}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, file))
    if len(shards) > 1:
        total = sum(stored.num_bytes for stored in sources.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
