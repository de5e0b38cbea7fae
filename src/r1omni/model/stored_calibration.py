"""Writes how a checkpoint's label probabilities are calibrated, and nothing else of it: its weights keep their bytes.

A whole model of our layout keeps it in config.json, a LoRA adapter that was trained here in its processor_config.json,
where its other settings are; there it takes the place of its base's. calibration.json beside it says what it was fitted
on; it is written last, so that its presence says that the checkpoint is calibrated.
"""

from collections.abc import Mapping
from pathlib import Path

from r1omni.core.errors import CheckpointError
from r1omni.model.checkpoint_folder import LAPSE_RATE, PROCESSOR, TEMPERATURE, CheckpointFolder, find_checkpoint
from r1omni.runs.files import write_json

CALIBRATION = "calibration.json"


def write_calibration(folder: Path, temperature: float, lapse_rate: float, facts: Mapping[str, object]) -> None:
    """Write a calibration into a checkpoint's settings, each file whole or not at all.

    Args:
        folder: of a model in our layout, or of an adapter that was trained here.
        temperature: above 0, see `HumanOmniConfig.label_temperature`.
        lapse_rate: in [0, 1), see `HumanOmniConfig.label_lapse_rate`.
        facts: what they were fitted on and what they do there.

    Raises:
        CheckpointError: it is no such folder.
        WriteError: the disk is full or the folder not writable.
    """
    found = writable_checkpoint(folder)
    path = found.path / (PROCESSOR if found.is_adapter else "config.json")
    settings = found.processor_settings() if found.is_adapter else found.raw
    fitted = {TEMPERATURE: float(temperature), LAPSE_RATE: float(lapse_rate)}
    write_json(path, dict(sorted({**settings, **fitted}.items())), indent=2)
    write_json(found.path / CALIBRATION, facts)


def writable_checkpoint(folder: Path) -> CheckpointFolder:
    """Return a checkpoint whose calibration can be written.

    Args:
        folder: see `write_calibration`.

    Raises:
        CheckpointError: it is a hub id, a published folder, or an adapter without the settings of this package.
    """
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a folder; a calibration is written into a folder of yours. Download a model from the hub "
            "first: `hf download OWNER/NAME --local-dir FOLDER`."
        )
    found = find_checkpoint(folder)
    if found.is_official or (found.is_adapter and not found.processor_settings()):
        raise CheckpointError(
            f"{folder} has a published layout, which has no place for a calibration; make a folder of ours of it: "
            f"`r1omni checkpoint convert {folder} --out MODEL`."
        )
    return found
