"""A manifest's dataset card in Markdown, as the Hugging Face hub shows it: what the clips are, counted.

Only what the manifest holds is counted. The clips' files are not part of the card, and neither is the right to share
them: most releases of emotion corpora forbid it, so that a manifest is published without its clips.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.core.json_text import json_text
from r1omni.datasets.manifest import manifest_hash, read_manifest
from r1omni.datasets.stats import manifest_stats

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's classes of size, by the number of clips below which each ends."""
_SENSITIVE = """\
Clips show people's faces and voices. Labels are what annotators or actors named, not what anybody felt, and annotators
disagree. Share clips only where the release and the people in them allow it."""


def dataset_card(manifest: Path, *, licence: str, name: str | None = None) -> str:
    """Write the card of a manifest.

    Args:
        manifest: the JSONL file.
        licence: identifier as the hub lists them, such as cc-by-nc-4.0 or other.
        name: of the data set; None takes the manifest's.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    clips = read_manifest(manifest)
    stats = manifest_stats(clips)
    title = name or manifest.stem
    languages = [language for language in stats["language"] if language and language != "none"]
    head = [
        "---",
        f"license: {json_text(licence)}",
        f"pretty_name: {json_text(title)}",
        *([f"language: {json_text(sorted(languages))}"] if languages else []),
        'task_categories: ["video-classification", "audio-classification"]',
        'tags: ["emotion-recognition", "video", "audio", "r1omni"]',
        f"size_categories: {json_text([_size(len(clips))])}",
        f"configs: {json_text([{'config_name': 'default', 'data_files': manifest.name}])}",
        "---",
    ]
    body = [
        "",
        f"# {title}",
        "",
        f"{len(clips):,} clips in {stats['files']:,} files, listed in `{manifest.name}` (SHA-256 "
        f"`{manifest_hash(manifest)}`), one JSON object per line, as "
        "[r1omni](https://arxiv.org/abs/2503.05379) reads it.",
        "",
        f"    r1omni data check {manifest.name} --out checked",
        f"    r1omni evaluate --model MODEL --data {manifest.name} --out runs/evaluation",
        "",
        "## Fields",
        "",
        *_fields(clips),
        "",
        "## Counts",
        "",
        *_counts(stats),
        *_lengths(stats["length_s"]),
        "",
        "## What to know before use",
        "",
        _SENSITIVE,
        "",
        f"Licence of the manifest: {licence}. The clips have their own terms.",
        "",
    ]
    return "\n".join([*head, *body])


def _size(num_clips: int) -> str:
    return next((name for stop, name in _SIZES if num_clips < stop), "n>1M")


def _fields(clips: Sequence[Clip]) -> list[str]:
    """Which optional fields the clips have, and how many have them."""
    held = {
        "label": sum(clip.label is not None for clip in clips),
        "labels": sum(bool(clip.labels) for clip in clips),
        "reasoning": sum(clip.reasoning is not None for clip in clips),
        "subtitle": sum(clip.subtitle is not None for clip in clips),
        "start_s, stop_s": sum(clip.start_s is not None or clip.stop_s is not None for clip in clips),
        "split": sum(clip.split is not None for clip in clips),
        "fold": sum(clip.fold is not None for clip in clips),
    }
    meta = sorted({name for clip in clips for name in clip.meta})
    lines = ["| field | clips that have it |", "|---|---|", f"| id, path | {len(clips):,} |"]
    lines += [f"| {name} | {count:,} |" for name, count in held.items() if count]
    return [*lines, f"| meta: {', '.join(meta)} | |"] if meta else lines


def _counts(stats: Mapping[str, Any]) -> list[str]:
    lines = []
    for title in ("label", "split", "fold", "language", "corpus"):
        table = {name: count for name, count in stats[title].items() if count}
        if table and list(table) != ["none"]:
            lines += [f"| {title} | clips |", "|---|---|"]
            lines += [f"| {name} | {count:,} |" for name, count in table.items()]
            lines.append("")
    return lines[:-1] if lines else ["The clips have no label, split or fold."]


def _lengths(lengths: Mapping[str, Any]) -> list[str]:
    if not lengths.get("count"):
        return ["", "The manifest does not say how long the clips are."]
    return [
        "",
        f"Length: {lengths['min']:.1f} to {lengths['max']:.1f} s, median {lengths['median']:.1f} s, "
        f"{lengths['total'] / 3600:.1f} h in all ({lengths['unknown']:,} clips of unknown length).",
    ]
