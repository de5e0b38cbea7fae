"""The JSON of the official R1-Omni code, read and written, so that its cold-start files can be used unchanged.

    training      [{"video": path, "conversations": [{"from": "human", "value": markers and instruction},
                                                     {"from": "gpt", "value": label or tagged answer}]}]
    evaluation    the same with "clip_meta_path"
    RAVDESS       [{"ori_path": path, "crop_path": path, "QA_question": "... Answer:fearful"}]

An instruction that is not one of ours is kept in `meta.instruction`, other fields in `meta`; both are written back.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat, parts_in
from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.core.instruction import LABEL_INSTRUCTION
from r1omni.datasets.locate import locate
from r1omni.datasets.names import emotion_name
from r1omni.datasets.release import Release, finish
from r1omni.datasets.tabular import read_text
from r1omni.runs.files import write_json

_MARKERS = "<video>\n<audio>\n"
_KEPT = ("clip_meta_path", "crop_path")


def read(root: Path, *, media_root: Path | None = None, answer_format: str = str(PAPER_FORMAT)) -> Release:
    """Read a training or evaluation file.

    Args:
        root: the JSON file, or a folder that holds exactly one.
        media_root: the clips' folder; a path in the file that does not exist is searched there, first as given, then by
            name. Without it the JSON file's own folder is searched.
        answer_format: tagged parts of the answers, in order; files of others may have context,think,answer.

    Raises:
        DatasetError: the file is not of this format, or no clip is on disk.
        ConfigError: `answer_format` spells no format.
    """
    written_in = AnswerFormat.spelled(answer_format)
    root = _only_json(root) if root.is_dir() else root
    entries = _load(root)
    clips, given, broken = [], [], []
    for number, entry in enumerate(entries):
        clip = _clip(entry, number, root, written_in)
        if clip.label is None:
            broken.append(number)
        else:
            clips.append(clip)
            given.append(str(clip.path))
    folder = media_root or root.parent
    paths, warnings = locate(given, folder)
    if broken:
        warnings.append(
            f"{root}: {len(broken):,} of {len(entries):,} entries have no readable answer (broken tags, or none) "
            f"and were left out, the first is entry {broken[0]}{_other_format(entries[broken[0]], written_in)}"
        )
    return finish(
        "R1-Omni JSON",
        folder,
        list(zip(clips, paths, strict=True)),
        warnings,
        given[0] if given else "",
        "--media-root",
    )


def write(path: Path, clips: Iterable[Clip], answer_format: AnswerFormat = PAPER_FORMAT) -> None:
    """Write clips as a training file of the official code, atomically and with absolute paths.

    Args:
        path: the JSON file.
        clips: labelled clips; one with reasoning gets a tagged answer, one without the label alone.
        answer_format: the tags.

    Raises:
        ConfigError: several parts hold reasons, and a clip's reasoning does not have exactly these.
        DatasetError: a clip has no label, or is a part of its file, which this format cannot express.
    """
    entries = []
    for clip in clips:
        if clip.label is None or clip.start_s is not None or clip.stop_s is not None:
            lack = "has no label" if clip.label is None else "is a part of its file"
            raise DatasetError(f"clip {clip.id!r} {lack}; the R1-Omni format describes whole labelled files")
        asked = answer_format.request(LABEL_INSTRUCTION) if clip.reasoning else LABEL_INSTRUCTION
        instruction = clip.meta.get("instruction") or asked
        answer = answer_format.write(clip.reasoning, clip.label) if clip.reasoning else clip.label
        turns = [
            {"from": "human", "value": clip.meta.get("markers", _MARKERS) + instruction},
            {"from": "gpt", "value": answer},
        ]
        kept = {key: clip.meta[key] for key in _KEPT if key in clip.meta}
        entries.append({"video": str(clip.path), "conversations": turns, **kept})
    write_json(path, entries)


def _only_json(folder: Path) -> Path:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".json")
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise DatasetError(f"{folder}: found {len(found)} JSON files ({names}); name the file itself with --root")
    return found[0]


def _load(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{path}:{error.lineno}: not JSON ({error.msg}); expected R1-Omni's list of entries"
        ) from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DatasetError(f"{path}: expected a JSON list of entries with `video` and `conversations`")
    return entries


def _clip(entry: dict[str, Any], number: int, path: Path, written_in: AnswerFormat) -> Clip:
    """Return the clip with its path as given, and without a label if the answer cannot be read."""
    given = entry.get("video") or entry.get("ori_path")
    if not isinstance(given, str):
        raise DatasetError(f"{path}, entry {number}: found no `video`; expected the clip's path")
    meta = {key: entry[key] for key in _KEPT if isinstance(entry.get(key), str)}
    if "QA_question" in entry:
        _, marker, said = str(entry["QA_question"]).rpartition("Answer:")
        label, reasoning = said if marker else "", None
    else:
        human, reply = _turns(entry, number, path)
        if human.removeprefix(_MARKERS) not in (written_in.request(LABEL_INSTRUCTION), LABEL_INSTRUCTION):
            instruction = human.replace("<video>\n", "").replace("<audio>\n", "")
            meta["instruction"] = instruction
            if human.removesuffix(instruction) != _MARKERS:
                meta["markers"] = human.removesuffix(instruction)
        answer = written_in.parse(reply)
        label, reasoning = answer.answer or "", written_in.reasons_in(reply)
        if not answer.well_formed and (answer.answer != reply.strip().lower() or parts_in(reply)):
            label = ""
    name = f"{number:06d}-{Path(given).stem}"
    label = emotion_name(label) or None
    return Clip(name, Path(given), label=label, reasoning=reasoning, corpus="r1omni-json", meta=meta)


def _other_format(entry: dict[str, Any], written_in: AnswerFormat) -> str:
    """Name the option that reads an entry whose answer has other parts; empty where that is not what is wrong."""
    turns = entry.get("conversations") or [{}]
    found = parts_in(str(turns[-1].get("value", "")))
    if len(set(found)) < 2 or found == written_in.parts:
        return ""
    mark = "" if "answer" in found else ", with :answer after the name of the part that holds the emotion"
    return f"; its answer has the parts {', '.join(found)}: give --answer-format {','.join(found)}{mark}"


def _turns(entry: dict[str, Any], number: int, path: Path) -> tuple[str, str]:
    turns = entry.get("conversations")
    if isinstance(turns, list) and len(turns) == 2 and all(isinstance(turn, dict) for turn in turns):
        values = [turn.get("value") for turn in turns]
        if [turn.get("from") for turn in turns] == ["human", "gpt"] and all(isinstance(v, str) for v in values):
            return str(values[0]), str(values[1])
    raise DatasetError(f"{path}, entry {number}: expected two `conversations`, one from human and one from gpt")
