"""Asks a model how likely each label was after what it wrote: one pass over clip and text, no second generation.

Rows of `probabilities.jsonl` are appended as they come, so that a run that was killed goes on where it stopped.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.json_text import json_text
from r1omni.evaluate.answer_probabilities import FILE_NAME, hash_of_text, known_rows
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features
from r1omni.infer.prompt import Prompt
from r1omni.runs.files import append_rows, repair, write_text
from r1omni.scoring.prediction import Prediction


def label_chances(
    engine: Engine, clips: Sequence[Clip], texts: Sequence[str], instruction: str, labels: Sequence[str]
) -> list[dict[str, float] | MediaError]:
    """Return the probability of every label after what was written about each clip, or why it cannot be read.

    Args:
        engine: over the model that answered.
        clips: any number, each as it was read.
        texts: the whole outputs.
        instruction: what was asked.
        labels: the label set.
    """
    rows: list[dict[str, float] | MediaError] = []
    size = engine.scorer.batch_size
    for start in range(0, len(clips), size):
        found = engine.encoder.features(clips[start : start + size])
        readable = [(place, entry) for place, entry in enumerate(found) if isinstance(entry, Features)]
        prompts = [Prompt.ask(instruction, entry) for _, entry in readable]
        chances = iter(
            engine.scorer.label_probabilities(prompts, [texts[start + place] for place, _ in readable], labels)
        )
        rows += [entry if isinstance(entry, MediaError) else next(chances) for entry in found]
    return rows


def write_probabilities(
    engine: Callable[[], Engine],
    clips: Sequence[Clip],
    predictions: Sequence[Prediction],
    instruction: str,
    labels: Sequence[str],
    folder: Path,
) -> None:
    """Write the probabilities of a run's answers beside its predictions.

    Args:
        engine: returns the engine over the model that answered; called only where rows are missing.
        clips: the manifest.
        predictions: one per clip, in the same order; clips that failed are left out.
        instruction: what was asked.
        labels: the label set.
        folder: of the run.
    """
    path = folder / FILE_NAME
    repair(path)
    answered = [(clip, said.text) for clip, said in zip(clips, predictions, strict=True) if said.text is not None]
    found = known_rows(path, predictions, labels)
    pending = [(clip, text) for clip, text in answered if clip.id not in found]
    size = engine().scorer.batch_size if pending else 1
    for start in range(0, len(pending), size):
        part = pending[start : start + size]
        chances = label_chances(engine(), [clip for clip, _ in part], [text for _, text in part], instruction, labels)
        rows = [
            {"id": clip.id, "text_hash": hash_of_text(text), "probabilities": row}
            for (clip, text), row in zip(part, chances, strict=True)
            if not isinstance(row, MediaError)
        ]
        append_rows(path, rows)
        found |= {row["id"]: row for row in rows}
    ordered = [found[clip.id] for clip, _ in answered if clip.id in found]
    write_text(path, "".join(f"{json_text(row)}\n" for row in ordered))
