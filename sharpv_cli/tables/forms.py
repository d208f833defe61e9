"""Which form a table has, by its content: names of files are often wrong, and what pipes bring has none."""

from __future__ import annotations

import codecs
import csv
import re

_MARKS = (  # UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS = ",;\t|"
_COLUMN = "video"  # by which a header is known as one


def as_utf8(content: bytes) -> bytes:
    """The text without its byte order mark, which says how it is written. Raises ValueError for what is no text."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            if encoding == "utf-8":
                return content.removeprefix(mark)
            try:
                return content.decode(encoding).encode()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"begins as {encoding.upper()} text and is none (byte {error.start})"
                ) from error
    if b"\0" in content[:4]:
        if not re.fullmatch(rb"[\t\n\r -~]+", content[:4].replace(b"\0", b"")):
            raise ValueError("is no text: it is compressed, or another kind of file")
        raise ValueError("is UTF-16 or UTF-32 text without a byte order mark; save it as UTF-8")
    return content


def form_of(content: bytes, suffix: str) -> str:
    """`.jsonl`, `.json` (a list), `.csv` or `.parquet`; `suffix` is believed where the content does not tell."""
    begin = content.lstrip()[:1]
    if content.startswith(b"PAR1"):
        return ".parquet"
    if begin == b"{":
        return ".jsonl"
    if begin == b"[":
        return ".json"
    if suffix in (".csv", ".tsv") or _is_header(content):
        return ".csv"
    return ".jsonl"


def delimiter_of(first_line: str) -> str:
    """What stands between the fields of a header: whatever makes the most of them."""
    said = first_line.rstrip("\r\n")
    if said.startswith("sep=") and len(said) == 5:  # as spreadsheets write it
        return said[-1]
    return max(_DELIMITERS, key=lambda delimiter: len(_fields(first_line, delimiter)))


def _is_header(content: bytes) -> bool:
    first = content.lstrip().split(b"\n", 1)[0].decode("utf-8", "replace")
    if first.startswith("sep="):
        return True
    return _COLUMN in [field.strip() for field in _fields(first, delimiter_of(first))]


def _fields(line: str, delimiter: str) -> list[str]:
    """None where it is no line of a table at all: one without end, or of another kind of file."""
    try:
        return next(csv.reader([line.partition("\r")[0]], delimiter=delimiter), [])
    except csv.Error:
        return []
