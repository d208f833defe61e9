"""JSON values one after the other: a line each, or in whatever way people and programs put them into a file."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

_BETWEEN = re.compile(r"[\s,]*")  # some join the lines of a list, and leave its commas


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


def lines_of(content: bytes) -> list[bytes]:
    """At all line ends that there are: in JSON a carriage return is never a part of a value."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def values_in_a_row(content: bytes) -> list[Any] | None:
    """The objects of a file that does not have a line for each: without line ends in between, or over several lines.

    None where that is not what it holds.
    """
    try:
        values = list(_values(content.decode()))
    except (ValueError, RecursionError):
        return None
    return values if values and all(isinstance(value, dict) for value in values) else None


def _values(text: str) -> Iterator[Any]:
    decoder, place = json.JSONDecoder(), _BETWEEN.match(text).end()  # type: ignore[union-attr]
    while place < len(text):
        value, place = decoder.raw_decode(text, place)
        yield value
        place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]


def like_json(line: bytes) -> str | None:
    """What a line is that only looks like JSON, behind "is"; None where that cannot be told."""
    text = line.decode("utf-8", "replace").strip().rstrip(",")
    if not text.startswith(("{", "[")) or len(text) > 10_000:
        return None
    if "'" in text and _is_python(text):
        return "a Python dict with single quotes, not JSON: write it with json.dumps"
    if (mended := re.sub(r",(\s*[}\]])", r"\1", text)) != text and _parses(mended):
        return "JSON but for a comma before the closing bracket: take it out"
    return None


def _is_python(text: str) -> bool:
    try:
        return isinstance(ast.literal_eval(text), dict)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def _parses(text: str) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True
