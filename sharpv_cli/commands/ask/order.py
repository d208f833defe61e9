"""Arguments that landed in each other's place, which FFmpeg or the model would make no sense of."""

from __future__ import annotations

import os
import shlex

from sharpv_cli.errors import UsageError
from sharpv_cli.text import shown


def refuse_file(question: str | None, video: str) -> None:
    """Raise UsageError where the QUESTION is a file's name: the wrong order, two videos, or a list of questions."""
    if question is None or question == "-" or not os.path.isfile(question):  # noqa: PTH113 - never raises
        return
    if video != "-" and not os.path.exists(video):  # noqa: PTH110 - never raises
        hint = f"VIDEO comes first: {shown(shlex.join(['sharpv', 'ask', question, video]))}"
    else:
        asked = shown(shlex.quote(question))
        hint = f"one video a run; --questions {asked} reads questions from it, -q {asked} asks just that"
    raise UsageError(f"the question is a file: {shown(question)}", hint=hint)
