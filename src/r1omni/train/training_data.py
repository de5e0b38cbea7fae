"""What a run learns from: the clips that a configuration names, examples of them, and which clips can be read."""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_args

from accelerate import Accelerator

from r1omni.config.sections import DataSection
from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.instruction import LABEL_INSTRUCTION
from r1omni.datasets.manifest import read_manifest
from r1omni.infer.engine import Engine
from r1omni.infer.features import Side
from r1omni.scoring.normalise import exact
from r1omni.train.one_sided import reasons_without
from r1omni.train.processes import gather_rows
from r1omni.train.run_files import TrainingFiles

_MOST_NAMED = 10
"""Clips that a refusal names."""


@dataclass(frozen=True)
class Example:
    """What is asked and what is to be answered."""

    instruction: str
    answer: str
    """Its end-of-turn token is added."""
    clip: Clip | None = None
    """None is text alone."""
    given: str = ""
    """Precedes the answer; it is read and not learnt."""
    one_sided: Mapping[Side, str] = field(default_factory=dict)
    """Side -> the answer where this side of the clip is taken away; a side that is not here is never taken away."""


def label_examples(clips: Sequence[Clip]) -> list[Example]:
    """The label and nothing else, spelled as answers are compared: the label-only SFT."""
    return [
        Example(
            instruction=LABEL_INSTRUCTION,
            answer=exact(clip.label or ""),
            clip=clip,
            one_sided=dict.fromkeys(get_args(Side), exact(clip.label or "")),
        )
        for clip in clips
    ]


def reasoned_examples(clips: Sequence[Clip], answer_format: AnswerFormat = PAPER_FORMAT) -> list[Example]:
    """Reasons and an answer between their tags, the answer spelled as answers are compared: the cold start.

    Args:
        clips: with label and reasoning.
        answer_format: the tags.

    Raises:
        ConfigError: several parts hold reasons, and a clip's reasoning does not have exactly these.
    """
    instruction = answer_format.request(LABEL_INSTRUCTION)
    return [
        Example(
            instruction=instruction,
            answer=answer_format.write(clip.reasoning or "", exact(clip.label or "")),
            clip=clip,
            one_sided={
                side: answer_format.write(reasons, exact(clip.label or ""))
                for side in get_args(Side)
                if (reasons := reasons_without(clip.reasoning or "", side)) is not None
                and answer_format.fault(reasons, exact(clip.label or "")) is None
            },
        )
        for clip in clips
    ]


def content_hash(rows: Sequence[Clip | Example]) -> str:
    """Hash what is learnt from clips or examples: ids, labels, texts and cuts, and no path.

    Args:
        rows: in their order.
    """
    content = json.dumps([asdict(row) for row in rows], sort_keys=True, default=_without_paths)
    return hashlib.sha256(content.encode()).hexdigest()


def _without_paths(value: object) -> str:
    return "" if isinstance(value, Path) else str(value)


def training_clips(data: DataSection, *, reasoned_in: AnswerFormat | None = None) -> list[Clip]:
    """Read the training clips of a configuration.

    Args:
        data: which manifests, and which part of them.
        reasoned_in: the format in which reasons are learnt; None learns none.

    Raises:
        ConfigError: nothing is left to train on, a clip lacks what is to be learnt, or its reasoning cannot be taught
            in this format: it is blank, holds tags, or lacks a part.
        ManifestError: a manifest cannot be read.
    """
    clips = [
        clip
        for manifest in data.train
        for clip in read_manifest(manifest)
        if (data.fold is None or clip.fold != data.fold) and (data.split is None or clip.split == data.split)
    ]
    if not clips:
        raise ConfigError("no training clip is left; check data.train, data.fold and data.split")
    for what in ["label", *([] if reasoned_in is None else ["reasoning"])]:
        lacking = [clip.id for clip in clips if not (getattr(clip, what) or "").strip()]
        if lacking:
            instead = ", or train with --answers label" if what == "reasoning" else ""
            raise ConfigError(
                f"{len(lacking)} of {len(clips)} training clips have no {what} ({_named(lacking)}); leave them out of "
                f"the manifest{instead}"
            )
    if reasoned_in is not None:
        _refuse_faults(clips, reasoned_in)
    return clips


