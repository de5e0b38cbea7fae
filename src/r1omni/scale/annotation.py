"""Answers for an archive, shard by shard: what `r1omni annotate` runs, top to bottom.

A run folder holds
    run.json            which model annotates which archive, and how: any other run is refused
    clips.jsonl         the clips, listed once, in the order of the rows; listing.json counts them
    shards/part-00000.jsonl or .parquet    the rows of shard_clips clips, written whole
    shards/part-00001.progress             the rows so far of a shard that is being made
    annotations.json    counts, and failures by kind; its presence says that every shard is there

The unit is the batch: engine.batch_size clips that follow one another in a shard, answered together and kept with one
write. A run that was killed goes on at the first batch that is not whole, so that no clip is answered twice or lost,
and a row is the same bytes whoever makes it: rounding depends on what lies in a batch, and batches do not change.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Any

from r1omni.config.annotation_run import AnnotationConfig
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.instruction import instruction_for
from r1omni.evidence.transcript import check_whisper
from r1omni.infer.clip_answers import ClipAnswer, answer_clips
from r1omni.infer.clip_windows import Split, as_one_part
from r1omni.infer.engine import Engine
from r1omni.infer.predict_files import BUNDLED_MODEL
from r1omni.model.checkpoint_hash import checkpoint_identity
from r1omni.model.stored_answer_format import answer_format_of
from r1omni.runs.files import append_rows, read_rows, repair, rewind_to, write_json
from r1omni.runs.record import run_facts
from r1omni.runs.run_folder import RunFolder
from r1omni.scale.annotation_evidence import column_counts, fetched_and_measured, measuring_identity
from r1omni.scale.annotation_rows import SCHEMA_VERSION, annotation_row, check_format, read_shard, write_shard
from r1omni.scale.archive import ListedClip, Listing, fetched, read_listing, write_listing

LIST, LISTING, SUMMARY, SHARDS = "clips.jsonl", "listing.json", "annotations.json", "shards"

Row = dict[str, Any]
AnswerBatches = Callable[[Iterable[Sequence[ListedClip]]], Iterator[list[Row]]]
"""Batches to their rows, in the batches' order; may take batches ahead."""

OnProgress = Callable[[int, int, int], None]
"""Called after every batch with clips done, clips in all, and how many of the former failed."""


@dataclass(frozen=True)
class Shard:
    """Clips that follow one another in the list."""

    number: int
    start: int
    stop: int
    """Exclusive."""
    path: Path
    """Of its rows, once they are whole."""

    @property
    def progress(self) -> Path:
        """Its rows so far."""
        return self.path.with_suffix(".progress")


@dataclass(frozen=True)
class Job:
    """An annotation whose folder is claimed and whose clips are listed."""

    run: AnnotationConfig
    listing: Listing

    @property
    def clips(self) -> Path:
        """The list."""
        return self.run.out / LIST

    def shards(self) -> Iterator[Shard]:
        """Yield every shard, those of other parts too."""
        size, num_clips = self.run.shard_clips, self.listing.num_clips
        for number, start in enumerate(range(0, num_clips, size)):
            path = self.run.out / SHARDS / f"part-{number:05d}.{self.run.format}"
            yield Shard(number, start, min(start + size, num_clips), path)

    def mine(self) -> list[Shard]:
        """Return the shards of this part of the run that are not whole."""
        index, count = self.run.part
        return [shard for shard in self.shards() if shard.number % count == index and not shard.path.exists()]


