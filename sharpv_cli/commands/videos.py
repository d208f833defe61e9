"""Which of a command's arguments are videos, and which is the question."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.text import shown


def videos_and_question(arguments: Sequence[str], *, asked: bool) -> tuple[list[str], str | None]:
    """The last argument is the question, the others are videos; where a question is `asked` by an option, all are.

    Even then the last is one that has a space and is no file's name.
    """
    *videos, last = arguments
    if asked and not _is_question(last):
        return [*videos, last], None
    return videos, last


def with_name(error: SharpvError, name: str) -> SharpvError:
    """The error of one of several videos, behind the name of that one where it does not say it."""
    if shown(name) in str(error):
        return error
    told = SharpvError(f"{shown(name)}: {error}", hint=error.hint)
    told.__cause__ = error
    return told


def _is_question(argument: str) -> bool:
    return " " in argument and not os.path.lexists(argument)


def refuse_file(command: str, question: str | None, video: str) -> None:
    """Raise UsageError where the question of a `command` is a file's name: the wrong order, or a list of questions."""
    if question is None or question == "-" or not os.path.isfile(question):  # noqa: PTH113 - never raises
        return
    if video != "-" and not os.path.exists(video):  # noqa: PTH110 - never raises
        hint = f"VIDEO comes first: {shown(shlex.join(['sharpv', command, question, video]))}"
    else:
        asked = shown(shlex.quote(question))
        listed = f"--questions {asked} reads questions from it, " if command == "ask" else ""
        hint = f"the question comes last, behind all videos; {listed}-q {asked} asks just that"
    raise UsageError(f"the question is a file: {shown(question)}", hint=hint)
