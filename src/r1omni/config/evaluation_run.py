"""One evaluation: which model answers which clips, what it is asked, and how the answers are graded."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from r1omni.config.cluster import ClusterSection, Runner
from r1omni.config.schema import Schema
from r1omni.config.sections import EngineSection

LabelSetChoice = Literal["auto", "dfew", "mafw", "ravdess", "all", "manifest", "open"]


class EvaluationConfig(Schema):
    """`r1omni evaluate`."""

    model: str
    """Checkpoint: a folder or a hub id (owner/name@revision)."""
    data: tuple[Path, ...]
    """Manifests."""
    out: Path
    """Run folder; with several manifests, one folder each in it."""
    fold: int | None = None
    """Only the test part of this fold."""
    split: str | None = None
    """Only this split."""
    labels: LabelSetChoice = "auto"
    """Label set; auto takes the smallest that holds the gold labels, or the manifest's own (compound classes); open has
    none and scores sets of words."""
    normaliser: Literal["exact", "synonym"] = "exact"
    """What is done to an answer before it is compared."""
    answers: Literal["reasoning", "label"] = "reasoning"
    """What the model is asked for: reasons and an answer, or a label."""
    windows: bool = False
    """Answer clips that are longer than the model hears in windows of that length, the last one aligned to the end, and
    join the answers; without, only their beginning is heard."""
    group_by: tuple[str, ...] = ()
    """Also score by these fields."""
    max_new_tokens: PositiveInt = 512
    """Tokens an answer may have."""
    shown: NonNegativeInt = 3
    """Best and worst clips each that report.html shows; 0 spares the pass for them."""
    explain: bool = False
    """Also check the reasons: measure the clips, grade the claims, and test whether answers hang on their reasons."""
    probabilities: bool = False
    """Also ask how likely each label was after the reasons, and report whether these probabilities are as often right
    as they say (expected calibration error); not with windows, whose answers share one."""
    relied_on: NonNegativeInt = 128
    """With explain: answers whose reliance on their reasons is measured, an even sample; 0 measures none."""
    shard: tuple[NonNegativeInt, PositiveInt] = (0, 1)
    """Index and count: answer every count-th clip, from the index-th (0 first); the last process joins the shards."""
    resume: bool = True
    """Go on where an earlier run in `out` stopped."""
    runner: Runner = "local"
    """Who answers: this process, or a Ray cluster (extra `cluster`), the one at RAY_ADDRESS or one that is started on
    this machine. Best and worst clips are then not picked for the report; the same command without Ray adds them."""
    cluster: ClusterSection = ClusterSection()
    """What the operators take of the Ray cluster."""
    engine: EngineSection = EngineSection()

    @model_validator(mode="after")
    def _check(self) -> "EvaluationConfig":
        if not self.data:
            raise ValueError("data: no manifest is named")
        if self.probabilities and self.windows:
            raise ValueError(
                "probabilities: a clip's probabilities are its windows' mean, which is not calibrated; set windows to "
                "false"
            )
        if self.runner == "ray" and (self.explain or self.probabilities):
            raise ValueError(
                "explain, probabilities: both are made in one process; evaluate with Ray first, and then run the same "
                "command with them and without Ray"
            )
        index, count = self.shard
        if index >= count:
            raise ValueError(f"shard: index {index} is out of range for {count} shards; expected 0 to {count - 1}")
        return self
