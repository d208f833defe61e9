"""Annotation files (JSON, JSON lines, CSV, Parquet) as entries; what cannot be read is a problem with its place."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sharpv_cli.errors import UsageError
from sharpv_cli.smallfile import read_bytes
from sharpv_cli.tables.entries import Entry, Problem
from sharpv_cli.tables.forms import as_utf8, delimiter_of, fitting_delimiter, form_of, spaced
from sharpv_cli.tables.objects import like_json, lines_of, parse_json, values_in_a_row
from sharpv_cli.text import shown
from sharpv_cli.units import memory_size

Table = tuple[list[Entry], list[Problem]]

ANY_FORM = "any"
"""The kind of a table whose content tells what it is."""
MOST_BYTES = 1 << 28  # of a file, a pipe, or a device that never ends
# What is read is held in memory, and a value takes up to a hundred times its bytes.
_MOST_ENTRIES, _MOST_VALUES, _MOST_PARQUET_BYTES = 2_000_000, 20_000_000, 1 << 30
_SPLIT = "split it into parts"


def read_table(path: Path, root: Path, kind: str | None = None) -> Table:
    """The entries of one file in their order, and what is wrong with it; places name the file from `root` on.

    `kind` is read as if it were the suffix of the file's name; ANY_FORM goes by the content. UsageError: it is Parquet
    and pyarrow is not installed.
    """
    place = shown(path.relative_to(root) if path.is_relative_to(root) else path)
    try:
        content = read_bytes(path, most=MOST_BYTES, name="it")
    except UsageError as error:
        return [], [Problem(place, str(error))]
    return parse_table(content, place, kind or path.suffix.lower())


def parse_table(content: bytes, place: str, kind: str) -> Table:
    """As `read_table`, of what was read already."""
    try:
        content = as_utf8(content)
    except ValueError as error:
        return [], [Problem(place, str(error))]
    if content.count(b"\n") > _MOST_ENTRIES or content.count(b",") > _MOST_VALUES:
        return [], [Problem(place, f"holds more than {_MOST_ENTRIES:,} entries: {_SPLIT}")]
    if kind == ANY_FORM:
        kind = form_of(content, Path(place).suffix.lower())
        if kind == ".json" and not _is_list(content) and _is_json(lines_of(content.strip())[0]):
            kind = ".jsonl"  # whose first line is a list
    return _READERS.get(kind, _read_json)(content, place)


def _is_list(content: bytes) -> bool:
    return _is_json(content) and isinstance(parse_json(content), list)


def _is_json(content: bytes) -> bool:
    try:
        parse_json(content)
    except ValueError:
        return False
    return True


def read_tables(paths: Iterable[Path], root: Path) -> Table:
    """Several files as one table: the shards of a split, or the tasks of a benchmark."""
    tables = [read_table(path, root) for path in paths]
    return [e for entries, _ in tables for e in entries], [p for _, problems in tables for p in problems]


def columns_of(path: Path) -> frozenset[str]:
    """The names of the fields of the file's first readable entry; none where there is no such entry."""
    if path.suffix.lower() not in _READERS:
        return frozenset()
    entries, _ = read_table(path, path.parent)
    return frozenset(entries[0].values) if entries else frozenset()


def _read_json(content: bytes, place: str) -> Table:
    try:
        values = parse_json(content)
    except ValueError as error:
        return [], [Problem(place, f"is {like_json(content) or f'not JSON: {error}'}")]
    if not isinstance(values, list):
        return [], [Problem(place, "holds no list of entries")]
    return _numbered(values, place)


def _numbered(values: Iterable[object], place: str) -> Table:
    return _entries((f"{place}, entry {n}", n, value) for n, value in enumerate(values, 1))


def _read_jsonl(content: bytes, place: str) -> Table:
    lines = lines_of(content)
    first = next((line for line in lines if line.strip()), b"")
    if not _is_json(_without_comma(first)) and (values := values_in_a_row(content)) is not None:
        return _numbered(values, place)
    entries, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = parse_json(_without_comma(line))
        except ValueError as error:
            said = f"is {like_json(line) or f'not JSON: {error}'}"
            problems.append(Problem(f"{place}:{number}", said, number))
            continue
        good, bad = _entries([(f"{place}:{number}", number, value)])
        entries += good
        problems += bad
    return entries, problems


def _without_comma(line: bytes) -> bytes:
    """Of a list that was cut into lines, each keeps its comma."""
    return line.strip().removesuffix(b",")


def _entries(values: Iterable[tuple[str, int, object]]) -> Table:
    entries, problems = [], []
    for place, number, value in values:
        if number > _MOST_ENTRIES:
            return [], [
                Problem(place.partition(",")[0], f"holds more than {_MOST_ENTRIES:,} entries: {_SPLIT}")
            ]
        if isinstance(value, dict):
            entries.append(Entry(place, number, value))
        else:
            problems.append(Problem(place, "is not an object with fields", number))
    return entries, problems


def _read_csv(content: bytes, place: str) -> Table:
    # Bytes that are no UTF-8 become lone surrogates: only the entries that hold them are lost.
    text = content.decode("utf-8", "surrogateescape")
    head = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = delimiter_of(head)
    entries: list[Entry] = []
    problems: list[Problem] = []
    header: list[str] = []
    # Strict: otherwise a quote that is never closed swallows the rest of the file without a word.
    reader = csv.reader(
        io.StringIO(text, newline=""),
        strict=True,
        delimiter=delimiter,
        skipinitialspace=spaced(head, delimiter),
    )
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            if problems and not entries and (other := fitting_delimiter(text, header)):
                return [], [
                    Problem(
                        place, f"has a header with {delimiter!r} between its fields, and rows with {other!r}"
                    )
                ]
            return entries, problems
        except csv.Error as error:
            problems.append(
                Problem(f"{place}:{line}", f"is not CSV: {error} (read to line {reader.line_num})", line)
            )
            continue
        if not any(row):
            continue  # a blank line, or one of delimiters alone, as spreadsheets leave them
        if not header:
            header = [] if row[0].startswith("sep=") else [name.strip() for name in row]
            if repeated := next((name for name in header if name and header.count(name) > 1), None):
                return [], [Problem(place, f"has a header with '{shown(repeated)}' twice")]
        elif len(row) != len(header):
            problems.append(
                Problem(f"{place}:{line}", f"has {len(row)} fields, the header {len(header)}", line)
            )
        else:
            values = {name: value for name, value in zip(header, row, strict=True) if name or value}
            entries.append(Entry(f"{place}:{line}", line, values))


def _read_parquet(content: bytes, place: str) -> Table:
    arrow, parquet = _pyarrow(place)
    try:
        file = parquet.ParquetFile(io.BytesIO(content))
        told = file.metadata
        size = sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))
        if told.num_rows > _MOST_ENTRIES or size > _MOST_PARQUET_BYTES:
            return [], [Problem(place, f"holds {told.num_rows:,} entries in {memory_size(size)}: {_SPLIT}")]
        rows = file.read().to_pylist()
    except (arrow.ArrowException, ValueError) as error:
        return [], [Problem(place, f"is not Parquet: {str(error).splitlines()[0]}")]
    return _numbered(rows, place)


def _pyarrow(place: str) -> tuple[Any, Any]:
    """pyarrow's core and its Parquet reader, imported only now: it is large, and most benchmarks need none."""
    try:
        return importlib.import_module("pyarrow.lib"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError(
            f"'{place}' is a Parquet file, and pyarrow, which reads them, cannot be imported ({error})",
            hint="pip install 'sharpv[parquet]'",
        ) from error


_READERS: dict[str, Callable[[bytes, str], Table]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}
