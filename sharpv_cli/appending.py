"""A JSON-lines file that one run at a time appends to: no crash costs a line that is complete, none is torn."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, Self

from sharpv_cli import signals
from sharpv_cli.errors import UsageError
from sharpv_cli.text import shown

Documents = Iterator[dict[str, Any]]


class Lines:
    """Opened and locked for one run, made where it is missing. A context manager.

    `schemas` are what the schemas of our documents begin with: a file with another line is none of ours and is left
    as it is. `command` and `option` are what errors name. Raises UsageError where it cannot be written or another run
    has it.
    """

    def __init__(self, path: Path, schemas: tuple[str, ...], *, command: str, option: str = "--out") -> None:
        self.path = path
        self._schemas, self._command, self._option = schemas, command, option
        self._file = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def documents(self) -> Documents:
        """What is there, in order; a torn last line is cut off, for the next one to begin where it began.

        Raises UsageError at a line that is none of ours.
        """
        self._file.seek(0)
        reader = BufferedReader(self._file)
        try:
            yield from self._read(reader)
        finally:
            reader.detach()

    def _read(self, reader: Iterable[bytes]) -> Documents:
        good = 0
        for number, line in enumerate(reader, start=1):
            if not line.endswith(b"\n"):
                self._cut(line, good, number)
                return
            good += len(line)
            yield self._document(line, number)

    def append(self, document: Mapping[str, object]) -> None:
        """One more line; it is with the operating system when this returns. Raises UsageError on a full disk."""
        try:
            _write(self._file, document)
        except OSError as error:
            raise UsageError(
                f"cannot write {shown(self.path)}: {error.strerror}",
                hint="what is in it is kept; run it again",
            ) from error

    def clear(self) -> None:
        """Forget all lines."""
        self._file.truncate(0)

    def keep(self, wanted: Callable[[int, dict[str, Any]], bool]) -> None:
        """Leave out the lines that are not `wanted` (number from 0, document): all at once, whatever ends us."""
        real = Path(os.path.realpath(self.path))
        partial = real.with_name(f".sharpv-{os.getpid()}.part")
        try:
            with signals.unfinished(partial):
                partial.unlink(missing_ok=True)
                new = _open(partial)
                for number, document in enumerate(self.documents()):
                    if wanted(number, document):
                        _write(new, document)
                fcntl.flock(new, fcntl.LOCK_EX)  # before it has the name under which others would lock it
                partial.replace(real)
        except OSError as error:
            raise UsageError(
                f"cannot write {shown(self.path)} anew: {error.strerror}", hint="choose another place for it"
            ) from error
        self._file.close()
        self._file = new

    def _opened(self) -> FileIO:
        while True:
            try:
                file = _open(self.path)
            except OSError as error:
                raise UsageError(
                    f"cannot write {shown(self.path)}: {error.strerror}",
                    hint=f"choose another place with {self._option}",
                ) from error
            with ExitStack() as unless_ours:
                unless_ours.push(file)  # closed, too, where whoever had it wrote it anew in between
                self._lock(file)
                if _is(file, self.path):
                    unless_ours.pop_all()
                    return file

    def _lock(self, file: FileIO) -> None:
        """Two runs that append to one file would both do what the other has done."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run writes to {shown(self.path)}",
                hint=f"wait for it, or choose another file with {self._option}",
            ) from None
        except OSError:
            return  # some network file systems know no locks: there nothing warns of a second run

    def _document(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict) or not str(document.get("schema")).startswith(self._schemas):
            raise self._foreign(number)
        return document

    def _cut(self, torn: bytes, good: int, number: int) -> None:
        """Someone's only line without a newline is no torn one of ours."""
        begins = [_line({"schema": schema})[: -len(b'"}\n')] for schema in self._schemas]
        if not any(torn.startswith(begin) or begin.startswith(torn) for begin in begins):
            raise self._foreign(number)
        self._file.truncate(good)

    def _foreign(self, number: int) -> UsageError:
        return UsageError(
            f"{shown(self.path)}:{number} is no line of `{self._command}`",
            hint=f"choose another file with {self._option}",
        )


def _open(path: Path) -> FileIO:
    """Unbuffered: a line that could not be written is not tried again when the file is closed."""
    return path.open("a+b", buffering=0)


def _write(file: FileIO, document: Mapping[str, object]) -> None:
    """The whole line, in as many writes as it takes."""
    left = memoryview(_line(document))
    while left:
        left = left[file.write(left) :]


def _line(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, allow_nan=False).encode() + b"\n"


def _is(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
