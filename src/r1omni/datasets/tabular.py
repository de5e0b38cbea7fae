"""Reads the tables of a release: CSV, TSV, spreadsheet, Parquet, JSON; every value comes back as text.

Ids are kept as written (`02522`, never 2522). The separator is the one that splits the header best. Text is UTF-8, else
the more plausible of GB18030, as in the Chinese releases, and Windows-1252, as spreadsheets on Windows write it; bytes
that are neither are an error that names the file.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1omni.core.errors import DatasetError

Row = dict[str, str]

_INSTALL = "install it with `pip install 'r1omni[data]'`"
SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".jsonl", ".ndjson", ".json"})
"""Extensions of the files that hold a table."""
_SEPARATORS = (",", ";", "\t", "|")
_PAIR = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
"""Two bytes that GB18030 reads as one character."""
_COMMON_PAIR = re.compile(rb"[\xa1-\xfe][\xa1-\xfe]")
"""Such a pair in the range of common Chinese characters; in Windows-1252, two accented letters or signs in a row."""


@dataclass(frozen=True)
class Table:
    """A table with a header."""

    rows: list[Row]
    """Column name -> cell, stripped; every row has every column."""
    encoding: str | None
    """Encoding of a text file that is not UTF-8; None for UTF-8 and for formats that are not text."""


def read_text(path: Path, encoding: str | None = None) -> str:
    """Read a text file.

    Args:
        path: the file; a byte order mark is recognised.
        encoding: None uses UTF-8, else guesses from the bytes.

    Raises:
        DatasetError: the file cannot be read in this encoding, or in any that was tried.
    """
    return _decode(path, encoding)[0]


def read_table(path: Path, columns: Sequence[str] = (), encoding: str | None = None) -> list[Row]:
    """Read the rows of a table; arguments and errors as for `load_table`."""
    return load_table(path, columns, encoding).rows


def load_table(path: Path, columns: Sequence[str] = (), encoding: str | None = None) -> Table:
    """Read a table with a header, in the format of its extension.

    Args:
        path: a .csv, .tsv, .txt, .xlsx, .parquet, .jsonl or .json file (a list of objects); cells of text files are
            separated by comma, semicolon, tab or bar.
        columns: required columns.
        encoding: for text, see `read_text`.

    Raises:
        DatasetError: the file cannot be read, lacks or repeats a column, or needs a package that is not installed.
    """
    suffix, taken = path.suffix.lower(), None
    if suffix == ".xlsx":
        rows = _read_spreadsheet(path)
    elif suffix == ".parquet":
        rows = _read_parquet(path)
    else:
        content, taken = _decode(path, encoding)
        if suffix in (".jsonl", ".ndjson"):
            rows = _read_json_lines(path, content)
        elif suffix == ".json":
            rows = _read_json_list(path, content)
        else:
            rows = _read_separated(path, content)
    if rows and (absent := [column for column in columns if column not in rows[0]]):
        raise DatasetError(f"{path}: found columns {', '.join(rows[0])}; expected {', '.join(absent)} too")
    return Table(rows, None if taken in (None, "utf-8", "utf-16") else taken)


def _decode(path: Path, encoding: str | None) -> tuple[str, str]:
    """Return a file's text and the encoding it was read in."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected a table or another text") from error
    for tried in [encoding] if encoding else _likely_encodings(content):
        try:
            return content.decode(tried).removeprefix("\ufeff"), tried
        except UnicodeDecodeError:
            continue
        except LookupError:
            raise DatasetError(
                f"{path}: unknown encoding {tried!r}; give another --encoding, such as utf-8, cp1252 or gb18030"
            ) from None
    tried = encoding or "UTF-8, GB18030 or Windows-1252"
    raise DatasetError(
        f"{path}: found bytes that are not {tried}; name its encoding with --encoding, or save it as UTF-8"
    )


