"""Checks a manifest against its files: every clip is decoded, its content hashed, its label looked up.

    dropped    unreadable     the clip cannot be decoded
               zero-length    the file is empty, or its duration is 0
               oov-label      the label is not in the label set that was given
               leak           the same content in two splits or two folds: the training copy is dropped
               duplicate      the same content twice in one split: the later line is dropped
    kept       unknown-label  the label is not one of our emotion names, and no label set was given
               sound-gap      packets of its sound are missing; silence stands in their place
               damaged        packets of its sound cannot be decoded
               silent         its sound never rises above -60 dB of full scale
               black          no sampled picture has a mean above 8 of 255
               duration       sound, pictures, `stop_s` or `meta.duration_s` disagree about the duration

Content is compared byte by byte: re-encoded copies are not found. The report is plain data, ready for JSON.
"""

import hashlib
import math
import multiprocessing
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from r1omni.core.clip import Clip
from r1omni.core.counted import counted
from r1omni.core.errors import MediaError
from r1omni.core.labels import EMOTIONS
from r1omni.datasets.manifest import read_manifest, write_manifest
from r1omni.datasets.names import SENTIMENTS, bare_label, emotion_name
from r1omni.media.decode import Media, load_clip
from r1omni.media.folder import content_files
from r1omni.runs.files import write_json

DROPPED = ("unreadable", "zero-length", "oov-label", "leak", "duplicate")
"""Kinds of problem whose clips the clean manifest leaves out."""
KEPT = ("unknown-label", "sound-gap", "damaged", "silent", "black", "duration")
"""Kinds that are only reported."""

SILENT_PEAK = 1e-3
"""-60 dB of full scale."""
BLACK_LEVEL = 8.0
"""Mean value of a picture, of 255."""
LENGTH_TOLERANCE_S = 0.5
LENGTH_TOLERANCE_SHARE = 0.1
"""Durations agree within the larger of half a second and 10 %."""

_PART_ORDER = {"train": 0, "val": 1, "test": 2}

Progress = Callable[[str, float], None]


@dataclass
class _Finding:
    digest: str | None = None
    duration_s: float | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)


