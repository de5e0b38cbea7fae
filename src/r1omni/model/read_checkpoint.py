"""A checkpoint of any layout, headers alone read, with everything that keeps it from loading.

Loading, inspecting, converting and hashing all go through `read_checkpoint`, so that they agree on what a path means
and on what is wrong with it.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from transformers import GenerationConfig

from r1omni.core.errors import CheckpointError, ConfigError
from r1omni.model.checkpoint_folder import LAPSE_RATE, PROCESSOR, TEMPERATURE, CheckpointFolder, find_checkpoint
from r1omni.model.configuration import HumanOmniConfig, VideoPooling, calibration_problem
from r1omni.model.lora_folder import LoraFolder, base_of, read_lora
from r1omni.model.official import (
    OfficialCheckpoint,
    expected_shapes,
    published_pooling,
    read_official,
)
from r1omni.model.own_layout import read_own, read_own_processor
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.published_processor import official_processor, tokenizer_problems
from r1omni.model.published_towers import Towers
from r1omni.model.weights import Stored, read_json, read_tensors

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """What a path or hub id means."""

    folder: Path
    """Of the whole model; of an adapter, its base's."""
    layout: Literal["r1omni", "official"]
    config: HumanOmniConfig
    sources: dict[str, Stored]
    """Parameter name -> the tensor that fills it, adapters not folded in."""
    unread: tuple[Stored, ...]
    """Stored but unused."""
    problems: tuple[str, ...]
    """What keeps it from loading, one sentence each."""
    adapter: LoraFolder | None
    official: OfficialCheckpoint | None
    """What a published folder needs besides; None for our layout."""
    answer_format: str | None = None
    """What an adapter was trained to answer in; None for the processor's own."""
    is_pooled_by_name: bool = False
    """Whether the name of the published checkpoint decided that video tokens are pooled."""

    @property
    def weights_files(self) -> tuple[Path, ...]:
        """Every file that weights come from."""
        files = {stored.file for stored in self.sources.values()}
        return tuple(sorted(files | ({self.adapter.file} if self.adapter else set())))

    def place_of(self, name: str) -> str:
        """Return which files a parameter comes from, for messages.

        Args:
            name: the parameter's.
        """
        adapter = self.adapter
        if adapter is not None and name in adapter.replaced:
            return str(adapter.file)
        if name not in self.sources:
            return str(self.folder)
        own = str(self.sources[name].file)
        return f"{own} with {adapter.file}" if adapter is not None and name in adapter.deltas else own

    def raise_problems(self, more: Iterable[str] = ()) -> None:
        """Raise what keeps it from loading, the first in full.

        Args:
            more: problems found later.

        Raises:
            CheckpointError: there are any.
        """
        problems = [*self.problems, *more]
        if problems:
            rest = f" ({len(problems) - 1} more problems: see `r1omni checkpoint inspect`.)" if problems[1:] else ""
            raise CheckpointError(problems[0] + rest)

    def note_pooling(self) -> None:
        """Warn if the checkpoint's name decided that video tokens are pooled."""
        if self.is_pooled_by_name:
            _log.warning(
                "%s: video tokens are pooled (video_pooling %s), as HumanOmni's own code does for this checkpoint. "
                "--video-pooling none reads them all, as R1-Omni's code does.",
                self.config.name_or_path,
                self.config.video_pooling,
            )

    def processor(self) -> HumanOmniProcessor:
        """Build the processor, with the checkpoint's own video pooling.

        Raises:
            CheckpointError: a file is missing or damaged, or does not fit the model.
        """
        if self.official is not None:
            processor = official_processor(self.official)
        else:
            processor = read_own_processor(self.folder, self.config)
            processor.video_pooling = self.config.video_pooling
        if self.answer_format is not None:
            processor.answer_format = self.answer_format
        return processor

    def generation_config(self, processor: HumanOmniProcessor) -> GenerationConfig:
        """Read the generation settings; the end of the turn always stops an answer.

        Args:
            processor: the checkpoint's.
        """
        path = self.folder / "generation_config.json"
        config = GenerationConfig(**(read_json(path, "how the model generates") if path.is_file() else {}))
        if config.eos_token_id is None:
            config.eos_token_id = processor.tokenizer.eos_token_id
        if config.pad_token_id is None:
            config.pad_token_id = processor.tokenizer.pad_token_id
        return config

    def tensors(self, *, keeps_dtype: bool) -> Iterator[tuple[str, Tensor]]:
        """Yield every parameter by name, file by file, adapters folded in.

        Args:
            keeps_dtype: give folded weights in the base's number format; otherwise in float32.
        """
        if self.adapter is not None:
            yield from self.adapter.fold(self.sources, keeps_dtype=keeps_dtype)
            return
        names = {id(stored): name for name, stored in self.sources.items()}
        for stored, tensor in read_tensors(self.sources.values()):
            yield names[id(stored)], tensor