def annotate(
    run: AnnotationConfig,
    load: Callable[[], Engine],
    on_progress: OnProgress = lambda num_done, num_clips, num_failed: None,
    answer_batches: AnswerBatches | None = None,
) -> dict[str, Any] | None:
    """Answer every clip of an archive once.

    Args:
        run: which model annotates what.
        load: returns the engine over `run.model`; called only where rows are missing.
        on_progress: told after every batch.
        answer_batches: who answers; None loads the model in this process.

    Returns:
        The content of annotations.json; None while other parts of the run are still at work.

    Raises:
        ConfigError: no such archive or Whisper checkpoint, another run in the folder, or Parquet without pyarrow.
        DatasetError: the archive holds no clip.
        ManifestError: its manifest cannot be read, or two clips share an id.
        CheckpointError: the model cannot be read.
        WriteError: the disk is full or the folder not writable.
    """
    job = begin(run)
    missing = job.mine()
    if missing:
        if answer_batches is None:
            answer_batches = partial(map, partial(answer_batch, run, load()))
        num_done, num_failed = _counts(job, missing)
        answered = answer_batches(chain.from_iterable(missing_batches(job, shard) for shard in missing))
        for shard in missing:
            for rows in keep_batches(job, shard, answered):
                num_done += len(rows)
                num_failed += sum(row["error"] is not None for row in rows)
                on_progress(num_done, job.listing.num_clips, num_failed)
    return finish(job)


def begin(run: AnnotationConfig) -> Job:
    """Claim the folder and list the clips; what was listed before is not listed again.

    Args:
        run: which model annotates what.

    Raises:
        ConfigError: see `annotate`.
        DatasetError: see `annotate`.
        ManifestError: see `annotate`.
        CheckpointError: see `annotate`.
    """
    check_format(run.format)
    if run.whisper is not None:
        check_whisper(run.whisper)
    folder = RunFolder(run.out, "annotation", run_identity(run), run_facts() | {"model": run.model})
    folder.claim()
    counts = run.out / LISTING
    if counts.exists():
        listing = Listing.from_json(json.loads(counts.read_text(encoding="utf-8")))
    else:
        listing = write_listing(run.source, run.out / LIST)
        write_json(counts, asdict(listing))
    (run.out / SHARDS).mkdir(exist_ok=True)
    return Job(run, listing)


def run_identity(run: AnnotationConfig) -> dict[str, Any]:
    """Return everything in a configuration that could change a row.

    The batch size counts: rounding depends on what lies in a batch.

    Args:
        run: which model annotates what.
    """
    model = run.model or str(BUNDLED_MODEL)
    answer_format = answer_format_of(model, run.engine.answer_format)
    return {
        **checkpoint_identity(model, video_pooling=run.engine.video_pooling),
        "source": run.source,
        "schema": SCHEMA_VERSION,
        "modality": run.engine.modality,
        "num_frames": run.engine.num_frames,
        "instruction": instruction_for(run.answers, answer_format),
        "answer_format": str(answer_format),
        "labels": None if run.labels is None else list(run.labels),
        "windows": run.windows,
        "max_new_tokens": run.max_new_tokens,
        "format": run.format,
        "shard_clips": run.shard_clips,
        "batch_size": run.engine.batch_size,
        "evidence": measuring_identity(run.whisper) if run.evidence else None,
    }


def missing_batches(job: Job, shard: Shard) -> Iterator[list[ListedClip]]:
    """Yield the batches of a shard, from the first one that is not whole.

    Args:
        job: the annotation.
        shard: one that is not whole, and that nobody writes to yet.
    """
    num_kept = whole_batches(shard.progress, job.run.engine.batch_size, shard.stop - shard.start)
    clips = islice(read_listing(job.clips), shard.start + num_kept, shard.stop)
    while batch := list(islice(clips, job.run.engine.batch_size)):
        yield batch


def keep_batches(job: Job, shard: Shard, answered: Iterator[list[Row]]) -> Iterator[list[Row]]:
    """Make one shard of answered batches; yields the rows of each batch as they are kept.

    Args:
        job: the annotation.
        shard: one that is not whole.
        answered: the rows of its missing batches, and then those of other shards.

    Raises:
        WriteError: the disk is full or the folder not writable.
    """
    size, num_clips = job.run.engine.batch_size, shard.stop - shard.start
    num_kept = whole_batches(shard.progress, size, num_clips)
    for rows in islice(answered, ceil((num_clips - num_kept) / size)):
        append_rows(shard.progress, rows)
        yield rows
    write_shard(shard.path, read_rows(shard.progress))
    shard.progress.unlink(missing_ok=True)