def check_manifest(
    clips: Sequence[Clip],
    workers: int = 1,
    *,
    labels: Collection[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Decode every clip and report what is wrong with it.

    Args:
        clips: the manifest's clips.
        workers: processes that decode; 1 uses this process. A clip that kills its process is unreadable.
        labels: the label set, whose other labels are dropped; None only reports labels that are not among our emotions
            and sentiments. Case and surrounding spaces do not count, as in evaluation; a published spelling (`anger`)
            also stands for our name of the class. A compound label is checked by its parts.
        progress: called with a stage's name and the share of it that is done.

    Returns:
        `clips`, `clean` (clips kept), `unlabelled`, `counts` by kind, `problems` (id, kind, message, dropped) in the
        manifest's order, and `durations_s` by id.
    """
    findings = _inspect_all(clips, workers, progress)
    expected = labels if labels is not None else (*EMOTIONS, *SENTIMENTS)
    allowed = {name for label in expected for name in (bare_label(label), emotion_name(label))}
    for clip, finding in zip(clips, findings, strict=True):
        label = None if clip.label is None else bare_label(clip.label)
        if label is not None and label not in allowed and not allowed.issuperset(label.split("_")):
            if labels is None:
                message = f"label {clip.label!r} is not one of ours; give your own as --labels to find misspelt ones"
                finding.problems.append(("unknown-label", message))
            else:
                message = f"label {clip.label!r}; expected one of {', '.join(sorted(set(map(bare_label, labels))))}"
                finding.problems.append(("oov-label", message))
    _compare(clips, findings)
    problems = [
        {"id": clip.id, "kind": kind, "message": message, "dropped": kind in DROPPED}
        for clip, finding in zip(clips, findings, strict=True)
        for kind, message in finding.problems
    ]
    found = Counter(problem["kind"] for problem in problems)
    return {
        "clips": len(clips),
        "clean": len(clips) - len({problem["id"] for problem in problems if problem["dropped"]}),
        "unlabelled": sum(clip.label is None and not clip.labels for clip in clips),
        "counts": {kind: found[kind] for kind in (*DROPPED, *KEPT)},
        "problems": problems,
        "durations_s": {
            clip.id: round(finding.duration_s, 3)
            for clip, finding in zip(clips, findings, strict=True)
            if finding.duration_s is not None
        },
    }


def check_file(
    manifest: Path,
    out: Path,
    workers: int = 1,
    *,
    labels: Collection[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Check a manifest and write `check.json` and the clean `manifest.jsonl` into a folder; return the report.

    Args:
        manifest: the file to check.
        out: the folder, created if missing.
        workers: see `check_manifest`.
        labels: see `check_manifest`.
        progress: see `check_manifest`.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    clips = read_manifest(manifest)
    report = check_manifest(clips, workers, labels=labels, progress=progress)
    write_manifest(out / "manifest.jsonl", clean_clips(clips, report))
    write_json(out / "check.json", report)
    return report


def check_text(report: dict[str, Any], examples: int = 3) -> str:
    """Format a report as a few plain lines.

    Args:
        report: what `check_manifest` returned.
        examples: number of messages shown of each kind.
    """
    lines = [f"{counted(report['clips'], 'clip')} checked, {report['clean']:,} clean"]
    if report["unlabelled"]:
        lines.append(f"unlabelled {report['unlabelled']:,}")
    for kind, count in report["counts"].items():
        if count:
            fate = "dropped" if kind in DROPPED else "kept"
            found = [problem for problem in report["problems"] if problem["kind"] == kind][:examples]
            shown = "; ".join(f"{problem['id']}: {problem['message']}" for problem in found)
            lines.append(f"{kind} {count:,} ({fate}): {shown}{'; ...' if count > examples else ''}")
    return "\n".join(lines) + "\n"


def clean_clips(clips: Sequence[Clip], report: dict[str, Any]) -> list[Clip]:
    """Return the clips that a report does not drop, in their order.

    Args:
        clips: the clips that were checked.
        report: what `check_manifest` returned for them.
    """
    dropped = {problem["id"] for problem in report["problems"] if problem["dropped"]}
    return [clip for clip in clips if clip.id not in dropped]


def _inspect_all(clips: Sequence[Clip], workers: int, progress: Progress | None) -> list[_Finding]:
    findings: dict[int, _Finding] = {}
    for index, finding in _inspect_in_processes(clips, workers) if workers > 1 else enumerate(map(_inspect, clips)):
        findings[index] = finding
        if progress is not None:
            progress("checking", len(findings) / len(clips))
    return [findings[index] for index in range(len(clips))]


def _inspect_in_processes(clips: Sequence[Clip], workers: int) -> Iterator[tuple[int, _Finding]]:
    """Yield findings as they come; after a process died, continue with one clip per process to find the culprit."""
    pending = dict(enumerate(clips))
    alone = False
    while pending:
        batch = dict([next(iter(pending.items()))]) if alone else dict(pending)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1 if alone else workers, mp_context=context) as pool:
            futures = {pool.submit(_inspect, clip): index for index, clip in batch.items()}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
                    del pending[futures[future]]
            except BrokenProcessPool:
                if alone:
                    index, clip = batch.popitem()
                    del pending[index]
                    yield index, _Finding(problems=[("unreadable", f"{clip.path}: decoding it killed the process")])
                alone = True


def _inspect(clip: Clip) -> _Finding:
    finding = _Finding()
    try:
        digest = hashlib.sha256()
        for path in content_files(clip.path):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        finding.digest = digest.hexdigest()
    except OSError:
        # load_clip reports what is wrong with the file.
        finding.digest = None
    try:
        media = load_clip(clip)
    except MediaError as error:
        kind = "zero-length" if error.kind == "empty" else "unreadable"
        finding.problems.append((kind, f"{error.kind}: {error}"))
        return finding
    finding.duration_s = media.duration_s
    finding.problems += look(clip, media)
    return finding


def look(clip: Clip, media: Media) -> list[tuple[str, str]]:
    """Return the problems of decoded arrays as (kind, message).

    Args:
        clip: the manifest's line.
        media: what was read of it.
    """
    found = []
    if media.sound_gaps_s:
        spans = ", ".join(f"{start:.2f} to {stop:.2f} s" for start, stop in media.sound_gaps_s[:3])
        more = f" and {len(media.sound_gaps_s) - 3} more" if len(media.sound_gaps_s) > 3 else ""
        found.append(("sound-gap", f"{clip.path}: its sound has gaps: {spans}{more}"))
    if media.num_damaged_packets:
        found.append(("damaged", f"{clip.path}: {media.num_damaged_packets} packets of its sound cannot be decoded"))
    if media.num_damaged_picture_packets:
        count = media.num_damaged_picture_packets
        found.append(("damaged", f"{clip.path}: {count} packets of its pictures cannot be decoded"))
    is_still = media.frames is not None and len(media.frames) == 1 and media.waveform is None
    if media.duration_s <= 0 and not is_still:
        found.append(("zero-length", f"{clip.path}: lasts {media.duration_s} s"))
    if media.waveform is not None and (not media.waveform.size or np.abs(media.waveform).max() < SILENT_PEAK):
        found.append(("silent", f"{clip.path}: has a silent sound track"))
    if media.frames is not None and media.frames.mean(axis=(1, 2, 3)).max() < BLACK_LEVEL:
        found.append(("black", f"{clip.path}: every sampled picture is black"))
    said_s = clip.meta.get("duration_s")
    if isinstance(said_s, int | float) and _differ(media.duration_s, said_s):
        found.append(("duration", f"{clip.path}: lasts {media.duration_s:.2f} s; the manifest gives {said_s:.2f} s"))
    if clip.stop_s is not None and _differ(media.duration_s, clip.stop_s - (clip.start_s or 0.0)):
        wanted_s = clip.stop_s - (clip.start_s or 0.0)
        found.append(("duration", f"{clip.path}: the part holds {media.duration_s:.2f} of its {wanted_s:.2f} s"))
    if media.frame_times_s is not None and media.waveform is not None and not is_still:
        sound_s = len(media.waveform) / media.sample_rate_hz
        # Pictures are sampled over their whole track: the last one is near its end.
        pictures_s = float(media.frame_times_s[-1]) - (clip.start_s or 0.0)
        shorter, name = min((sound_s, "sound"), (pictures_s, "pictures"))
        if shorter < media.duration_s / 2 and _differ(shorter, media.duration_s):
            found.append(("duration", f"{clip.path}: its {name} end after {shorter:.2f} of {media.duration_s:.2f} s"))
    return found


def _differ(one_s: float, other_s: float) -> bool:
    return abs(one_s - other_s) > max(LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE * max(one_s, other_s))


def _compare(clips: Sequence[Clip], findings: Sequence[_Finding]) -> None:
    """Record the problem of the clip to drop: the one in the earlier split of a leak, the later line of a duplicate."""
    groups: dict[str, list[int]] = {}
    for index, finding in enumerate(findings):
        if finding.digest is not None and finding.duration_s is not None:
            groups.setdefault(finding.digest, []).append(index)
    noted: set[int] = set()
    for group in groups.values():
        for first, second in combinations(group, 2):
            one, two = clips[first], clips[second]
            if first in noted or second in noted or not _overlap(one, two):
                continue
            go, stay = second, first
            between_parts = one.split != two.split and one.split is not None and two.split is not None
            if between_parts and _part(one) < _part(two):
                go, stay = first, second
            leaks = between_parts or (one.fold != two.fold and one.fold is not None and two.fold is not None)
            labels = "" if one.label == two.label else f"; their labels differ: {clips[go].label}, {clips[stay].label}"
            where, here = _name(clips[stay]), _name(clips[go])
            message = f"the same content as {clips[stay].id}" + (
                "" if where == here else f" in {where}; this is in {here}"
            )
            findings[go].problems.append(("leak" if leaks else "duplicate", message + labels))
            noted.add(go)


def _overlap(one: Clip, two: Clip) -> bool:
    return max(one.start_s or 0.0, two.start_s or 0.0) < min(
        math.inf if one.stop_s is None else one.stop_s, math.inf if two.stop_s is None else two.stop_s
    )


def _part(clip: Clip) -> int:
    return _PART_ORDER.get(clip.split or "", 0)


def _name(clip: Clip) -> str:
    return clip.split or (f"fold {clip.fold}" if clip.fold is not None else "the manifest")
