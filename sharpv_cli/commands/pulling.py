"""A download, told before it starts and drawn while it runs: for `models pull`, and for what runs a model."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.models.refusal import folder_here
from sharpv_cli.signals import interruptible
from sharpv_cli.units import disk_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpv_cli.models.hub import Plan
    from sharpv_cli.settings import ModelSettings


def pull(model: ModelSettings, planned: Plan) -> None:
    """Download what is missing of a model, saying so first. Raises ModelError: the hub's refusals."""
    terminal.say("note", f"{told(planned)}{folder_here(model.id)}")
    fetch(model, planned)


def told(planned: Plan) -> str:
    """`owner/name (commit): to download 1.7 GB in 8 of 11 files; 57.0 GB free`."""
    name = f"{planned.repository} ({planned.commit[:12]})"
    if not planned.missing_files:
        return f"{name}: complete, {planned.files} files, {disk_size(planned.total_bytes)}"
    part = f"{planned.missing_files} of {planned.files}" if _begun(planned) else f"{planned.files}"
    return (
        f"{name}: to download {disk_size(planned.missing_bytes)} in {part} files; "
        f"{disk_size(planned.free_bytes)} free on the disk"
    )


def _begun(planned: Plan) -> bool:
    return planned.missing_files < planned.files


def fetch(model: ModelSettings, planned: Plan) -> None:
    """Download what is missing. Ctrl-C keeps the finished files and goes through as KeyboardInterrupt."""
    from sharpv_cli.models import hub

    with interruptible(), terminal.Transfer(planned.missing_bytes) as bar:
        try:
            with closing(hub.download(model)) as received:
                for count in received:
                    bar.show(count)
        except KeyboardInterrupt:
            bar.stop()
            terminal.say("note", "stopped; finished files are kept; rerunning the same command resumes")
            raise


def agreed(question: Callable[[], bool], *, yes: bool) -> bool:
    """Whether to go on: asked only where somebody can answer, that is not in pipes and scripts."""
    return yes or not (sys.stdin and sys.stdin.isatty() and terminal.stderr().is_terminal) or question()
