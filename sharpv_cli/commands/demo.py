"""`sharpv demo`: small clips with known answers, and the commands to try on them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.shapes.demo import write_demo

FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Folder for the clips, created if missing.", show_default=False),
]


def demo(folder: FolderArgument = Path("demo")) -> None:
    """Write a few small clips with known answers, and print the commands to try.

    \b
    Examples:
      sharpv demo
      sharpv demo /tmp/clips | head -1 | sh
    """
    terminal.require_stdout()
    clips = write_demo(folder)
    terminal.say("note", f"wrote {len(clips)} clips to {folder}; try:")
    for clip in clips:
        terminal.write_answer(f"{command(clip.path, clip.question)}\n")
        terminal.say("note", f"expected: {clip.answer}")


def command(video: Path, question: str) -> str:
    """The line that asks this, quoted for a shell; a leading dash is kept from looking like an option."""
    path = f"./{video}" if str(video).startswith("-") else str(video)
    return shlex.join(["sharpv", "ask", path, question])
