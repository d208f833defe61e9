"""Foreign text (paths, questions, names of models) as it may be printed: nothing in it moves a cursor."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

# What a terminal obeys or hides, what no encoding takes, and what spoils an XML file: C0 and C1 controls, line
# separators, bidirectional marks and overrides, lone surrogates, noncharacters.
_UNSAFE = (
    *range(32),
    *range(127, 160),
    0x061C,
    *range(0x200E, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
    0xFFFE,
    0xFFFF,
)
_ESCAPES = {code: chr(code).encode("unicode_escape").decode() for code in _UNSAFE}
_BETWEEN_LINES = {code: escape for code, escape in _ESCAPES.items() if chr(code) not in "\n\t"}
_BYTES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}  # as Python carries them in file names
# An address in its parts. pathlib folds `//` into one slash; a drive letter is one letter long.
_SCHEME = r"(?P<scheme>(?<![\w+.-])[a-z][a-z0-9+.-]+:/{1,2})"
_IN_TEXT = re.compile(_SCHEME + r"(?P<host>[^/?#\s\"'<>]*)(?P<rest>[^\s\"'<>]*)", re.IGNORECASE)
_ALONE = re.compile(_SCHEME + r"(?P<host>[^/?#]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_FIELDS = re.compile(r"([?&;#])([^?&;#]*)")
# Of an address's fields, those that say what is asked for and not who asks; all others may be a ticket.
_OPEN_FIELDS = frozenset("t start end v version format width height quality fps lang".split())
_OPEN_VALUE = re.compile(r"[\w.,:-]{1,16}")
_LONGEST = 1000  # characters of one message; the list of all known keys still fits


def printable(text: str, *, ascii_only: bool = False) -> str:
    r"""`text` with control characters and their like as escapes (`\x1b`, `\n`); all else stays as it is."""
    text = text.translate(_ESCAPES)
    return text.encode("ascii", "backslashreplace").decode() if ascii_only else text


def printable_lines(text: str) -> str:
    """As `printable`, for text of several lines, such as an answer: line feeds and tabs stay."""
    return text.translate(_BETWEEN_LINES)


def encodable(text: str, encoding: str) -> str:
    """`text` with what `encoding` lacks as escapes."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def shown(path: str | os.PathLike[str]) -> str:
    r"""A file's name as an error may print it; its bytes that are no UTF-8 are escapes (`\xff`)."""
    return printable(os.fspath(path).translate(_BYTES))


def without_secrets(text: str) -> str:
    """`text` without what proves in its addresses who asks: a user's name and password, and fields of the query.

    Servers call their tickets and signatures as they like, so that only a few fields with short values are shown.
    """
    return _IN_TEXT.sub(_without_secrets, text) if ":/" in text else text


def address_without_secrets(name: str) -> str:
    """As `without_secrets`, of what is one address as a whole, also with spaces in it; other names stay as they are."""
    return _without_secrets(found) if (found := _ALONE.fullmatch(name)) else name


def _without_secrets(address: re.Match[str]) -> str:
    scheme, host, rest = address.group("scheme", "host", "rest")
    _, at, host = host.rpartition("@")
    port = host.rpartition(":")[2] if ":" in host else ""
    if not at and port.strip("0123456789]") and "@" in rest:  # a password with a slash in it
        rest, at = rest.rpartition("@")[2], "@"
        host, _, rest = rest.partition("/") if "/" in rest else (rest, "", "")
        rest = f"/{rest}" if rest else ""
    return f"{scheme}{'***@' if at else ''}{host}{_FIELDS.sub(_field, rest)}"


def _field(found: re.Match[str]) -> str:
    mark, field = found.groups()
    name, equals, value = field.partition("=")
    if not field or (name.lower() in _OPEN_FIELDS and _OPEN_VALUE.fullmatch(value)):
        return found[0]
    return f"{mark}{name}=***" if equals and value else found[0] if equals else f"{mark}***"


def shortened(text: str) -> str:
    """`text`, without its middle where it is too long to be read: what went wrong stands at the end."""
    if len(text) <= _LONGEST:
        return text
    head, tail = _LONGEST * 3 // 4, _LONGEST // 4
    return f"{text[:head]} [{len(text) - head - tail} characters left out] {text[-tail:]}"


def dump(document: Mapping[str, object], *, indent: int | None = None) -> str:
    """`document` as JSON without a final newline: one line, as line-oriented tools and NDJSON want it.

    ASCII only: it passes through a stdout of any encoding, and a lone surrogate (a byte of a path that is no
    UTF-8) becomes an escape that reads back as itself instead of an encoding error.
    """
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=indent)
