"""LoRA adapter folders, as peft saves them: read, checked against their base, and folded into its weights.

    W' = W + scale * B A      scale = alpha / r, or alpha / sqrt(r) with rank stabilisation

peft is not needed. Parts that were trained whole beside the adapters (`modules_to_save`) replace those of the base.
Variants that compute something else (DoRA, adapters that change their base, ...) are refused. Names may be those of
our layout or of the published one, whichever layout the base has.

Source: peft 0.21, `tuners/lora/layer.py` (`get_delta_weight`) and `utils/other.py` (`get_pattern_key`).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r1omni.core.errors import CheckpointError
from r1omni.model.checkpoint_folder import ADAPTER_CONFIG, CheckpointFolder, find_checkpoint
from r1omni.model.configuration import HumanOmniConfig
from r1omni.model.official import rename
from r1omni.model.weights import Stored, read_header, read_tensors

WEIGHTS = "adapter_model.safetensors"
_WRAPPER = "base_model.model."
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.[^.]+)?\.weight")
_MERGE = (
    "Merge it with its base where it was trained: PeftModel.from_pretrained(base, adapter).merge_and_unload(), then "
    "save_pretrained."
)
_OTHER_MATHS = (
    "use_dora", "use_qalora", "use_bdlora", "lora_bias", "layer_replication", "trainable_token_indices",
    "alora_invocation_tokens", "target_parameters", "arrow_config", "kasa_config", "monteclora_config",
    "velora_config",
)  # fmt: skip
"""Settings under which an adapter computes something else than W + scale * B A."""
_CHANGES_BASE = re.compile(r"pissa|olora|corda|loftq|lora_ga")


@dataclass(frozen=True)
class Delta:
    """What an adapter adds to one weight."""

    down: Stored
    """A [rank, in]."""
    up: Stored
    """B [out, rank]."""
    scale: float


@dataclass(frozen=True)
class LoraFolder:
    """An adapter, headers alone read."""

    folder: Path
    deltas: dict[str, Delta]
    """Our parameter name -> what is added to it."""
    replaced: dict[str, Stored]
    """Our parameter name -> what takes its place."""

    @property
    def file(self) -> Path:
        """The adapter's weights."""
        return self.folder / WEIGHTS

    def fold(self, sources: dict[str, Stored], *, keeps_dtype: bool) -> Iterator[tuple[str, Tensor]]:
        """Yield the base's tensors with the adapter folded in.

        Args:
            sources: parameter name -> the base's tensor.
            keeps_dtype: give folded weights in the base's number format; otherwise in float32.
        """
        names = {id(stored): name for name, stored in sources.items()}
        factors = [factor for delta in self.deltas.values() for factor in (delta.down, delta.up)]
        small = {stored.key: tensor for stored, tensor in read_tensors([*factors, *self.replaced.values()])}
        for stored, tensor in read_tensors(sources.values()):
            name = names[id(stored)]
            if name in self.replaced:
                folded = small[self.replaced[name].key]
            elif name in self.deltas:
                delta = self.deltas[name]
                folded = tensor.float() + delta.scale * (small[delta.up.key].float() @ small[delta.down.key].float())
            else:
                yield name, tensor
                continue
            yield name, folded.to(tensor.dtype if keeps_dtype else torch.float32)


def base_of(adapter: CheckpointFolder, base: str | None) -> CheckpointFolder:
    """Return the checkpoint that an adapter was trained on: the given one, else the recorded one.

    Args:
        adapter: the adapter's folder.
        base: folder or hub id; None takes what adapter_config.json says, a path there being relative to the working
            folder or to the adapter's.

    Raises:
        CheckpointError: it is not known, cannot be found, or is an adapter itself.
    """
    folder, recorded, revision = adapter.path, adapter.raw.get("base_model_name_or_path"), adapter.raw.get("revision")
    fix = (
        "Name the folder or hub id of the model it was trained on with --base, or make one model of both: "
        f"`r1omni checkpoint convert {folder} --base BASE --out MODEL`."
    )
    named = base if base is not None else recorded
    if not isinstance(named, str) or not named:
        raise CheckpointError(f"{folder} is a LoRA adapter whose {ADAPTER_CONFIG} does not name its base. {fix}")
    places = [Path(named)] if base is not None else [Path(named), folder / named, folder.parent / named]
    pinned = f"{named}@{revision}" if base is None and revision and "@" not in named else named
    found = next((place for place in places if place.exists()), pinned)
    try:
        whole = find_checkpoint(found, "the model that the adapter was trained on")
    except CheckpointError as error:
        raise CheckpointError(f"{folder} is a LoRA adapter of {named}. {error} {fix}") from error
    if whole.is_adapter:
        raise CheckpointError(f"{folder} is a LoRA adapter of {whole.path}, which is an adapter too. {fix}")
    return whole


