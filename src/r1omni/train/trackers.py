"""Trackers beside the run folder's own metrics.jsonl, each by its name: accelerate's, none by default.

TensorBoard writes into the run folder and trackio into its own on this machine, both offline; wandb sends.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, TensorBoardTracker, TrackioTracker, WandBTracker

from r1omni.config.sections import Tracker
from r1omni.core.errors import ConfigError

PROJECT = "r1omni"


def start_trackers(names: Sequence[Tracker], folder: Path) -> list[GeneralTracker]:
    """Start trackers; only the first process's write.

    Args:
        names: which.
        folder: of the run; its name is the run's.

    Raises:
        ConfigError: a tracker's package is not installed.
    """
    trackers = []
    for name in names:
        if find_spec(name) is None:
            raise ConfigError(f"trackers names {name}, which is not installed: pip install {name}")
        if name == "tensorboard":
            tracker: Any = TensorBoardTracker(name, logging_dir=folder)
        elif name == "trackio":
            tracker = TrackioTracker(PROJECT, name=folder.name)
        else:
            tracker = WandBTracker(PROJECT, name=folder.name, dir=str(folder))
        tracker.start()
        trackers.append(tracker)
    return trackers


def log_to(trackers: Sequence[GeneralTracker], row: Mapping[str, Any]) -> None:
    """Send a row of metrics; nested figures as `outer/inner`, what is no number left out.

    Args:
        trackers: started.
        row: with its `step`.
    """
    flat = {
        f"{name}/{inner}" if inner else name: figure
        for name, value in row.items()
        for inner, figure in (value.items() if isinstance(value, Mapping) else [("", value)])
    }
    numbers = {name: figure for name, figure in flat.items() if isinstance(figure, int | float) and name != "step"}
    for tracker in trackers:
        tracker.log(numbers, step=row["step"])
