"""R1-Omni: emotion recognition from video and sound that explains itself, and the recipe that trains it.

The names below load on first use, so that `import r1omni` loads neither torch nor transformers. They are the public
interface, documented in docs/python.md; every other name of the package can change without notice.
transformers' Auto classes load HumanOmni's checkpoints once r1omni is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from r1omni.model.auto_classes import register_auto_classes

if TYPE_CHECKING:
    from r1omni.config.grpo_run import GrpoSettings
    from r1omni.config.sft_run import SftSettings
    from r1omni.core.clip import Answer, Clip, Score
    from r1omni.core.errors import R1OmniError
    from r1omni.core.instruction import parse_answer
    from r1omni.datasets.manifest import read_manifest, write_manifest
    from r1omni.infer.engine import Engine
    from r1omni.infer.predict_files import load_engine, predict_files
    from r1omni.media.decode import load_media
    from r1omni.model.load_model import load_model
    from r1omni.scoring.grade import grade
    from r1omni.train.bookkeeping import TrainingRun
    from r1omni.train.grpo import train_grpo
    from r1omni.train.sft import train_sft

__all__ = [
    "Answer",
    "Clip",
    "Engine",
    "GrpoSettings",
    "R1OmniError",
    "Score",
    "SftSettings",
    "TrainingRun",
    "grade",
    "load_engine",
    "load_media",
    "load_model",
    "parse_answer",
    "predict_files",
    "read_manifest",
    "train_grpo",
    "train_sft",
    "write_manifest",
]

_HOME = {
    "Answer": "r1omni.core.clip",
    "Clip": "r1omni.core.clip",
    "Engine": "r1omni.infer.engine",
    "GrpoSettings": "r1omni.config.grpo_run",
    "R1OmniError": "r1omni.core.errors",
    "Score": "r1omni.core.clip",
    "SftSettings": "r1omni.config.sft_run",
    "TrainingRun": "r1omni.train.bookkeeping",
    "grade": "r1omni.scoring.grade",
    "load_engine": "r1omni.infer.predict_files",
    "load_media": "r1omni.media.decode",
    "load_model": "r1omni.model.load_model",
    "parse_answer": "r1omni.core.instruction",
    "predict_files": "r1omni.infer.predict_files",
    "read_manifest": "r1omni.datasets.manifest",
    "train_grpo": "r1omni.train.grpo",
    "train_sft": "r1omni.train.sft",
    "write_manifest": "r1omni.datasets.manifest",
}
"""Exported name -> its module."""


def __getattr__(name: str) -> Any:
    """Load an exported name from its module, once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the exported names."""
    return sorted(__all__)


register_auto_classes()
