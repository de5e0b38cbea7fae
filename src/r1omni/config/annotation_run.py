"""One annotation run: which model answers which archive, and how the answers are kept."""

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt, model_validator

from r1omni.config.cluster import ClusterSection, Runner
from r1omni.config.schema import Schema
from r1omni.config.sections import EngineSection

ShardFormat = Literal["parquet", "jsonl"]


class AnnotationConfig(Schema):
    """`r1omni annotate`."""

    source: str
    """What is annotated: a manifest (.jsonl), a table (.csv, .tsv, .xlsx, .parquet), a folder, a pattern such as
    `clips/*.mp4`, or any of these but a table on object storage, such as s3://bucket/clips."""
    out: Path
    """Run folder."""
    model: str | None = None
    """Checkpoint: a folder or a hub id (owner/name@revision); None takes the bundled model."""
    labels: tuple[str, ...] | None = None
    """Label set of the probabilities; None asks for none, and takes answers in the model's own words."""
    answers: Literal["reasoning", "label"] = "reasoning"
    """What the model is asked for: reasons and an answer, or a label."""
    windows: bool = False
    """Answer clips that are longer than the model hears in windows, and join the answers."""
    evidence: bool = False
    """Also measure each clip, and grade the claims of its reasons against that; a made clip's cues replace what would
    be measured of its face and voice. With windows each is measured by itself."""
    whisper: str | None = None
    """With evidence: Whisper checkpoint for transcripts, a folder or a hub id; None measures without."""
    max_new_tokens: PositiveInt = 512
    """Tokens an answer may have."""
    format: ShardFormat = "jsonl"
    """Of the shards: parquet needs the extra `data`."""
    shard_clips: PositiveInt = 1000
    """Clips in a shard."""
    part: tuple[int, int] = (0, 1)
    """Index and count: write every count-th shard, from the index-th (0 first); for several processes or machines on
    one folder."""
    runner: Runner = "local"
    """Who answers: this process, or a Ray cluster (extra `cluster`), the one at RAY_ADDRESS or one that is started on
    this machine. The rows are the same."""
    cluster: ClusterSection = ClusterSection()
    """What the operators take of the Ray cluster."""
    engine: EngineSection = EngineSection(batch_size=16)

    @model_validator(mode="after")
    def _check(self) -> "AnnotationConfig":
        index, count = self.part
        if not 0 <= index < count:
            raise ValueError(f"part: index {index} is out of range for {count} parts; expected 0 to {count - 1}")
        if self.whisper is not None and not self.evidence:
            raise ValueError("whisper: transcripts are heard for the evidence; set evidence, or leave whisper out")
        return self
