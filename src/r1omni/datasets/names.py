"""The names that releases give their classes, and ours for the same class.

Only spellings that a published release uses for one of its classes are listed here; a model's free words are mapped by
the scorer.
"""

import ast

from r1omni.core.errors import DatasetError
from r1omni.core.labels import EMOTIONS

SENTIMENTS = ("negative", "neutral", "positive")
"""The labels of CMU-MOSEI, by the sign of its score."""

_PUBLISHED: dict[str, str] = {
    "anger": "angry",
    "anxiety": "anxious",
    "contempt": "contemptuous",
    "disappointment": "disappointed",
    "fearful": "fear",
    "happiness": "happy",
    "helplessness": "helpless",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}


def bare_label(label: str) -> str:
    """Return a label as it is compared: stripped and in lower case, as evaluation and rewards compare it.

    Args:
        label: as a manifest or an option has it.
    """
    return label.strip().lower()


def emotion_name(published: str) -> str:
    """Return our name of a class; any other word is returned stripped and in lower case.

    Args:
        published: the class as a release writes it.
    """
    word = bare_label(published)
    return _PUBLISHED.get(word, word)


def known_emotion(published: str, where: str) -> str:
    """Return our name of a class that must be one of ours.

    Args:
        published: the class as a release writes it.
        where: file and clip, for the error.

    Raises:
        DatasetError: the class is not one of ours.
    """
    name = emotion_name(published)
    if name not in EMOTIONS:
        raise DatasetError(f"{where}: found the label {published!r}; expected one of {', '.join(EMOTIONS)}")
    return name


def word_list(text: str) -> tuple[str, ...]:
    """Read a list of free emotion words: `['angry', 'sad']`, `[angry, sad]` or `angry, sad`; lower-cased, each once.

    Args:
        text: the cell.
    """
    text = text.strip()
    words: list[str] = []
    if text.startswith("["):
        try:
            value = ast.literal_eval(text)
            words = [str(word) for word in value] if isinstance(value, list) else []
        except (ValueError, SyntaxError):
            words = text.strip("[]").split(",")
    else:
        words = text.replace("，", ",").split(",")
    return tuple(dict.fromkeys(word for word in (w.strip().strip("'\"").lower() for w in words) if word))
