"""Which tagged parts a checkpoint answers in, known before its weights are read.

A folder that this package trained keeps them in `processor_config.json`; every other one answers in the paper's.
"""

import os

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.errors import CheckpointError, ConfigError
from r1omni.model.published_towers import fetch
from r1omni.model.weights import read_json


def answer_format_of(path_or_id: str | os.PathLike[str], asked: str | None = None) -> AnswerFormat:
    """Return the format that a checkpoint's answers are asked for and read in.

    Args:
        path_or_id: a folder or a hub id.
        asked: spells the format that the user asks for; None takes the checkpoint's own.

    Raises:
        CheckpointError: the checkpoint's settings cannot be read.
        ConfigError: `asked` spells no format.
    """
    if asked is not None:
        return AnswerFormat.spelled(asked)
    file = fetch(os.fspath(path_or_id), "the model", weights=False) / "processor_config.json"
    kept = read_json(file, "the processor's settings").get("answer_format") if file.is_file() else None
    try:
        return PAPER_FORMAT if kept is None else AnswerFormat.spelled(str(kept))
    except ConfigError as error:
        raise CheckpointError(f"{file}: answer_format is {kept!r}: {error}") from error
