"""Which of a command's arguments are videos, and which is the question."""

from __future__ import annotations

import os
from collections.abc import Sequence


def videos_and_question(arguments: Sequence[str], *, asked: bool) -> tuple[list[str], str | None]:
    """The last argument is the question, the others are videos; where a question is `asked` by an option, all are.

    Even then the last is one that has a space and is no file's name.
    """
    *videos, last = arguments
    if asked and not _is_question(last):
        return [*videos, last], None
    return videos, last


def _is_question(argument: str) -> bool:
    return " " in argument and not os.path.lexists(argument)
