"""One golden set and what our model makes of its inputs; both remember what was looked at.

A set may be a part of one: `tests/golden/small`, which every clone has, leaves out the weights and what needs them. A
test that asks a part for a file or a model it leaves out is skipped with that reason.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from r1omni.model.load_model import load_model
from r1omni.model.processing import HumanOmniProcessor

TOLERANCE_PROBABILITIES = 1e-5
TOLERANCE_FEATURES = 1e-4
TOLERANCE_LOGITS = 5e-4
TOLERANCE_LOGITS_MEAN = 2e-5
TOLERANCE_RELATIVE = 1e-3

VISUAL_IDS = (-200, -201)
AUDIO_ID = -202


class Tensors(Mapping[str, Tensor]):
    """The tensors of one file; remembers which were read."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors
        self.unread = set(tensors)

    def __getitem__(self, key: str) -> Tensor:
        value = self._tensors[key]
        self.unread.discard(key)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class Golden:
    """One set's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_whole = (folder / "checkpoint" / "model.safetensors").is_file()
        self.used: set[Path] = set()
        self.opened: dict[str, Tensors] = {}

    def path(self, name: str) -> Path:
        found = self.folder / name
        if not found.exists() and not self.is_whole:
            self.skip(name)
        self.used |= {p for p in found.rglob("*") if p.is_file()} if found.is_dir() else {found}
        return found

    def skip(self, what: str) -> None:
        """Skip the test that asks for what a part of a set leaves out."""
        pytest.skip(
            f"no {what} in tests/golden/{self.folder.name}: pytest tests/parity --golden DIR compares a whole set"
        )

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def json(self, name: str) -> dict[str, Any]:
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    def tensors(self, name: str) -> Tensors:
        if name not in self.opened:
            self.opened[name] = Tensors(load_file(self.path(name)))
        return self.opened[name]

    def tower(self, model_type: str) -> Path:
        """The tower folder whose config is of a kind."""
        for folder in sorted((self.folder / "towers").iterdir()):
            if json.loads((folder / "config.json").read_text())["model_type"] == model_type:
                return self.path(str(folder.relative_to(self.folder)))
        raise AssertionError(f"no {model_type} tower in {self.folder}")


def checkpoint_of_zeros(golden: Golden, folder: Path) -> Path:
    """Write a part's checkpoint with zeros for the weights it leaves out, towers beside it as its config names them.

    Args:
        golden: the part of a set.
        folder: an empty folder.
    """
    (folder / "towers").symlink_to(golden.path("towers"))
    folder = folder / "checkpoint"
    shutil.copytree(golden.path("checkpoint"), folder)
    listed = golden.json("checkpoint_keys.json").items()
    zeros = {key: torch.zeros(shape, dtype=getattr(torch, dtype)) for key, (shape, dtype) in listed}
    save_file(zeros, folder / "model.safetensors", {"format": "pt"})
    return folder


class Subject:
    """Our model over the set's checkpoint, in float32, and what it makes of the main inputs."""

    def __init__(self, golden: Golden) -> None:
        self.golden = golden
        self.inputs = golden.tensors("inputs.safetensors")
        router = str(golden.tower("bert"))
        self.model, self.processor = load_model(golden.path("checkpoint"), router=router, dtype=torch.float32)
        self.config = self.model.config

    @cached_property
    def video(self) -> Tensor:
        """Vision features [frames, patches, width]."""
        with torch.no_grad():
            return self.model.encode_video(self.inputs["pixel_values"].float()[None])[0]

    @cached_property
    def audio(self) -> Tensor:
        """Audio features [tokens, width]."""
        with torch.no_grad():
            return self.model.encode_audio(self.inputs["input_features"].float())[0]

    @cached_property
    def gate(self) -> Tensor:
        with torch.no_grad():
            return self.model.branch_weights(self.inputs["bert_input_ids"], self.inputs["bert_attention_mask"])

    def embed(
        self,
        rows: list[list[int]],
        router_ids: Tensor,
        router_mask: Tensor,
        videos: list[Tensor] | None = None,
        audios: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embed reference prompts, right padded; returns embeddings and mask. Default media: the main inputs'."""
        videos = videos or [self.video] * len(rows)
        audios = audios or [self.audio] * len(rows)
        expanded = [expand(self.processor, row, len(video)) for row, video in zip(rows, videos, strict=True)]
        length = max(map(len, expanded))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in expanded])
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in expanded])
        seen = [v if any(i in VISUAL_IDS for i in row) else None for v, row in zip(videos, rows, strict=True)]
        heard = [a if AUDIO_ID in row else None for a, row in zip(audios, rows, strict=True)]
        if len(router_ids) == 1:
            router_ids, router_mask = router_ids.expand(len(rows), -1), router_mask.expand(len(rows), -1)
        return self.model.embed_prompt(ids, mask, router_ids, router_mask, seen, heard), mask


def tokenize(processor: HumanOmniProcessor, prompt: str) -> list[int]:
    """The reference's ids of a prompt: split at the tags, each tag one placeholder."""
    tags = {"<image>": -200, "<video>": -201, "<audio>": AUDIO_ID}
    ids: list[int] = []
    for piece in re.split("(<image>|<video>|<audio>)", prompt):
        ids += [tags[piece]] if piece in tags else processor.tokenizer(piece)["input_ids"]
    return ids


def expand(processor: HumanOmniProcessor, ids: list[int], num_frames: int) -> list[int]:
    """Repeat each placeholder of the reference to the tokens it stands for."""
    counts = dict.fromkeys(VISUAL_IDS, num_frames * processor.video_tokens_per_frame)
    counts[AUDIO_ID] = processor.audio_tokens
    return [i for i in ids for i in [i] * counts.get(i, 1)]


def assert_close(ours: Tensor, golden: Tensor, tolerance: float, what: str = "") -> None:
    assert ours.shape == golden.shape, f"{what}: shape {tuple(ours.shape)}, golden {tuple(golden.shape)}"
    difference = (ours.float() - golden.float()).abs().max().item()
    assert difference <= tolerance, f"{what}: differs by {difference:.2e}, allowed {tolerance:.0e}"


def assert_logits(ours: Tensor, golden: Tensor, what: str = "") -> None:
    assert_close(ours, golden, TOLERANCE_LOGITS, what)
    mean = (ours - golden).abs().mean().item()
    assert mean <= TOLERANCE_LOGITS_MEAN, f"{what}: differs by {mean:.2e} on average"
