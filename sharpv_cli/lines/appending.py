"""A JSON-lines file that one run at a time appends to: no crash costs a line that is complete, none is torn."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, Self

from sharpv_cli.errors import UsageError
from sharpv_cli.files import write_all
from sharpv_cli.lines import rewriting
from sharpv_cli.lines.piped import Piped, is_piped
from sharpv_cli.tables.objects import parse_json
from sharpv_cli.text import dump, shown

Document = dict[str, Any]


def open_lines(path: Path, schemas: tuple[str, ...], *, command: str, option: str = "--out") -> Lines | Piped:
    """`Lines`, or `Piped` where `path` is a pipe or the like. Raises UsageError as they do."""
    if is_piped(path):
        return Piped(path, option=option)
    return Lines(path, schemas, command=command, option=option)


class Lines:
    """Opened and locked for one run, made where it is missing. A context manager.

    `schemas` are what the schemas of our documents begin with: a file with another line is none of ours and is left
    as it is. `command` and `option` are what errors name. `locked` is False on a file system without locks, where
    nothing keeps a second run away. Raises UsageError where it cannot be written, also anew, or another run has it.
    """

    resumable = True

    def __init__(self, path: Path, schemas: tuple[str, ...], *, command: str, option: str = "--out") -> None:
        self.path = path
        self.locked = True
        self._schemas, self._command, self._option = schemas, command, option
        self._file = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def documents(self) -> Iterator[Document]:
        """What is there, in order; a torn last line is cut off, for the next one to begin where it began.

        Raises UsageError at a line that is none of ours.
        """
        for _, _, document in self._placed():
            yield document

    def append(self, document: Mapping[str, object]) -> None:
        """One more line; it is with the operating system when this returns. Raises UsageError on a full disk."""
        try:
            write_all(self._file, _line(document))
            gone = os.fstat(self._file.fileno()).st_nlink == 0
        except OSError as error:
            raise UsageError(
                f"cannot write {shown(self.path)}: {error.strerror}",
                hint="what is in it is kept; run it again",
            ) from error
        if gone:
            raise UsageError(
                f"{shown(self.path)} was removed or replaced while this run wrote to it",
                hint="run it again, one run at a time",
            )

    def keep(self, wanted: Callable[[int, Document], bool]) -> None:
        """Leave out the lines that are not `wanted` (number from 0, document): all at once, whatever ends us."""
        kept: list[rewriting.Part] = []
        for number, (begin, end, document) in enumerate(self._placed()):
            if not wanted(number, document):
                continue
            joined = bool(kept) and kept[-1][1] == begin
            kept[-1:] = [(kept[-1][0], end)] if joined else [*kept[-1:], (begin, end)]
        try:
            self._file = rewriting.keep(self._file, self.path, kept)
        except OSError as error:
            raise UsageError(
                f"cannot write {shown(self.path)} anew: {error.strerror}",
                hint="what is in it is kept; make room, or choose another place for it",
            ) from error

    def _placed(self) -> Iterator[tuple[int, int, Document]]:
        """Each document with where its line begins and ends."""
        rewriting.finish(self._file)  # Ctrl-C may have come while it was written anew
        self._file.seek(0)
        reader = BufferedReader(self._file)
        try:
            yield from self._read(reader)
        finally:
            reader.detach()

    def _read(self, reader: Iterable[bytes]) -> Iterator[tuple[int, int, Document]]:
        begin = 0
        for number, line in enumerate(reader, start=1):
            if not line.endswith(b"\n") and not self._ended(line, begin, number):
                return
            end = begin + len(line) + (not line.endswith(b"\n"))
            if line.strip() or number == 1:  # a blank one comes from editing
                yield begin, end, self._document(line, number)
            begin = end

    def _opened(self) -> FileIO:
        while True:
            with ExitStack() as unless_ours:
                try:
                    file = unless_ours.enter_context(rewriting.open_for_both(self.path))
                    self._lock(file)
                    if _is(file, self.path):  # nobody wrote it anew in between
                        rewriting.finish(file)
                        unless_ours.pop_all()
                        return file
                except OSError as error:
                    raise UsageError(
                        f"cannot write {shown(self.path)}: {error.strerror}",
                        hint=f"choose another place with {self._option}",
                    ) from error

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
            self.locked = False  # some network file systems know no locks

    def _document(self, line: bytes, number: int) -> Document:
        try:
            document = parse_json(line)
        except ValueError as error:
            raise self._foreign(number, f": it is not JSON ({error})") from error
        if not isinstance(document, dict) or not str(document.get("schema")).startswith(self._schemas):
            raise self._foreign(number)
        return document

    def _ended(self, last: bytes, begin: int, number: int) -> bool:
        """Whether the last line, which has no newline, is complete: then it gets one, else it is cut off.

        Someone's only line without a newline is no torn one of ours.
        """
        try:
            self._document(last, number)
        except UsageError:
            begins = [_line({"schema": schema})[: -len(b'"}\n')] for schema in self._schemas]
            if not any(last.startswith(one) or one.startswith(last) for one in (*begins, rewriting.MARK)):
                raise
            self._file.truncate(begin)
            return False
        write_all(self._file, b"\n")
        return True

    def _foreign(self, number: int, problem: str = "") -> UsageError:
        edited = "if it was edited, mend or remove that line; else " if number > 1 else ""
        return UsageError(
            f"{shown(self.path)}:{number} is no line of `{self._command}`{problem}",
            hint=f"{edited}choose another file with {self._option}",
        )


def _line(document: Mapping[str, object]) -> bytes:
    return dump(document).encode() + b"\n"


def _is(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
