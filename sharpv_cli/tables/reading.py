"""Annotation files (JSON, JSON lines, CSV, Parquet) as entries; what cannot be read is a problem with its place."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sharpv_cli.errors import UsageError
from sharpv_cli.tables.entries import Entry, Problem
from sharpv_cli.text import shown

Table = tuple[list[Entry], list[Problem]]


def read_table(path: Path, root: Path, kind: str | None = None) -> Table:
    """The entries of one file in their order, and what is wrong with it; places name the file from `root` on.

    `kind` is read as if it were the suffix of the file's name. UsageError: it is Parquet and pyarrow is not installed.
    """
    place = shown(path.relative_to(root) if path.is_relative_to(root) else path)
    try:
        return _READERS.get(kind or path.suffix.lower(), _read_json)(path, place)
    except OSError as error:
        return [], [Problem(place, f"cannot be read: {error.strerror or error}")]


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


def parse_json(text: str | bytes) -> Any:
    """json.loads, with a ValueError in words for whatever cannot be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise ValueError("it holds a number of thousands of digits") from error


def _read_json(path: Path, place: str) -> Table:
    try:
        values = parse_json(path.read_bytes().decode("utf-8-sig"))
    except ValueError as error:
        return [], [Problem(place, f"is not JSON: {error}")]
    if not isinstance(values, list):
        return [], [Problem(place, "holds no list of entries")]
    return _entries((f"{place}, entry {n}", n, value) for n, value in enumerate(values, 1))


def _read_jsonl(path: Path, place: str) -> Table:
    entries, problems = [], []
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = parse_json(line.decode())
        except ValueError as error:
            problems.append(Problem(f"{place}:{number}", f"is not JSON: {error}", number))
            continue
        good, bad = _entries([(f"{place}:{number}", number, value)])
        entries += good
        problems += bad
    return entries, problems


def _entries(values: Iterable[tuple[str, int, object]]) -> Table:
    entries, problems = [], []
    for place, number, value in values:
        if isinstance(value, dict):
            entries.append(Entry(place, number, value))
        else:
            problems.append(Problem(place, "is not an object with fields", number))
    return entries, problems


def _read_csv(path: Path, place: str) -> Table:
    # Bytes that are no UTF-8 become lone surrogates: only the entries that hold them are lost.
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    entries: list[Entry] = []
    problems: list[Problem] = []
    header: list[str] | None = None
    # Strict: otherwise a quote that is never closed swallows the rest of the file without a word.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return entries, problems
        except csv.Error as error:
            problems.append(
                Problem(f"{place}:{line}", f"is not CSV: {error} (read to line {reader.line_num})", line)
            )
            continue
        if not row:
            continue
        if header is None:
            header = row
        elif len(row) != len(header):
            problems.append(
                Problem(f"{place}:{line}", f"has {len(row)} fields, the header {len(header)}", line)
            )
        else:
            entries.append(Entry(f"{place}:{line}", line, dict(zip(header, row, strict=True))))


def _read_parquet(path: Path, place: str) -> Table:
    arrow, parquet = _pyarrow(path)
    try:
        rows = parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, ValueError) as error:
        return [], [Problem(place, f"is not Parquet: {str(error).splitlines()[0]}")]
    return _entries((f"{place}, entry {n}", n, row) for n, row in enumerate(rows, 1))


def _pyarrow(path: Path) -> tuple[Any, Any]:
    """pyarrow's core and its Parquet reader, imported only now: it is large, and most benchmarks need none."""
    try:
        return importlib.import_module("pyarrow.lib"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError(
            f"'{shown(path)}' is a Parquet file, and pyarrow, which reads them, cannot be imported ({error})",
            hint="pip install 'sharpv[parquet]'",
        ) from error


_READERS: dict[str, Callable[[Path, str], Table]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