def whole_batches(progress: Path, batch_size: int, num_clips: int) -> int:
    """Cut off what a killed writer left of a batch; return how many rows are kept.

    Args:
        progress: the rows so far; need not exist.
        batch_size: clips of a batch.
        num_clips: of the shard, whose last batch may be smaller.
    """
    repair(progress)
    num_rows = len(read_rows(progress))
    kept = num_rows if num_rows >= num_clips else num_rows - num_rows % batch_size
    if kept < num_rows:
        rewind_to(progress, kept)
    return kept


def answer_batch(run: AnnotationConfig, engine: Engine, clips: Sequence[ListedClip]) -> list[Row]:
    """Answer clips together, those on object storage fetched before and removed after.

    Args:
        run: which model annotates what.
        engine: over that model.
        clips: one batch.
    """
    with lender(run)(clips, engine.encoder.windows if run.windows else as_one_part) as found:
        return answer_found(run, engine, clips, found)


def lender(
    run: AnnotationConfig,
) -> Callable[[Sequence[ListedClip], Split], AbstractContextManager[Sequence[Clip | MediaError]]]:
    """Return what lends the clips of a batch with their files on this machine, measured where the run asks for it.

    Its second argument gives the parts in which a clip is answered; each is measured by itself.

    Args:
        run: which model annotates what.
    """
    if run.evidence:
        return partial(fetched_and_measured, whisper=run.whisper)
    return _fetched


def _fetched(clips: Sequence[ListedClip], split: Split) -> AbstractContextManager[Sequence[Clip | MediaError]]:
    return fetched(clips)


def answer_found(
    run: AnnotationConfig, engine: Engine, clips: Sequence[ListedClip], found: Sequence[Clip | MediaError]
) -> list[Row]:
    """Answer clips together whose files are here.

    Args:
        run: which model annotates what.
        engine: over that model.
        clips: one batch.
        found: what `lender` lends of them.
    """
    instruction = instruction_for(run.answers, engine.answer_format)
    here = [clip for clip in found if isinstance(clip, Clip)]
    said: Iterator[ClipAnswer] = answer_clips(
        engine, here, instruction, labels=run.labels, max_tokens=run.max_new_tokens, in_windows=run.windows
    )
    outcomes = [entry if isinstance(entry, MediaError) else next(said) for entry in found]
    return [
        annotation_row(clip, outcome, engine.answer_format, entry)
        for clip, outcome, entry in zip(clips, outcomes, found, strict=True)
    ]


def finish(job: Job) -> dict[str, Any] | None:
    """Count what was annotated and write annotations.json; None while a shard is missing.

    Args:
        job: the annotation.
    """
    shards = list(job.shards())
    if not all(shard.path.exists() for shard in shards):
        return None
    failures: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    num_rows = 0
    for shard in shards:
        for row in read_shard(shard.path):
            num_rows += 1
            if row["error_kind"] is not None:
                failures[row["error_kind"]] += 1
            else:
                labels[row["label"] or row["answer"] or "no answer"] += 1
                checked.update(column_counts(row))
    if num_rows != job.listing.num_clips:
        raise ConfigError(
            f"{job.run.out} holds {num_rows:,} rows for {job.listing.num_clips:,} clips; a shard was changed. Remove "
            "it and start the same command again."
        )
    summary = {
        "schema_version": SCHEMA_VERSION,
        "num_clips": num_rows,
        "num_failed": failures.total(),
        "failures": dict(sorted(failures.items())),
        "answers": dict(labels.most_common()),
        **({"evidence": dict(sorted(checked.items()))} if job.run.evidence else {}),
        "shards": [f"{SHARDS}/{shard.path.name}" for shard in shards],
        "passed_over": job.listing.passed_over,
    }
    write_json(job.run.out / SUMMARY, summary)
    return summary


def _counts(job: Job, missing: Sequence[Shard]) -> tuple[int, int]:
    """Clips that are answered already, and how many of those of unfinished shards failed."""
    whole = job.listing.num_clips - sum(shard.stop - shard.start for shard in missing)
    kept = [row for shard in missing for row in read_rows(shard.progress)]
    return whole + len(kept), sum(row["error"] is not None for row in kept)
