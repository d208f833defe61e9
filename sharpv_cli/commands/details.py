"""`--verbose`: what commands say about a run that has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpv_cli import terminal

if TYPE_CHECKING:
    from sharpv_cli.types import Answer, Loaded, Reading


def say_details(run: Loaded | Answer) -> None:
    """Model, device, attention backend and its reason, video and frames, on stderr; nothing unless verbose."""
    if not terminal.is_verbose():
        return
    from sharpv_cli.report.details import run_details

    for line in run_details(run):
        terminal.say("detail", line)


def say_engine(reading: Reading) -> None:
    """The engine of the first answer and its reason; nothing unless verbose."""
    if terminal.is_verbose():
        from sharpv_cli.report.details import engine_detail

        terminal.say("detail", engine_detail(reading))


def say_decoding(answer: Answer) -> None:
    """How long the first answer waited for frames; nothing unless verbose."""
    if terminal.is_verbose():
        from sharpv_cli.report.details import decoding_detail

        terminal.say("detail", decoding_detail(answer))