def read_lora(
    adapter: CheckpointFolder, config: HumanOmniConfig, expected: dict[str, tuple[int, ...]]
) -> tuple[LoraFolder, list[str]]:
    """Read an adapter's settings and headers and determine which parameter each tensor changes.

    Args:
        adapter: its folder.
        config: of the base.
        expected: shapes of the base's parameters by name.

    Returns:
        The adapter, and what keeps it from loading, a sentence each.

    Raises:
        CheckpointError: its weights cannot be read, or it is of a kind that cannot be folded in.
    """
    folder, raw = adapter.path, adapter.raw
    _check_kind(folder, raw)
    stored = read_header(_weights_of(folder))
    factors: dict[str, dict[str, Stored]] = {}
    replaced: dict[str, Stored] = {}
    problems: list[str] = []
    for key, tensor in stored.items():
        bare = key.removeprefix(_WRAPPER).replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")
        factor = _FACTOR.fullmatch(bare)
        theirs = f"{factor['module']}.weight" if factor else bare
        name = _our_name(theirs, config, expected)
        if name is None:
            problems.append(f"{key} in {tensor.file} changes {theirs}, which the base does not have.")
        elif factor:
            factors.setdefault(name, {})[factor["side"]] = tensor
        else:
            replaced[name] = tensor
    deltas: dict[str, Delta] = {}
    for name, sides in factors.items():
        if sides.keys() != {"A", "B"}:
            problems.append(f"{folder / WEIGHTS} holds one factor of {name}; expected lora_A and lora_B.")
        else:
            deltas[name] = Delta(sides["A"], sides["B"], _scale(raw, name, sides["A"].shape[0]))
    problems += _misfits(deltas, replaced, expected)
    if not deltas and not replaced and not problems:
        problems.append(f"{folder / WEIGHTS} is empty; expected lora_A and lora_B of the adapted layers.")
    fix = f" The adapter in {folder} was trained on another base: name that one with --base."
    return LoraFolder(folder, deltas, replaced), [problem + fix for problem in problems]


def _check_kind(folder: Path, raw: dict[str, Any]) -> None:
    kind = raw.get("peft_type", "LORA")
    if kind != "LORA":
        raise CheckpointError(f"{folder} is an adapter of the kind {kind}; expected LORA. {_MERGE}")
    other = next((f"{name} is set" for name in _OTHER_MATHS if raw.get(name)), None)
    begun = raw.get("init_lora_weights")
    if isinstance(begun, str) and _CHANGES_BASE.match(begun.lower()):
        other = f"init_lora_weights is {begun}, which changes the base too"
    if other:
        raise CheckpointError(f"{folder} is a variant of LoRA that is not supported ({other}). {_MERGE}")
    if (folder / "non_lora_trainables.bin").is_file():
        raise CheckpointError(
            f"{folder} also holds non_lora_trainables.bin, a pickle with parts that were trained beside the adapters; "
            "no pickle is opened. Merge them where they were trained (HumanOmni's merge_lora_weights.py), with "
            "safe_serialization=True."
        )


def _weights_of(folder: Path) -> Path:
    path = folder / WEIGHTS
    if path.is_file():
        return path
    if (folder / "adapter_model.bin").is_file():
        raise CheckpointError(
            f"{folder} holds adapter_model.bin, a pickle, which can run code when it is opened; expected {WEIGHTS}. "
            "Save the adapter again where it was trained: save_pretrained(folder, safe_serialization=True)."
        )
    raise CheckpointError(
        f"{folder} is a LoRA adapter without its weights; expected {WEIGHTS}. Copy the whole folder again."
    )


def _our_name(name: str, config: HumanOmniConfig, expected: dict[str, tuple[int, ...]]) -> str | None:
    if name in expected:
        return name
    try:
        renamed = rename(name, config.num_vision_layers)
    except KeyError:
        return None
    return renamed if renamed in expected else None


def _scale(raw: dict[str, Any], name: str, rank: int) -> float:
    alpha = raw.get("lora_alpha", 8)
    module = name.removesuffix(".weight")
    for pattern, own in (raw.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = own
            break
    return alpha / (math.sqrt(rank) if raw.get("use_rslora") else rank)


def _misfits(
    deltas: dict[str, Delta], replaced: dict[str, Stored], expected: dict[str, tuple[int, ...]]
) -> Iterator[str]:
    for name, delta in deltas.items():
        (rank, width), (height, other_rank), shape = delta.down.shape, delta.up.shape, expected[name]
        if rank != other_rank or (height, width) != shape:
            yield (
                f"{delta.down.key} {list(delta.down.shape)} and lora_B {list(delta.up.shape)} do not fit {name} "
                f"{list(shape)}."
            )
    for name, stored in replaced.items():
        if stored.shape != expected[name]:
            yield f"{stored.key} has shape {list(stored.shape)}; the base has {list(expected[name])}."
