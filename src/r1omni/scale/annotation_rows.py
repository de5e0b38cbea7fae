"""What a row of an annotation holds, version by version, and how shards of rows are written and read.

Version 1. A row has every column; what does not apply is null.

    id, path              of the clip, as the list of clips has them
    start_s, stop_s       the part of the file that was asked for; seconds
    answer                the emotion that the model names, in its own words, lower-cased
    label                 the likeliest label of the label set after the reasons; null without a label set
    probabilities         label -> probability after the reasons, to four decimals
    reasoning             the reasons
    implied               the emotion that the reasons alone imply
    reasons_agree         whether that is the answer, synonyms apart
    text                  the whole output
    modality              video+audio, video or audio: what was read
    pictures_s, sound_s   seconds of pictures and of sound in the part, to a millisecond
    heard_s               seconds of sound that the model heard
    num_windows           answers that were joined; null where the clip was answered whole
    evidence              JSON: what was measured in the clip, or why nothing; null where it was not asked for
    claims                JSON: the claims of the reasons, graded against it; null where there is no evidence
    error_kind, error     why there is no answer: one word, one sentence

Columns may be added within a version; one that changes its meaning or goes makes a new version.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1omni.config.annotation_run import ShardFormat
from r1omni.core.answer_format import AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.json_text import json_text
from r1omni.infer.clip_answers import ClipAnswer
from r1omni.runs.files import replaced_file, write_text
from r1omni.scale.annotation_evidence import MeasuredClip, evidence_columns
from r1omni.scale.archive import ListedClip
from r1omni.scoring.coherence import reasons_fit

SCHEMA_VERSION = 1
COLUMNS = {
    "id": "string",
    "path": "string",
    "start_s": "double",
    "stop_s": "double",
    "answer": "string",
    "label": "string",
    "probabilities": "map<string, double>",
    "reasoning": "string",
    "implied": "string",
    "reasons_agree": "bool",
    "text": "string",
    "modality": "string",
    "pictures_s": "double",
    "sound_s": "double",
    "heard_s": "double",
    "num_windows": "int32",
    "evidence": "string",
    "claims": "string",
    "error_kind": "string",
    "error": "string",
}
"""Column -> its type in Parquet."""


def annotation_row(
    listed: ListedClip, said: ClipAnswer | MediaError, answer_format: AnswerFormat, found: Clip | MediaError
) -> dict[str, Any]:
    """Return the row of one clip.

    Args:
        listed: the clip.
        said: what the model said of it, or why nothing.
        answer_format: reads the text.
        found: the clip with its file; where it was measured, its evidence and claims are in the row.
    """
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"id": listed.clip.id, "path": listed.place, "start_s": listed.clip.start_s, "stop_s": listed.clip.stop_s}
    if isinstance(said, MediaError):
        said = ClipAnswer(error=said)
    if said.error is not None:
        return row | {"error_kind": said.error.kind, "error": str(said.error)}
    answer = answer_format.parse(said.text)
    fit = reasons_fit(answer.reasoning, answer.answer)
    pictures, sound = said.read.pictures, said.read.sound
    return row | {
        "answer": answer.answer,
        "label": max(said.probabilities, key=said.probabilities.__getitem__) if said.probabilities else None,
        "probabilities": {name: round(share, 4) for name, share in said.probabilities.items()} or None,
        "reasoning": answer.reasoning,
        "implied": fit.implied.label,
        "reasons_agree": fit.agrees,
        "text": said.text,
        "modality": said.read.modality,
        "pictures_s": None if pictures is None else round(pictures.total_s, 3),
        "sound_s": None if sound is None else round(sound.total_s, 3),
        "heard_s": None if sound is None else round(sound.used_s, 3),
        "num_windows": len(said.windows) or None,
        **(evidence_columns(found, said, answer_format) if isinstance(found, MeasuredClip) else {}),
    }


def write_shard(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a shard whole or not at all, in the format that its name ends with.

    Args:
        path: ends with .jsonl or .parquet.
        rows: of one shard.

    Raises:
        ConfigError: Parquet is asked for, and pyarrow is not installed.
        WriteError: the disk is full or the folder not writable.
    """
    if path.suffix == ".jsonl":
        write_text(path, "".join(f"{json_text(row)}\n" for row in rows))
        return
    pyarrow, parquet = _parquet()
    schema = pyarrow.schema(
        [(name, _arrow_type(pyarrow, kind)) for name, kind in COLUMNS.items()],
        metadata={"r1omni.annotation": str(SCHEMA_VERSION)},
    )
    # pyarrow takes a map as pairs.
    lists = [row | {"probabilities": list((row["probabilities"] or {}).items()) or None} for row in map(dict, rows)]
    with replaced_file(path) as partial:
        parquet.write_table(pyarrow.Table.from_pylist(lists, schema=schema), partial, compression="zstd")


def read_shard(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a shard, the same from either format.

    Args:
        path: what `write_shard` wrote.

    Raises:
        ConfigError: it is Parquet, and pyarrow is not installed.
    """
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)
        return
    _, parquet = _parquet()
    for row in parquet.read_table(path).to_pylist():
        yield row | {"probabilities": None if row["probabilities"] is None else dict(row["probabilities"])}


def check_format(shard_format: ShardFormat) -> None:
    """Raise `ConfigError` where shards of a format cannot be written here.

    Args:
        shard_format: of the shards.
    """
    if shard_format == "parquet":
        _parquet()


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow: pip install 'r1omni[data]', or choose --format jsonl.") from error
    return pyarrow, pyarrow.parquet


def _arrow_type(pyarrow: Any, kind: str) -> Any:
    if kind.startswith("map"):
        return pyarrow.map_(pyarrow.string(), pyarrow.float64())
    return {
        "string": pyarrow.string(),
        "double": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "int32": pyarrow.int32(),
    }[kind]
