"""What `r1omni annotate` costs with and without evidence: CPU seconds a clip, clips a second, peak memory, row size.

The archive is one generated clip, listed several times: a bundled drawn person who speaks, 640 x 360 with noise, as in
`evidence.py`. Each way runs in a process of its own, and has annotated one clip before the clock starts.
"""

import json as jsonlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from alone import run_alone, say
from evidence import make_clip
from options import Json, new_app
from r1omni.cli import boundary
from r1omni.config.annotation_run import AnnotationConfig
from r1omni.config.sections import EngineSection
from r1omni.core.labels import LABEL_SETS
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.predict_files import BUNDLED_MODEL
from r1omni.model.load_model import load_model
from r1omni.scale.annotation import annotate

WAYS: dict[str, tuple[bool, bool]] = {
    "answers": (False, False),
    "with evidence": (True, False),
    "and transcripts": (True, True),
}
"""Way -> whether evidence is measured, and whether with transcripts."""

app = new_app()


@app.command(epilog="Example: OMP_NUM_THREADS=1 python benchmarks/annotating.py --clips 8")
def main(
    clips: Annotated[int, typer.Option(min=1, help="Clips of the archive.")] = 16,
    clip_seconds: Annotated[float, typer.Option(min=2.0, help="Length of each, in seconds.")] = 5.0,
    model: Annotated[str, typer.Option(help="Checkpoint: a folder or a hub id.")] = str(BUNDLED_MODEL),
    whisper: Annotated[str | None, typer.Option(help="Whisper checkpoint, to time transcripts too.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips answered together.")] = 8,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens that an answer may have.")] = 160,
    json: Json = False,
) -> None:
    """Annotate an archive with and without evidence."""
    ways = [way for way, (_, hears) in WAYS.items() if whisper or not hears]
    settings = {"model": model, "whisper": whisper, "batch_size": batch_size, "max_new_tokens": max_new_tokens}
    results = measure_ways(clips, clip_seconds, settings, ways)
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for row in results:
        typer.echo(
            f"{row['way']:<16}{row['cpu_s']:8.2f} CPU s a clip{row['clips_per_s']:8.3f} clips/s"
            f"{row['peak_memory_mib']:8.0f} MiB{row['row_bytes']:9,.0f} bytes a row"
        )


def measure_ways(
    num_clips: int, clip_seconds: float, settings: dict[str, Any], ways: Sequence[str]
) -> list[dict[str, Any]]:
    """Annotate the same archive in several ways.

    Args:
        num_clips: of the archive.
        clip_seconds: length of each clip.
        settings: `model`, `whisper`, `batch_size` and `max_new_tokens`.
        ways: keys of `WAYS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        make_clip(Path(folder) / "made.mp4", clip_seconds)
        for name, count in (("first", 1), ("archive", num_clips)):
            lines = [jsonlib.dumps({"id": str(number), "path": "made.mp4"}) for number in range(count)]
            (Path(folder) / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        results = []
        for way in ways:
            say(f"annotating {num_clips} clips: {way}")
            results.append(run_alone(_measure, way, folder, num_clips, settings))
        return results


def _measure(way: str, folder: str, num_clips: int, settings: dict[str, Any]) -> dict[str, Any]:
    section = EngineSection(batch_size=settings["batch_size"])
    engine = build_engine(*load_model(settings["model"], dtype="auto", device="auto"), section, keeps=False)
    _annotate("first", way, folder, settings, engine)
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    out = _annotate("archive", way, folder, settings, engine)
    seconds, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    return {
        "way": way,
        "cpu_s": cpu_s / num_clips,
        "clips_per_s": num_clips / seconds,
        "row_bytes": sum(path.stat().st_size for path in (out / "shards").iterdir()) / num_clips,
        "peak_memory_mib": int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024,
    }


def _annotate(archive: str, way: str, folder: str, settings: dict[str, Any], engine: Engine) -> Path:
    evidence, hears = WAYS[way]
    run = AnnotationConfig(
        source=str(Path(folder) / f"{archive}.jsonl"),
        out=Path(folder) / f"{archive} {way}",
        model=settings["model"],
        labels=LABEL_SETS["mafw"],
        evidence=evidence,
        whisper=settings["whisper"] if hears else None,
        max_new_tokens=settings["max_new_tokens"],
        engine=EngineSection(batch_size=settings["batch_size"]),
    )
    annotate(run, lambda: engine)
    return run.out


if __name__ == "__main__":
    boundary.run(app)
