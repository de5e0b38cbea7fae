"""One pass over clips that leaves their features in the cache, for training and evaluation to find."""

from pathlib import Path

from pydantic import model_validator

from r1omni.config.cluster import ClusterSection, Runner
from r1omni.config.schema import Schema
from r1omni.config.sections import EngineSection, Precision


class FeatureConfig(Schema):
    """`r1omni features`."""

    model: str
    """Checkpoint whose towers are run: a folder or a hub id (owner/name@revision)."""
    data: tuple[Path, ...]
    """Manifests."""
    mixed_precision: Precision = "no"
    """As training.mixed_precision of the run that reads the features: bf16 keeps them in bf16."""
    runner: Runner = "local"
    """Who encodes: this process, or a Ray cluster (extra `cluster`), the one at RAY_ADDRESS or one that is started on
    this machine. The entries are the same."""
    cluster: ClusterSection = ClusterSection()
    """What the operators take of the Ray cluster."""
    engine: EngineSection = EngineSection()

    @model_validator(mode="after")
    def _check(self) -> "FeatureConfig":
        if not self.data:
            raise ValueError("data: no manifest is named")
        return self