def _likely_encodings(content: bytes) -> tuple[str, ...]:
    """Return the encodings to try, in this order: after UTF-8, the more plausible of the other two comes first."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ("utf-16",)
    if b"\0" in content[:2]:  # an ASCII letter in two bytes, without the mark that says so
        return ("utf-16-be",) if content[:1] == b"\0" else ("utf-16-le",)
    pairs = _PAIR.findall(content)
    common = sum(_COMMON_PAIR.fullmatch(pair) is not None for pair in pairs)
    # A curly quote or an accent before an ASCII letter is a pair too, but of rare Chinese characters.
    old = ("gb18030", "cp1252") if 2 * common > len(pairs) else ("cp1252", "gb18030")
    return ("utf-8", *old)


def as_text(value: object) -> str:
    """Convert a cell to text: None is empty, a float without fraction loses its `.0`.

    Args:
        value: from a spreadsheet, Parquet or JSON file.
    """
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _header(path: Path, cells: Sequence[str]) -> list[str]:
    """Return the names of the columns; a column without a name gets its number."""
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, start=1)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DatasetError(f"{path}: duplicate column {twice[0]!r}; rename or remove one of them")
    return names


def _read_separated(path: Path, content: str) -> list[Row]:
    lines = content.splitlines(keepends=True)
    if lines and lines[0].lower().startswith("sep=") and len(lines[0].strip()) == 5:
        separator, content = lines[0][4], "".join(lines[1:])  # the spreadsheet's own notation
    else:
        separator = _separator(next((line for line in lines if line.strip()), ""), path.suffix.lower())
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
    try:
        header = _header(path, next((row for row in reader if any(cell.strip() for cell in row)), []))
        rows = []
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if any(cell.strip() for cell in row[len(header) :]):
                raise DatasetError(f"{path}:{reader.line_num}: found {len(row)} cells; expected {len(header)}")
            cells = [cell.strip() for cell in row[: len(header)]]
            rows.append(dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True)))
        return rows
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: not a table ({error})") from error


def _separator(header: str, suffix: str) -> str:
    usual = "," if suffix == ".csv" else "\t"
    return max(_SEPARATORS, key=lambda mark: (len(next(csv.reader([header], delimiter=mark), [])), mark == usual))


def _read_spreadsheet(path: Path) -> list[Row]:
    try:
        import openpyxl
    except ImportError as error:
        raise DatasetError(
            f"{path}: reading a spreadsheet needs openpyxl; {_INSTALL}, or save the sheet as CSV"
        ) from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        lines = [[as_text(value) for value in line] for line in book.worksheets[0].iter_rows(values_only=True)]
        book.close()
    except Exception as error:  # noqa: BLE001 a broken file raises whatever its zip and XML parsers raise
        raise DatasetError(f"{path}: not a readable .xlsx file ({error}); save it again, or as CSV") from error
    header = _header(path, lines[0]) if lines else []
    return [dict.fromkeys(header, "") | dict(zip(header, row, strict=False)) for row in lines[1:] if any(row)]


def _read_parquet(path: Path) -> list[Row]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DatasetError(f"{path}: reading Parquet needs pyarrow; {_INSTALL}, or save the table as CSV") from error
    try:
        records = parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a readable Parquet file ({error})") from error
    return [{key: as_text(value) for key, value in record.items()} for record in records]


def _read_json_lines(path: Path, content: str) -> list[Row]:
    records: list[dict[str, Any]] = []
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{path}:{number}: not JSON ({error.msg}); expected one object per line") from error
        if not isinstance(record, dict):
            raise DatasetError(f"{path}:{number}: found {type(record).__name__}; expected one JSON object per line")
        records.append(record)
    return _as_rows(records)


def _read_json_list(path: Path, content: str) -> list[Row]:
    try:
        records = json.loads(content)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}:{error.lineno}: not JSON ({error.msg}); expected a list of objects") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DatasetError(f"{path}: expected a JSON list of objects, one per clip")
    return _as_rows(records)


def _as_rows(records: Sequence[dict[str, Any]]) -> list[Row]:
    keys = list(dict.fromkeys(key for record in records for key in record))
    return [{key: as_text(record.get(key)) for key in keys} for record in records]
