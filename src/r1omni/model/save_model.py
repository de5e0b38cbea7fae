"""Saving a model and its processor as one self-contained folder, which `load_model` reads."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.processing import HumanOmniProcessor
from r1omni.runs.files import replaced_folder, write_json


def save_model(
    model: HumanOmniForConditionalGeneration,
    processor: HumanOmniProcessor,
    folder: Path,
    *,
    state: Mapping[str, Tensor] | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Write the folder whole or not at all: configuration, weights, processor and tokenizers.

    Args:
        model: without adapters.
        processor: its processor.
        folder: one that exists is replaced.
        state: the weights to write under the model's names; None takes the model's own.
        facts: written beside them as facts.json.

    Raises:
        OSError: the disk is full or not writable.
        SafetensorError: likewise, while the weights are written.
    """
    with replaced_folder(folder) as partial:
        model.save_pretrained(partial, state_dict=None if state is None else dict(state))
        processor.save_pretrained(partial)
        if facts is not None:
            write_json(partial / "facts.json", facts)
