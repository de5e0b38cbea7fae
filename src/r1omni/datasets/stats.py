"""Counts a manifest: labels, splits, folds, languages, durations; as plain data, as text, as a picture.

Durations come from the clips' start and stop, from `meta.duration_s`, or from a check report; the files are not opened.
A figure over nothing is None; clips of unknown duration are counted.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.datasets.names import bare_label

_BAR_WIDTH = 40
_CHARACTER_PX = 8
"""Width of a letter in the picture, rounded up."""
_LENGTH_EDGES_S = (0, 1, 2, 3, 5, 10, 20, 30, 60)


def manifest_stats(clips: Sequence[Clip], durations_s: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Count clips.

    Args:
        clips: the manifest's clips.
        durations_s: duration by id, as in a check report; None uses the manifest's.

    Returns:
        `clips`, `files`; counts under `label`, `labels` (free words, the 50 commonest), `split`, `fold`, `language` and
        `corpus`, with clips without one under `none`; `reasoned`, `subtitled`; and under `length_s` count,
        unknown, total, min, median, mean, max and a histogram.
    """
    words = Counter(word for clip in clips for word in clip.labels)
    return {
        "clips": len(clips),
        "files": len({clip.path for clip in clips}),
        "label": _count(None if clip.label is None else bare_label(clip.label) for clip in clips),
        "labels": dict(words.most_common(50)),
        "split": _count(clip.split for clip in clips),
        "fold": dict(sorted(_count(clip.fold for clip in clips).items())),
        "language": _count(clip.meta.get("language") for clip in clips),
        "corpus": _count(clip.corpus for clip in clips),
        "reasoned": sum(clip.reasoning is not None for clip in clips),
        "subtitled": sum(clip.subtitle is not None for clip in clips),
        "length_s": _lengths([_length(clip, durations_s or {}) for clip in clips]),
    }


def read_durations(report: Path) -> dict[str, float]:
    """Return the duration of each clip by id, in seconds, from a check report.

    Args:
        report: check.json of `check_file`.

    Raises:
        DatasetError: the file is not a check report.
    """
    try:
        return json.loads(report.read_text(encoding="utf-8"))["durations_s"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{report}: found no durations ({error!r}); expected check.json of `data check`") from error


def stats_text(stats: Mapping[str, Any]) -> str:
    """Format counts as a plain table with bars.

    Args:
        stats: what `manifest_stats` returned.
    """
    lines = [
        f"{stats['clips']:,} clips in {stats['files']:,} files; {stats['reasoned']:,} with reasoning, "
        f"{stats['subtitled']:,} with a subtitle"
    ]
    for title, table in _tables(stats):
        width = max(len(name) for name in table)
        most = max(table.values())
        lines += ["", title]
        for name, count in table.items():
            bar = "#" * round(_BAR_WIDTH * count / most) if most else ""
            lines.append(f"  {name:<{width}}  {count:>8,}  {bar}".rstrip())
    return "\n".join(lines) + "\n"


def stats_svg(stats: Mapping[str, Any]) -> str:
    """Draw counts as bars in one SVG document, each bar with its name and number.

    Args:
        stats: what `manifest_stats` returned.
    """
    parts, y = [], 28
    tables = _tables(stats)
    left = 30 + _CHARACTER_PX * min(max((len(name) for _, table in tables for name in table), default=0), 40)
    parts.append(f'<text x="12" y="{y}" font-weight="bold">{stats["clips"]:,} clips in {stats["files"]:,} files</text>')
    for title, table in tables:
        y += 34
        parts.append(f'<text x="12" y="{y}" font-weight="bold">{escape(title)}</text>')
        most = max(table.values()) or 1
        for name, count in table.items():
            y += 22
            width = 360 * count / most
            parts.append(f'<text x="{left - 10}" y="{y}" text-anchor="end">{escape(name[:40])}</text>')
            parts.append(f'<rect x="{left}" y="{y - 12}" width="{width:.1f}" height="15" fill="#3d6d99"/>')
            parts.append(f'<text x="{left + 8 + width:.1f}" y="{y}">{count:,}</text>')
    size = f'width="{left + 460}" height="{y + 24}" viewBox="0 0 {left + 460} {y + 24}"'
    style = 'font-family="sans-serif" font-size="14" fill="#222"'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{background}{"".join(parts)}</svg>\n'


def _tables(stats: Mapping[str, Any]) -> list[tuple[str, dict[str, int]]]:
    named = (
        ("label", "label"),
        ("free words", "labels"),
        ("part", "split"),
        ("fold", "fold"),
        ("language", "language"),
    )
    tables = [(title, dict(stats[key])) for title, key in (*named, ("corpus", "corpus"))]
    lengths = stats["length_s"]
    title = "length"
    if lengths["count"]:
        title += f": median {lengths['median']:.1f} s, {lengths['min']:.1f} to {lengths['max']:.1f} s, "
        title += f"{lengths['total'] / 3600:.2f} h in total"
    if lengths["unknown"]:
        title += f" ({lengths['unknown']:,} unknown: run `r1omni data check`)"
    tables.append((title, lengths["histogram"] or {"unknown": lengths["unknown"]}))
    return [(title, table) for title, table in tables if table and set(table) != {"none"}]


def _count(values: Iterable[object]) -> dict[str, int]:
    counts = Counter("none" if value is None else str(value) for value in values)
    return dict(sorted(counts.items(), key=lambda item: (item[0] == "none", -item[1], item[0])))


def _length(clip: Clip, durations_s: Mapping[str, float]) -> float | None:
    if clip.id in durations_s:
        return float(durations_s[clip.id])
    if clip.stop_s is not None:
        return clip.stop_s - (clip.start_s or 0.0)
    said_s = clip.meta.get("duration_s")
    return float(said_s) if isinstance(said_s, int | float) else None


def _lengths(lengths_s: Sequence[float | None]) -> dict[str, Any]:
    known = np.array([length for length in lengths_s if length is not None])
    table: dict[str, Any] = {"count": len(known), "unknown": len(lengths_s) - len(known)}
    if not len(known):
        return table | dict.fromkeys(("total", "min", "median", "mean", "max")) | {"histogram": {}}
    edges = [*_LENGTH_EDGES_S, np.inf]
    counts, _ = np.histogram(known, edges)
    names = [f"{low} to {high} s" for low, high in zip(edges[:-2], edges[1:-1], strict=True)] + [
        f"{edges[-2]} s and up"
    ]
    return table | {
        "total": round(float(known.sum()), 3),
        "min": round(float(known.min()), 3),
        "median": round(float(np.median(known)), 3),
        "mean": round(float(known.mean()), 3),
        "max": round(float(known.max()), 3),
        "histogram": {name: int(count) for name, count in zip(names, counts, strict=True) if count},
    }
