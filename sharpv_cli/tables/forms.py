"""Which form a table has, by its content: names of files are often wrong, and what pipes bring has none."""

from __future__ import annotations

import codecs
import csv
import re

from sharpv_cli.smallfile import UTF_8, marked_encoding
from sharpv_cli.text import printable

_BROKEN = re.compile("[\udc80-\udcff]+")  # bytes that are no UTF-8, as surrogateescape carries them
# Of these the letters of Western Europe, the euro, quotes and dashes, alone or two together, beside other text.
_LETTERS = re.compile("(?<![\udc80-\udcff])[\udc80\udc91-\udc97\udcc0-\udcfd]{1,2}(?![\udc80-\udcff])")
_WORD = re.compile("[\\w\udc80-\udcff]*[\udc80-\udcff][\\w\udc80-\udcff]*")
_MOSTLY, _LONGEST_WORD = 0.9, 40
_CONTROLS, _HEAD_BYTES = re.compile(rb"[\1-\10\16-\32\34-\37]"), 1024  # text has none of these
_NO_TEXT = "is no text: it is compressed, or another kind of file"
_DELIMITERS = ",;\t|"
_LOOKED_AT, _LOOKED_AT_BYTES = 100, 1 << 20  # rows, bytes
_COLUMN = "video"  # by which a header is known as one


def as_utf8(content: bytes) -> bytes:
    """The text without its byte order mark, which says how it is written. Raises ValueError for what is no text."""
    if (encoding := marked_encoding(content)) == UTF_8:
        return content.removeprefix(codecs.BOM_UTF8)  # broken bytes cost their own entries
    if encoding is not None:
        try:
            return content.decode(encoding).encode()
        except UnicodeDecodeError as error:
            raise ValueError(f"begins as {encoding.upper()} text and is none (byte {error.start})") from error
    if b"\0" in content[:4]:
        if not re.fullmatch(rb"[\t\n\r -~]+", content[:4].replace(b"\0", b"")):
            raise ValueError(_NO_TEXT)
        raise ValueError("is UTF-16 or UTF-32 text without a byte order mark; save it as UTF-8")
    if not content.startswith(b"PAR1") and (found := _other_encoding(content)):
        raise ValueError(found)
    return content


def _other_encoding(content: bytes) -> str | None:
    """What is said of a text in a single-byte encoding, or in another one that does not name itself.

    A few broken bytes are none: they cost their own entries. To read it as what it seems to be would be a guess, and a
    wrong one would ask other questions about other files.
    """
    if content.isascii() or _is_utf8(content):
        return None
    if _CONTROLS.search(content[:_HEAD_BYTES]):
        return _NO_TEXT
    text = content[:_LOOKED_AT_BYTES].decode("utf-8", "surrogateescape")
    lines = text.splitlines()
    bad = [(number, line) for number, line in enumerate(lines, 1) if _BROKEN.search(line)]
    broken = sum(map(len, _BROKEN.findall(text)))
    if len(bad) < 2 or broken <= len(text) - len(text.encode("ascii", "ignore")) - broken:
        return None
    number, line = bad[0]
    if sum(map(len, _LETTERS.findall(text))) >= broken * _MOSTLY:
        word = _WORD.findall(line)[0].encode("utf-8", "surrogateescape").decode("cp1252", "replace")
        return (
            f"is no UTF-8 text, but probably Windows-1252 or Latin-1 (line {number} would read "
            f"'{printable(word[:_LONGEST_WORD])}'); save it as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8"
        )
    if 2 * len(bad) >= len(lines) - 1:
        return f"is no UTF-8 text (line {number}), and does not say what it is; save it as UTF-8"
    return None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


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


def fitting_delimiter(text: str, header: list[str]) -> str | None:
    """The delimiter with which each row has as many fields as the header, where the header's own does not."""
    rows = [row for row in text.splitlines()[1:] if row.strip()][:_LOOKED_AT]
    fits = (one for one in _DELIMITERS if rows and all(len(_fields(row, one)) == len(header) for row in rows))
    return next(fits, None) if len(header) > 1 else None


def spaced(first_line: str, delimiter: str) -> bool:
    """Whether a blank follows each delimiter, which is then a part of it."""
    fields = first_line.rstrip("\r\n").split(delimiter)[1:]
    return bool(fields) and all(field[:1] == " " for field in fields)


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
