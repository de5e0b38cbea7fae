"""Reasoned examples: mixing them as the paper does, and creating your own.

    mix        232 examples of EMER and 348 of your own, the paper's 580
    template   a table for annotators, a row per clip, label and reasoning empty
    import     the completed table joined with its manifest; the adapter `table` reads one without a manifest
    validate   tags, labels and lengths, checked before training

R1-Omni did not publish which 232 clips of EMER it used, nor its own 348: the mix is drawn with a seed.

Source: arXiv 2503.05379, section 3.1.
"""

import csv
import io
import os
import random
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.counted import counted
from r1omni.core.errors import DatasetError
from r1omni.core.labels import EMOTIONS
from r1omni.datasets.cells import is_missing
from r1omni.datasets.names import bare_label, emotion_name
from r1omni.datasets.release import Release
from r1omni.datasets.tabular import read_table
from r1omni.runs.files import replaced_file, write_bytes

NUM_EMER = 232
NUM_OWN = 348

TEMPLATE_COLUMNS = ("id", "clip", "subtitle", "label", "reasoning", "notes")
MIN_WORDS = 8
MAX_WORDS = 600
"""Published reasoning of EMER has 219 words on average and 521 at most."""

_GUIDE = (
    "One row per clip; leave id and clip as they are.",
    "label: the most obvious emotion, one of the names in the list.",
    "reasoning: what you see and hear that shows it (face, body, voice, words, scene), 2 to 6 sentences, then the "
    "conclusion. Write only what the clip shows. No tags.",
    "notes: anything else; it is not trained on. A row without label or reasoning counts as not done yet.",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Prefixes that make a spreadsheet run a cell of a text table as a formula."""
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’-][^\W\u3400-\u9fff]+)*")


def mix(
    emer: Sequence[Clip], own: Sequence[Clip], *, num_emer: int = NUM_EMER, num_own: int = NUM_OWN, seed: int = 0
) -> list[Clip]:
    """Draw a cold start from EMER and other examples, in shuffled order.

    The draw depends on the ids and the seed alone, not on the order of the lists. Where both contain an
    id, that of the second gets the prefix `own/`.

    Args:
        emer: reasoned clips of EMER; those without label or reasoning are skipped.
        own: other reasoned clips, likewise.
        num_emer: number of examples drawn from the first.
        num_own: number of examples drawn from the second; 0 uses EMER alone.
        seed: seeds the draw and the order.

    Raises:
        DatasetError: there are fewer examples than requested.
    """
    draw = random.Random(seed)
    first, second = _draw(emer, num_emer, "EMER", draw), _draw(own, num_own, "own", draw)
    taken = {clip.id for clip in first}
    mixed = first + [replace(clip, id=f"own/{clip.id}") if clip.id in taken else clip for clip in second]
    draw.shuffle(mixed)
    return mixed


def write_template(path: Path, clips: Sequence[Clip], labels: Sequence[str] = EMOTIONS) -> None:
    """Write a table for annotators: .csv, or .xlsx with a list of labels to choose from and a sheet of instructions.

    Existing labels, reasonings and subtitles are filled in.

    Args:
        path: the table; its extension determines the format.
        clips: the clips to annotate.
        labels: the names to choose from.

    Raises:
        DatasetError: the extension is neither, or openpyxl is missing.
    """
    folder = path.parent.resolve()
    rows = [
        [clip.id, os.path.relpath(clip.path, folder), clip.subtitle, clip.label, clip.reasoning, None] for clip in clips
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".csv":
        text = io.StringIO()
        csv.writer(text).writerows([TEMPLATE_COLUMNS, *([_as_words(cell) for cell in row] for row in rows)])
        # With a byte order mark, spreadsheet programs read it as UTF-8.
        write_bytes(path, text.getvalue().encode("utf-8-sig"))
    elif path.suffix.lower() == ".xlsx":
        with replaced_file(path) as partial:
            _write_workbook(partial, rows, labels)
    else:
        raise DatasetError(f"{path}: expected the template's name to end in .csv or .xlsx")


def read_annotations(path: Path, clips: Sequence[Clip]) -> Release:
    """Join a completed template with the manifest it was made from.

    Args:
        path: the table, in any format that `read_table` reads.
        clips: the manifest's clips.

    Returns:
        The clips that have both label and reasoning, in the manifest's order; the warnings say how many are not done
        and which ids are not in the manifest.

    Raises:
        DatasetError: the table lacks a column, has duplicate ids, or has no completed row.
    """
    row_of = {}
    for number, cells in enumerate(read_table(path, ("id", "label", "reasoning")), start=2):
        row = {column: _as_written(cell) for column, cell in cells.items()}
        if row["id"] in row_of:
            raise DatasetError(f"{path}:{number}: duplicate id {row['id']!r}; keep one of the two rows")
        row_of[row["id"]] = row
    done = []
    for clip in clips:
        row = row_of.pop(clip.id, {})
        if not is_missing(row.get("label", "")) and not is_missing(row.get("reasoning", "")):
            subtitle = row.get("subtitle") or clip.subtitle
            label = emotion_name(row["label"])
            done.append(replace(clip, label=label, reasoning=" ".join(row["reasoning"].split()), subtitle=subtitle))
    if not done:
        raise DatasetError(f"{path}: found no row with both label and reasoning for a clip of the manifest")
    warnings = []
    if len(done) < len(clips):
        warnings.append(
            f"{path}: {len(clips) - len(done):,} of {counted(len(clips), 'clip')} not done yet, and left out"
        )
    if row_of:
        warnings.append(f"{path}: {counted(len(row_of), 'id')} not in the manifest, {next(iter(row_of))!r} first")
    return Release(done, warnings)


def validate(
    clips: Sequence[Clip],
    *,
    labels: Collection[str] = EMOTIONS,
    min_words: int = MIN_WORDS,
    max_words: int = MAX_WORDS,
    answer_format: AnswerFormat = PAPER_FORMAT,
) -> list[dict[str, Any]]:
    """Return the problems of reasoned examples as (id, kind, message); empty if there are none.

    Kinds: `no-label`, `oov-label`, `no-reasoning`, `tags` (tags inside the reasoning, parts that it lacks, or an answer
    that the rewards' parser does not return), `too-short`, `too-long`, `repeated` (the same reasoning on an earlier
    clip). `train sft` refuses `no-label`, `no-reasoning` and `tags`.

    Args:
        clips: the examples.
        labels: the names allowed as answers.
        min_words: fewest words of a reasoning; a Chinese character counts as a word.
        max_words: most words.
        answer_format: the tagged parts that are to be learnt.
    """
    problems: list[dict[str, Any]] = []
    first_with: dict[str, str] = {}
    for clip in clips:
        for kind, message in _faults(clip, labels, min_words, max_words, answer_format):
            problems.append({"id": clip.id, "kind": kind, "message": message})
        text = " ".join((clip.reasoning or "").lower().split())
        if text and first_with.setdefault(text, clip.id) != clip.id:
            message = f"the reasoning is identical to that of {first_with[text]}; describe what this clip shows"
            problems.append({"id": clip.id, "kind": "repeated", "message": message})
    return problems


def _faults(
    clip: Clip, labels: Collection[str], min_words: int, max_words: int, answer_format: AnswerFormat
) -> list[tuple[str, str]]:
    faults = []
    if clip.label is None:
        faults.append(("no-label", "has no label; give the most obvious emotion"))
    elif bare_label(clip.label) not in map(bare_label, labels):
        faults.append(("oov-label", f"label {clip.label!r}; expected one of {', '.join(sorted(labels))}"))
    if not clip.reasoning or not clip.reasoning.strip():
        return [*faults, ("no-reasoning", "has no reasoning; describe what shows the emotion")]
    if fault := answer_format.fault(clip.reasoning, clip.label or EMOTIONS[0]):
        faults.append(("tags", fault))
    num_words = len(_WORD.findall(answer_format.without_tags(clip.reasoning)))
    if num_words < min_words:
        faults.append(("too-short", f"{counted(num_words, 'word')}; expected {min_words} or more"))
    if num_words > max_words:
        faults.append(("too-long", f"{counted(num_words, 'word')}; expected {max_words} or fewer"))
    return faults


def _as_words(cell: str | None) -> str | None:
    """Prefix a cell with an apostrophe, so that a spreadsheet does not run it as a formula."""
    return f"'{cell}" if cell and cell.startswith(_FORMULA) else cell


def _as_written(cell: str) -> str:
    """Remove the prefix of `_as_words`."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell


def _draw(clips: Sequence[Clip], count: int, name: str, draw: random.Random) -> list[Clip]:
    fit = sorted((clip for clip in clips if clip.label and clip.reasoning), key=lambda clip: clip.id)
    if len(fit) < count:
        raise DatasetError(
            f"cold start: found {len(fit):,} {name} clips with label and reasoning (of {len(clips):,}); expected "
            f"{count:,}; add examples or request fewer"
        )
    return draw.sample(fit, count)


def _write_workbook(path: Path, rows: Sequence[Sequence[str | None]], labels: Sequence[str]) -> None:
    try:
        from openpyxl import Workbook
        from openpyxl.styles import Alignment
        from openpyxl.worksheet.datavalidation import DataValidation
    except ImportError as error:
        raise DatasetError(
            f"{path}: writing a spreadsheet needs openpyxl; install it with `pip install 'r1omni[data]'`, or give .csv"
        ) from error
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "clips"
    for row in (TEMPLATE_COLUMNS, *rows):
        sheet.append(list(row))
    for cells in sheet.iter_rows(max_col=len(TEMPLATE_COLUMNS)):
        for cell in cells:
            # Text, so that spreadsheet programs do not turn 00012 into a number or a sentence into a formula.
            cell.data_type, cell.number_format = ("n" if cell.value is None else "s"), "@"
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    for column, width in zip("ABCDEF", (16, 28, 32, 16, 80, 24), strict=True):
        sheet.column_dimensions[column].width = width
    sheet.freeze_panes = "C2"
    guide = book.create_sheet("instructions")
    for line in (*_GUIDE, "", "labels:", *labels):
        guide.append([line])
    guide.column_dimensions["A"].width = 100
    last = guide.max_row
    choice = DataValidation("list", formula1=f"=instructions!$A${last - len(labels) + 1}:$A${last}", allow_blank=True)
    sheet.add_data_validation(choice)
    choice.add(f"D2:D{max(len(rows), 1) + 1}")
    book.save(path)
