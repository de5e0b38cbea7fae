"""Reads the tables of a release: CSV, TSV, spreadsheet, Parquet, JSON lines; every value comes back as text.

Ids are kept as written (`02522`, never 2522). Text is UTF-8, else GB18030, as in the Chinese releases; bytes that are
neither are an error that names the file.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1omni.core.errors import DatasetError

Row = dict[str, str]

ENCODINGS = ("utf-8", "gb18030")
"""Encodings to try, in this order."""

_INSTALL = "install it with `pip install 'r1omni[data]'`"


def read_text(path: Path, encodings: Sequence[str] = ENCODINGS) -> str:
    """Read a text file.

    Args:
        path: the file; a byte order mark is recognised.
        encodings: to try in this order; the first that fits is used.

    Raises:
        DatasetError: the file cannot be read, or is in none of the encodings.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ("utf-16",)
    for encoding in encodings:
        try:
            return content.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            continue
    raise DatasetError(f"{path}: found bytes that are not {' or '.join(encodings)}; save the file as UTF-8")


def read_table(path: Path, columns: Sequence[str] = (), encodings: Sequence[str] = ENCODINGS) -> list[Row]:
    """Read a table with a header, in the format of its extension.

    Args:
        path: a .csv, .tsv, .txt (tab-separated), .xlsx, .parquet or .jsonl file.
        columns: required columns.
        encodings: for text, see `read_text`.

    Raises:
        DatasetError: the file cannot be read, lacks a column, or needs a package that is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        rows = _read_spreadsheet(path)
    elif suffix == ".parquet":
        rows = _read_parquet(path)
    elif suffix == ".jsonl":
        rows = _read_json_lines(path, encodings)
    else:
        rows = _read_separated(path, "," if suffix == ".csv" else "\t", encodings)
    if rows and (absent := [column for column in columns if column not in rows[0]]):
        raise DatasetError(f"{path}: found columns {', '.join(rows[0])}; expected {', '.join(absent)} too")
    return rows


def as_text(value: Any) -> str:
    """Convert a cell to text: None is empty, a float without fraction loses its `.0`.

    Args:
        value: from a spreadsheet, Parquet or JSON file.
    """
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _read_separated(path: Path, separator: str, encodings: Sequence[str]) -> list[Row]:
    reader = csv.reader(io.StringIO(read_text(path, encodings), newline=""), delimiter=separator)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = []
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) > len(header):
                raise DatasetError(f"{path}:{reader.line_num}: found {len(row)} cells; expected {len(header)}")
            rows.append(
                dict(zip(header, [cell.strip() for cell in row] + [""] * (len(header) - len(row)), strict=True))
            )
        return rows
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: not a table ({error})") from error


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
    header = lines[0] if lines else []
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


def _read_json_lines(path: Path, encodings: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(read_text(path, encodings).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{path}:{number}: not JSON ({error.msg}); expected one object per line") from error
        if not isinstance(record, dict):
            raise DatasetError(f"{path}:{number}: found {type(record).__name__}; expected one JSON object per line")
        rows.append({key: as_text(value) for key, value in record.items()})
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key, "") for key in keys} for row in rows]