def _refuse_faults(clips: Sequence[Clip], answer_format: AnswerFormat) -> None:
    faults = {clip.id: answer_format.fault(clip.reasoning or "", clip.label or "") for clip in clips}
    faulty = [clip_id for clip_id, fault in faults.items() if fault is not None]
    if faulty:
        raise ConfigError(
            f"{len(faulty)} of {len(clips)} training clips cannot be taught in the answer format {answer_format} "
            f"({_named(faulty)}). Clip {faulty[0]}: {faults[faulty[0]]}. Fix their reasoning in the manifest "
            "(`r1omni data validate` lists every problem), or set engine.answer_format to the parts that it has"
        )


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MOST_NAMED:,} more" if len(ids) > _MOST_NAMED else ""
    return ", ".join(ids[:_MOST_NAMED]) + more


def validation_clips(data: DataSection, seed: int) -> list[Clip]:
    """Read the validation clips of a configuration: those with a gold label; none where no manifest is named.

    Args:
        data: which manifests, and how many clips at most.
        seed: draws the clips where there is a limit on their number.

    Raises:
        ConfigError: manifests are named and none of their clips has a label.
        ManifestError: a manifest cannot be read.
    """
    clips = [clip for manifest in data.validation for clip in read_manifest(manifest) if clip.label is not None]
    if data.validation and not clips:
        raise ConfigError("no validation clip has a gold label, so nothing can be measured; check data.validation")
    if data.max_validation_clips is not None and data.max_validation_clips < len(clips):
        clips = random.Random(seed).sample(clips, data.max_validation_clips)
    return clips


@dataclass(frozen=True)
class ReadableClips:
    """What can be learnt from."""

    clips: list[Clip]
    two_sided: frozenset[str]
    """Ids of those with pictures and sound."""
    num_errors: int
    """Clips that cannot be read."""


def readable_clips(
    engine: Engine, clips: Sequence[Clip], files: TrainingFiles, max_error_share: float, accelerator: Accelerator
) -> ReadableClips:
    """Encode every clip once, shared among the processes, and leave out, and record, those that cannot be read.

    Args:
        engine: its encoder leaves the features in the cache, and in memory as far as they fit.
        clips: each clip once.
        files: takes the errors.
        max_error_share: how many may be left out.
        accelerator: of the run.

    Raises:
        MediaError: too many clips cannot be read; the first one's error.
    """
    own = clips[accelerator.process_index :: accelerator.num_processes]
    encoded = zip(own, engine.encoder.stream(own, remember=True), strict=True)
    own_failed: list[tuple[str, MediaError]] = []
    own_two_sided: list[str] = []
    for clip, result in encoded:
        if isinstance(result, MediaError):
            own_failed.append((clip.id, result))
        elif result.modality == "video+audio":
            own_two_sided.append(clip.id)
    failed, two_sided = gather_rows(accelerator, own_failed), gather_rows(accelerator, own_two_sided)
    lost = {clip_id for clip_id, _ in failed}
    files.append(
        "errors.jsonl", [{"step": 0, "clip": clip_id, "kind": e.kind, "error": str(e)} for clip_id, e in failed]
    )
    if len(failed) > max_error_share * len(clips):
        first = failed[0][1]
        raise MediaError(
            first.kind,
            f"{len(failed)} of {len(clips)} clips cannot be read, more than max_error_share = {max_error_share:g} "
            f"allows. See {files.path / 'errors.jsonl'}. The first: {first}",
        )
    return ReadableClips([clip for clip in clips if clip.id not in lost], frozenset(two_sided), len(failed))


def readable_examples(
    engine: Engine, examples: Sequence[Example], files: TrainingFiles, max_error_share: float, accelerator: Accelerator
) -> tuple[list[Example], int]:
    """Leave out the examples whose clip cannot be read, and show those with one side only as they are.

    Arguments and errors as for `readable_clips`.

    Returns:
        The examples and the number of clips that cannot be read.
    """
    clips = list({example.clip.id: example.clip for example in examples if example.clip is not None}.values())
    if not clips:
        return list(examples), 0
    readable = readable_clips(engine, clips, files, max_error_share, accelerator)
    kept = {clip.id for clip in readable.clips}
    found = [example for example in examples if example.clip is None or example.clip.id in kept]
    return [
        example if example.clip is None or example.clip.id in readable.two_sided else replace(example, one_sided={})
        for example in found
    ], readable.num_errors
