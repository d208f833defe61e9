"""`--verbose`: what commands say about a run that has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpv_cli import terminal

if TYPE_CHECKING:
    from sharpv_cli.types import Answer, Loaded


def say_details(run: Loaded | Answer) -> None:
    """Model, device, attention back-end and its reason, video and frames, on stderr; nothing unless verbose."""
    if not terminal.is_verbose():
        return
    from sharpv_cli.report.details import run_details

    for line in run_details(run):
        terminal.say("detail", line)


def say_engine(answer: Answer) -> None:
    """What ran the language model and why, on stderr; nothing unless verbose. It is picked with the first question."""
    if terminal.is_verbose():
        from sharpv_cli.report.details import engine_detail

        terminal.say("detail", engine_detail(answer))
