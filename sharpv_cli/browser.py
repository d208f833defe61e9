"""A page in the browser of whoever typed the command; a resident process leaves that to the command's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
_START_SEC = 5.0  # what takes longer is a browser that this starts, and not only tells

_elsewhere: Callable[[str], None] | None = None


def show(page: Path) -> None:
    """Open the file, or say on stderr that nothing here can."""
    if _elsewhere is not None:
        _elsewhere(str(page.absolute()))
    elif not _opened(page) and sys.stderr is not None:
        sys.stderr.write("note: no browser was found here to open it with\n")


@contextmanager
def shown_by(elsewhere: Callable[[str], None]) -> Iterator[None]:
    """Within the block `elsewhere` gets the paths of pages."""
    global _elsewhere
    _elsewhere = elsewhere
    try:
        yield
    finally:
        _elsewhere = None


def _opened(page: Path) -> bool:
    """By a process that has none of our streams: a browser that stays open would keep a pipe's reader waiting."""
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-c", _OPEN, page.absolute().as_uri()],
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
        start_new_session=True,
    )
    with suppress(subprocess.TimeoutExpired):
        return process.wait(_START_SEC) == 0
    return True
