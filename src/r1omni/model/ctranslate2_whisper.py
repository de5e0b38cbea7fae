"""Whisper in CTranslate2's layout: one file of named variables, brought under transformers' names.

The file, little-endian throughout: version (6), the model's name and revision, the number of variables, then for each
its name, its shape, a type and its bytes; strings end with a zero. CTranslate2 fuses projections that read the same
input: query, key and value of a self-attention, key and value of an attention to the encoder. Keys have no bias in
Whisper; the fused vector has zeros there.

Left out on purpose: quantised variables. Only half and single precision are read.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from r1omni.core.errors import CheckpointError

_VERSION = 6
_FLOATS = {0: np.float32, 4: np.float16}
"""CTranslate2's number of a type -> numpy's."""
_KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}
_HEAD_WIDTH = 64
"""Of every published Whisper; the file's shapes do not say it."""


def read_variables(path: Path) -> dict[str, Tensor]:
    """Read the floating-point variables of a file, in float32.

    Args:
        path: CTranslate2's model.bin.

    Raises:
        CheckpointError: the file is cut short, or of another version of the layout.
    """
    data, place = path.read_bytes(), 0

    def take(layout: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(layout, data, place)
        place += struct.calcsize(layout)
        return value

    def word() -> str:
        nonlocal place
        length = take("<H")
        place += length
        return data[place - length : place - 1].decode()

    variables: dict[str, Tensor] = {}
    try:
        if (version := take("<I")) != _VERSION:
            raise CheckpointError(f"{path} has version {version} of CTranslate2's layout; expected {_VERSION}.")
        word()
        take("<I")
        for _ in range(take("<I")):
            name = word()
            shape = [take("<I") for _ in range(take("<B"))]
            kind, size = take("<B"), take("<I")
            if kind in _FLOATS:
                number = np.dtype(_FLOATS[kind])
                values = np.frombuffer(data, number, size // number.itemsize, place).reshape(shape)
                variables[name] = torch.from_numpy(values.astype(np.float32))
            place += size
    except (struct.error, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} ({len(data)} bytes) is cut short or damaged: {error}. Fetch it again."
        ) from error
    return variables


def whisper_names(variables: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the variables of encoder and decoder, and divide the fused projections.

    Args:
        variables: what `read_variables` returned.

    Returns:
        Weights of a `WhisperForConditionalGeneration` by name.
    """
    found: dict[str, Tensor] = {}
    for name, value in variables.items():
        side, *rest = name.split("/")
        if side not in ("encoder", "decoder") or rest[-1] not in _KINDS:
            continue  # its settings: numbers without a shape
        kind, prefix = _KINDS[rest[-1]], f"model.{side}"
        if rest[0] in ("conv1", "conv2"):
            found[f"{prefix}.{rest[0]}.{kind}"] = value
        elif rest[0] == "embeddings":
            found[f"{prefix}.embed_tokens.weight"] = found["proj_out.weight"] = value
        elif rest[0] == "position_encodings":
            found[f"{prefix}.embed_positions.weight"] = value
        elif rest[0] == "layer_norm":
            found[f"{prefix}.layer_norm.{kind}"] = value
        elif rest[0].startswith("layer_"):
            layer = f"{prefix}.layers.{rest[0].removeprefix('layer_')}"
            found |= _block_names(layer, rest[1], rest[2], kind, value)
    return found


def _block_names(layer: str, block: str, part: str, kind: str, value: Tensor) -> dict[str, Tensor]:
    if block == "ffn":
        name = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}[part]
        return {f"{layer}.{name}.{kind}": value}
    block = {"self_attention": "self_attn", "attention": "encoder_attn"}[block]
    if part == "layer_norm":
        return {f"{layer}.{block}_layer_norm.{kind}": value}
    is_self = block == "self_attn"
    fused = {"linear_0": "qkv" if is_self else "q", "linear_1": "o" if is_self else "kv", "linear_2": "o"}[part]
    names = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
    pieces = value.chunk(len(fused))
    return {
        f"{layer}.{block}.{names[letter]}.{kind}": piece
        for letter, piece in zip(fused, pieces, strict=True)
        if not (letter == "k" and kind == "bias")
    }


def whisper_encoder(path: Path, max_source_positions: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the encoder alone, for sound of a given length.

    Its position table is fixed and read from the start, so a shorter one hears a shorter sound and needs as much less
    time. Whisper was trained on 30 s, silence included; how well it hears in a shorter window is for the caller to
    measure.

    Args:
        path: CTranslate2's model.bin.
        max_source_positions: steps of 20 ms that are heard; at most the file's own, 1500.

    Returns:
        Fields of a `WhisperConfig`, and the weights of a `WhisperEncoder` by name.

    Raises:
        CheckpointError: the file cannot be read, or has fewer positions.
    """
    prefix = "model.encoder."
    named = whisper_names(read_variables(path))
    weights = {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
    table = weights.get("embed_positions.weight")
    if table is None or "conv1.weight" not in weights:
        raise CheckpointError(f"{path} has no Whisper encoder; expected one with conv1 and position_encodings.")
    if len(table) < max_source_positions:
        raise CheckpointError(f"{path} has {len(table)} positions; expected at least {max_source_positions}.")
    weights["embed_positions.weight"] = table[:max_source_positions].clone()
    width, num_mels, _ = weights["conv1.weight"].shape
    config = {
        "d_model": width,
        "encoder_layers": sum(name.endswith(".fc1.weight") for name in weights),
        "encoder_attention_heads": width // _HEAD_WIDTH,
        "encoder_ffn_dim": len(weights["layers.0.fc1.weight"]),
        "num_mel_bins": num_mels,
        "max_source_positions": max_source_positions,
    }
    return config, weights