def _set_calibration(config: HumanOmniConfig, folder: Path, kept: Mapping[str, Any]) -> None:
    """Take over an adapter's own calibration, both numbers or neither.

    Raises:
        CheckpointError: a number is out of its range.
    """
    if TEMPERATURE not in kept:
        return
    temperature, lapse_rate = kept[TEMPERATURE], kept.get(LAPSE_RATE, 0.0)
    problem = calibration_problem(temperature, lapse_rate)
    if problem is not None:
        raise CheckpointError(f"{folder / PROCESSOR}: {problem}. Fit it again with `r1omni checkpoint calibrate`.")
    config.label_temperature, config.label_lapse_rate = float(temperature), float(lapse_rate)


def read_checkpoint(
    path_or_id: str | os.PathLike[str],
    *,
    towers: Towers | None = None,
    base: str | None = None,
    video_pooling: VideoPooling | None = None,
) -> Checkpoint:
    """Find a checkpoint, read its headers and check that it is complete.

    Args:
        path_or_id: a folder of ours, a published folder, a LoRA adapter folder, or a hub id of one.
        towers: where a published checkpoint's towers come from; None uses the defaults.
        base: folder or hub id of the model that an adapter was trained on; None takes the recorded one.
        video_pooling: see `HumanOmniConfig.video_pooling`; None uses the checkpoint's own, which for a published one
            is `slow_fast` if its folder or hub id is named HumanOmni-7B.

    Raises:
        CheckpointError: it is no checkpoint, or its settings or weights cannot be read at all.
        ConfigError: `base` is given for a checkpoint that is not an adapter.
    """
    found = find_checkpoint(path_or_id)
    named = path_or_id
    adapter: CheckpointFolder | None = None
    kept: dict[str, Any] = {}
    if found.is_adapter:
        adapter, found = found, base_of(found, base)
        named = base or found.path
        kept = adapter.processor_settings()
        video_pooling = video_pooling or kept.get("video_pooling")
    elif base is not None:
        raise ConfigError(f"--base is for LoRA adapters, and {found.path} is a whole model; leave --base out")
    official = None
    if found.is_official:
        official = read_official(found.path, towers or Towers())
        config, sources, unread = official.config, official.sources, official.unread
        problems = [*official.problems, *tokenizer_problems(official)]
        config.video_pooling = video_pooling or published_pooling(named)
    else:
        if towers not in (None, Towers()):
            _log.warning("%s holds its towers and router; --vision, --audio and --router are not used.", found.path)
        config, sources, unread, problems = read_own(found.path, found.raw)
        config.video_pooling = video_pooling or config.video_pooling
    if adapter is not None:
        _set_calibration(config, adapter.path, kept)
    config.name_or_path = os.fspath(path_or_id)
    lora = None
    if adapter is not None:
        lora, misfits = read_lora(adapter, config, expected_shapes(config))
        problems = [*problems, *misfits]
    layout = "official" if official is not None else "r1omni"
    return Checkpoint(
        found.path,
        layout,
        config,
        sources,
        tuple(unread),
        tuple(problems),
        lora,
        official,
        answer_format=kept.get("answer_format"),
        is_pooled_by_name=official is not None and video_pooling is None and config.video_pooling != "none",
    )
