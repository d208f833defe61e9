"""One entry of an annotation file, read field by field: what is wrong with it is said in words, not guessed around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_MOST_SECONDS = 1e9  # 30 years
_LONGEST_VALUE = 60  # characters of a wrong value that an error shows


class EntryError(ValueError):
    """An entry that cannot be used, with the reason; it becomes a `Problem` and the other entries are loaded."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be read: `place` is a file, with the line or entry where it has one, which is `number` then."""

    place: str
    error: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """`place` is `file:line` or `file, entry N`, `number` that line or N (from 1); `values` are the fields."""

    place: str
    number: int
    values: Mapping[str, object]

    def text(self, name: str) -> str:
        """The text of a field, as it is written. EntryError: there is none, it is blank, or it is no text."""
        return checked_text(self._value(name), f"field '{name}'")

    def label(self, name: str) -> str:
        """A text or a whole number, as text without blanks around it: ids, types and indices come as both."""
        value = self._value(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(name).strip()

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts. EntryError where the field or one of its texts is something else."""
        value = self._value(name)
        if not isinstance(value, list):
            raise EntryError(f"field '{name}' is {_kind(value)}, not a list of texts")
        return tuple(checked_text(text, f"text {n} of '{name}'") for n, text in enumerate(value, 1))

    def seconds(self, name: str) -> float | None:
        """A time in seconds, None where the field is missing or null. EntryError: not a finite number from 0."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise EntryError(f"field '{name}' is {_kind(value)}, not a number of seconds")
        if not 0 <= value <= _MOST_SECONDS:
            raise EntryError(f"field '{name}' is {str(value)[:_LONGEST_VALUE]}, not a time in seconds")
        return float(value)

    def bounds(self) -> tuple[float | None, float | None]:
        """Fields `start` and `end` in seconds. EntryError where the end does not come after the start."""
        start, end = self.seconds("start"), self.seconds("end")
        if end is not None and end <= (start or 0.0):
            raise EntryError(f"the part from {start or 0.0:g} to {end:g} s has no length")
        return start, end

    def _value(self, name: str) -> object:
        value = self.values.get(name)
        if value is None:
            raise EntryError(f"no field '{name}'")
        return value


def checked_text(value: object, what: str) -> str:
    """`value` where it is a text that tokenizers and file systems take; `what` names it in the EntryError."""
    if not isinstance(value, str):
        raise EntryError(f"{what} is {_kind(value)}, not a text")
    if not value.strip():
        raise EntryError(f"{what} is empty")
    # Bytes that are no UTF-8 come as lone surrogates (see reading.py), as does "\ud800" in JSON.
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise EntryError(f"{what} holds bytes that are no text: {value[:_LONGEST_VALUE]!a}")
    return value


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else type(value).__name__)
