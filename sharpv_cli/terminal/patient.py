"""stdout and stderr that take every byte, also where whoever gave them to us made them not wait (O_NONBLOCK)."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

from sharpv_cli.files import wait_writable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BUFFER = 1 << 18


def wait_for_readers() -> None:
    """From now on `sys.stdout` and `sys.stderr` wait where nothing can be written.

    The flag is one of the pipe or terminal, not of our process: programs that share it with us, such as ssh and node,
    set it whenever they like. Python's own streams lose what they could not write then.
    """
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)


def _patient(stream: TextIO | None) -> TextIO:
    if type(stream) is not io.TextIOWrapper:  # closed (None), or somebody's own
        return stream  # type: ignore[return-value]
    raw = io.FileIO(stream.fileno(), "w", closefd=False)
    return waiting(raw, stream.encoding, stream.errors, line_buffering=stream.line_buffering)


def waiting(raw: io.RawIOBase, encoding: str, errors: str | None, *, line_buffering: bool) -> TextIO:
    """A text stream on `raw` that waits where nothing can be written."""
    return io.TextIOWrapper(_Patient(raw, _BUFFER), encoding, errors, line_buffering=line_buffering)


class _Patient(io.BufferedWriter):
    """What is not written yet stays in the buffer, which knows how much that is: Ctrl-C while we wait costs nothing."""

    def write(self, content: ReadableBuffer, /) -> int:
        left = memoryview(content).cast("B")
        length = len(left)
        while left:
            try:
                left = left[super().write(left) :]
            except BlockingIOError as full:
                left = left[full.characters_written :]
                self.flush()
        return length

    def flush(self) -> None:
        while True:
            try:
                return super().flush()
            except BlockingIOError:
                wait_writable(self.fileno())
