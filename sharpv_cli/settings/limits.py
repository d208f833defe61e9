"""How long the words of a prompt may be, so that none is begun that has no end."""

from __future__ import annotations

from sharpv_cli.errors import UsageError

LONGEST_TEXT = 1 << 18
"""Bytes of a question, or of the text around it: some 40,000 words."""


def length_of(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text.encode("utf-8", "replace"))


def require_length(text: str, name: str = "the question") -> None:
    """Raise UsageError for a question that is longer than any prompt may be."""
    if (count := length_of(text)) > LONGEST_TEXT:
        raise UsageError(
            f"{name} has {count} bytes, and {LONGEST_TEXT} are the most",
            hint="ask a shorter question; a file with one question a line goes behind --questions",
        )
