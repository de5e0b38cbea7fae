"""The bundled model and sample clips, taken from a finished run (`make assets`).

The recipe's files are bundled unchanged, together with the run's scale and seed and a hash of the weights. The six
clips are of the run's validation splits, each of another emotion; the label in their manifest is the emotion that was
acted. One of them lost its sound and one its pictures: what is left is copied packet by packet, not encoded again.

    angry.mp4, fear.mp4, neutral.mp4    tests and docs name these
    EMOTION.mp4                         of another emotion
    silent-film.mp4                     without a sound stream
    voice.m4a                           without pictures

The model answers each rightly in float32 and in bfloat16, and its reasons hold: they imply the answer, and none of
their claims is contradicted or about a side that is not there. The first clips that fit are taken.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import av
import typer

from r1omni.cli import boundary
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.datasets.manifest import read_manifest, write_manifest
from r1omni.infer.engine import Engine
from r1omni.infer.features import Side
from r1omni.infer.predict_files import ASSETS, PREDICT_SETTINGS, Prediction, load_engine, predict_files
from r1omni.runs.file_hashes import shared_file_hashes
from r1omni.runs.run_folder import read_record
from r1omni.scoring.claim_grading import grade_claims
from r1omni.scoring.claims import read_reasons
from r1omni.synth.cue_evidence import cue_evidence

MAX_BYTES = 8_000_000
"""Of model and clips together."""
CORPORA = ("dfew-like", "mafw-like")
NAMED = ("angry", "fear", "neutral")
"""Emotions that tests and docs rely on."""
OTHERS: tuple[tuple[str | None, Side | None], ...] = (
    ("silent-film.mp4", "sound"),
    ("voice.m4a", "pictures"),
    (None, None),
)
"""File and absent side of the other samples; a file without a name is named by its emotion."""
_BATCH = 8


@dataclass(frozen=True)
class Sample:
    """A clip to bundle."""

    file: str
    clip: Clip
    """As the corpus has it."""
    absent: Side | None
    """The side that is taken away."""

    def entry(self, folder: Path) -> Clip:
        """Return its manifest line: labelled with the emotion that was acted, and with the sides that it has."""
        meta = dict(self.clip.meta)
        if self.absent is not None:
            meta["modality"] = "video" if self.absent == "sound" else "audio"
        if self.absent == "pictures":
            meta["subtitled"] = False
        return replace(self.clip, path=folder / self.file, label=str(self.clip.meta["emotion"]), meta=meta)


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog="Example: python scripts/bundle_assets.py runs/reproduce")
def main(run: Annotated[Path, typer.Argument(help="The folder of a finished `r1omni reproduce`.")]) -> None:
    """Copy the model and sample clips of a finished run into the package."""
    for sample in bundle(run):
        typer.echo(f"{sample.file}: {sample.clip.id}, {sample.clip.meta['emotion']}")


def bundle(run: Path, assets: Path = ASSETS) -> list[Sample]:
    """Copy the RLVR model of a finished run and six of its validation clips into the package.

    Args:
        run: the folder of `r1omni reproduce`.
        assets: the folder that holds `drawn-people/` and `clips/`; they are replaced once everything was found.

    Raises:
        ConfigError: the folder holds no finished run, too few clips fit, or the bundle would be too large.
    """
    model = run / "stages" / "r1-omni" / "model"
    if not model.is_dir():
        raise ConfigError(f"{model} does not exist; name the folder of a finished `r1omni reproduce`.")
    made = read_record(run)["identity"]
    made_by = {
        "command": f"r1omni reproduce --scale {made['settings.scale']} --seed {made['seed']}",
        "seed": made["seed"],
        "weights_sha256": shared_file_hashes().sha256(model / "model.safetensors"),
    }
    samples = choose(model, validation_clips(run))
    with tempfile.TemporaryDirectory() as scratch:
        people, clips = Path(scratch) / "drawn-people", Path(scratch) / "clips"
        shutil.copytree(model, people)
        (people / "made_by.json").write_text(json.dumps(made_by, indent=1) + "\n")
        clips.mkdir()
        for sample in samples:
            write_sample(sample.clip.path, clips / sample.file, sample.absent)
        write_manifest(clips / "manifest.jsonl", [sample.entry(clips) for sample in samples])
        size = sum(path.stat().st_size for path in Path(scratch).rglob("*") if path.is_file())
        if size > MAX_BYTES:
            raise ConfigError(f"Model and clips have {size:,} bytes; at most {MAX_BYTES:,} are bundled.")
        for folder in (people, clips):
            shutil.rmtree(assets / folder.name, ignore_errors=True)
            shutil.copytree(folder, assets / folder.name)
    return samples


def validation_clips(run: Path) -> list[Clip]:
    """Return the validation clips of both training corpora.

    Args:
        run: the folder of `r1omni reproduce`.
    """
    clips = [clip for corpus in CORPORA for clip in read_manifest(run / "corpora" / corpus / "manifest.jsonl")]
    return [clip for clip in clips if clip.split == "val"]


def choose(model: Path, clips: Sequence[Clip]) -> list[Sample]:
    """Return the six samples: the first clips that fit, one-sided ones before the last whole one.

    Args:
        model: the checkpoint that must answer them.
        clips: with cues, in the order of preference.

    Raises:
        ConfigError: too few clips fit.
    """
    engines = [load_engine(str(model), PREDICT_SETTINGS, dtype=dtype) for dtype in ("float32", "bfloat16")]
    samples = [Sample(f"{name}.mp4", first_that_fits(engines, clips, {name}, None), None) for name in NAMED]
    every = {str(clip.meta["emotion"]) for clip in clips}
    for name, absent in OTHERS:
        left = every - {str(sample.clip.meta["emotion"]) for sample in samples}
        found = first_that_fits(engines, clips, left, absent)
        samples.append(Sample(name or f"{found.meta['emotion']}.mp4", found, absent))
    return samples


def first_that_fits(engines: Sequence[Engine], clips: Sequence[Clip], emotions: set[str], absent: Side | None) -> Clip:
    """Return the first clip of some emotions that every engine answers rightly, with reasons that hold.

    Args:
        engines: over the model, in each number format.
        clips: with cues, in the order of preference.
        emotions: that are looked for.
        absent: the side that is taken away.

    Raises:
        ConfigError: there is none.
    """
    wanted = [clip for clip in clips if clip.meta["emotion"] in emotions]
    suffix = ".m4a" if absent == "pictures" else ".mp4"
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        with tempfile.TemporaryDirectory() as scratch:
            files = {clip.id: Path(scratch) / f"{clip.id}{suffix}" for clip in part}
            for clip in part:
                write_sample(clip.path, files[clip.id], absent)
            for engine in engines:
                said = list(predict_files(engine, [files[clip.id] for clip in part]))
                part = [clip for clip, row in zip(part, said, strict=True) if fits(clip, row, absent)]
        if part:
            return part[0]
    without = "" if absent is None else f" without {absent}"
    raise ConfigError(
        f"None of {len(wanted)} validation clips of {', '.join(sorted(emotions))}{without} is answered rightly in both "
        "number formats with reasons that hold; bundle another run."
    )


def fits(clip: Clip, said: Prediction, absent: Side | None) -> bool:
    """Return whether an answer is right and its reasons hold.

    Args:
        clip: with the cues of a made corpus.
        said: what the model says of it.
        absent: the side that it does not have.
    """
    evidence = cue_evidence(clip)
    if evidence is None or said.answer != clip.meta["emotion"] or not said.fit.agrees:
        return False
    known = evidence if absent is None else evidence.without(absent)
    graded = grade_claims(read_reasons(said.reasoning or "").claims, known)
    states = {claim.state for claim in graded}
    return "supported" in states and "contradicted" not in states and not any(claim.is_side_absent for claim in graded)


def write_sample(source: Path, target: Path, absent: Side | None) -> None:
    """Copy a clip, or one of its streams alone.

    Args:
        source: the clip.
        target: the file to write.
        absent: the side that is left out.
    """
    if absent is None:
        shutil.copyfile(source, target)
        return
    kind = "video" if absent == "sound" else "audio"
    with av.open(str(source)) as given, av.open(str(target), "w", format="mp4") as written:
        (stream,) = [stream for stream in given.streams if stream.type == kind]
        copy = written.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                written.mux(packet)


if __name__ == "__main__":
    boundary.run(app)
