"""Which tagged parts a checkpoint answers in, known before its weights are read.

A folder that this package trained keeps them in `processor_config.json`; every other one answers in the paper's.
"""

import os

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.errors import CheckpointError, ConfigError
from r1omni.model.checkpoint_folder import PROCESSOR, find_checkpoint
from r1omni.model.lora_folder import base_of


def answer_format_of(
    path_or_id: str | os.PathLike[str], asked: str | None = None, base: str | None = None
) -> AnswerFormat:
    """Return the format that a checkpoint's answers are asked for and read in.

    Args:
        path_or_id: a folder or a hub id.
        asked: spells the format that the user asks for; None takes the checkpoint's own.
        base: the model that an adapter was trained on; None takes the recorded one.

    Raises:
        CheckpointError: the checkpoint's settings cannot be read.
        ConfigError: `asked` spells no format.
    """
    if asked is not None:
        return AnswerFormat.spelled(asked)
    found = find_checkpoint(path_or_id)
    kept = found.processor_settings().get("answer_format")
    if kept is None and found.is_adapter:
        found = base_of(found, base)
        kept = found.processor_settings().get("answer_format")
    try:
        return PAPER_FORMAT if kept is None else AnswerFormat.spelled(str(kept))
    except ConfigError as error:
        raise CheckpointError(f"{found.path / PROCESSOR}: answer_format is {kept!r}: {error}") from error
