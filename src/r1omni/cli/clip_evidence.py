"""`r1omni evidence`: what can be measured in clips, as a table for people or as JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r1omni.cli.options import ModalityOption
from r1omni.cli.progress import hide_loading_bars
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.json_text import json_text

if TYPE_CHECKING:
    from r1omni.core.evidence import Evidence, EvidenceItem

EXAMPLE = "r1omni evidence interview.mp4 call.wav --whisper openai/whisper-base --json"
PHASES = {"clip": "", "first": "first half", "then": "second half"}


def evidence(
    clips: Annotated[
        list[Path] | None, typer.Argument(help="Files with pictures, sound or both.", show_default=False)
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Measure the clips of a manifest, in their given parts; with CLIP, only those. Cues of a made corpus "
            "count as evidence.",
            show_default=False,
        ),
    ] = None,
    modality: ModalityOption = "auto",
    whisper: Annotated[
        str | None,
        typer.Option(help="Whisper folder or hub id, for a transcript. [default: no transcript]", show_default=False),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="Language spoken, such as en, for a multilingual Whisper. [default: as heard]", show_default=False
        ),
    ] = None,
    subtitles: Annotated[bool, typer.Option(help="Look for text in the pictures, the slowest part.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Measure what can be seen, heard and read in clips: face, voice, speech, subtitles, transcript.

    What cannot be measured is listed with the reason. Cues are not emotions: docs/evidence.md says what each means.
    Exits with 1 if a clip could not be read; the others are still measured.
    """
    from r1omni.evidence.measure import ClipMeasurer

    hide_loading_bars()
    chosen = list(_chosen(clips or [], manifest))
    measurer = ClipMeasurer(whisper, language, read_subtitles=subtitles)
    records, failed = [], False
    for clip in chosen:
        try:
            found = measurer.measure(clip, modality).evidence
        except MediaError as error:
            failed = True
            records.append(
                {"id": clip.id, "path": str(clip.path), "error": {"kind": error.kind, "message": str(error)}}
            )
            typer.echo(f"r1omni: {error}", err=True)
            continue
        records.append({"id": clip.id, "path": str(clip.path)} | found.to_json())
        if not json:
            typer.echo("\n".join(_table(clip, found)))
    if json:
        typer.echo(json_text({"clips": records}, indent=2))
    raise typer.Exit(int(failed))


def _chosen(paths: list[Path], manifest: Path | None) -> Iterator[Clip]:
    """Yield the clips to measure: files, or those of a manifest."""
    if manifest is None:
        if not paths:
            raise ConfigError(f"No clip was given; name files or --manifest, such as: {EXAMPLE}")
        yield from (Clip(id=path.stem, path=path) for path in paths)
        return
    from r1omni.datasets.manifest import read_manifest

    wanted = {path.resolve() for path in paths}
    listed = read_manifest(manifest)
    missing = wanted - {clip.path.resolve() for clip in listed}
    if missing:
        raise ConfigError(f"{min(missing)}: is not in {manifest}; give a clip of the manifest, or leave --manifest out")
    yield from (clip for clip in listed if not wanted or clip.path.resolve() in wanted)


def _table(clip: Clip, found: "Evidence") -> Iterator[str]:
    """Yield the lines that show a clip's evidence to people; JSON has the halves that do not differ as well."""
    has = [name for name, there in (("pictures", found.has_pictures), ("sound", found.has_sound)) if there]
    yield f"{clip.path}  ({found.duration_s:.2f} s, {' and '.join(has)})"
    for side in ("sound", "pictures", "text"):
        rows = [_row(item) for item in found.items if item.side == side and _is_shown(item, found)]
        if rows:
            widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
            yield f"  {side}"
            for row in rows:
                yield "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    reasons: dict[str, list[str]] = {}
    for missing in found.unmeasured:
        reasons.setdefault(missing.reason, []).append(missing.name)
    if reasons:
        yield "  not measured"
        yield from (f"    {', '.join(names)}: {reason}" for reason, names in reasons.items())
    yield ""


def _is_shown(item: "EvidenceItem", found: "Evidence") -> bool:
    """Return whether people see an item: one of a half only where its band is not the clip's."""
    whole = found.find(item.name)
    return item.phase == "clip" or whole is None or item.band != whole.band


def _row(item: "EvidenceItem") -> tuple[str, ...]:
    """Return an item as cells: name, phase, value, band, span, confidence, method."""
    value = _shown(item)
    near = f" (near {item.near})" if item.near else ""
    sure = "" if item.confidence is None else f"{item.confidence:.2f}"
    span = f"{item.start_s:.2f}-{item.stop_s:.2f} s"
    return (
        item.name,
        PHASES[item.phase],
        value,
        f"{item.band or ''}{near}",
        span,
        sure,
        item.measured_by,
    )


def _shown(item: "EvidenceItem") -> str:
    """Return an item's value with its unit."""
    if isinstance(item.value, bool):
        return "yes" if item.value else "no"
    if isinstance(item.value, str):
        return item.value
    if item.unit == "share":
        return f"{item.value:.0%}"
    return f"{item.value:.3g}" if item.unit == "faces" else f"{item.value:.3g} {item.unit}"
