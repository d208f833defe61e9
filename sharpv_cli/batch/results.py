"""The results file: a line for each question, appended as it comes; a rerun goes on where it ends.

JSON lines: `sharpv.ask/1` with `id` and `digest`, or `sharpv.error/1`. At the end of a run there is one line for each
id. An answer stays until the line that takes its place is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from sharpv_cli.appending import Lines
from sharpv_cli.batch.manifest import Failure
from sharpv_cli.batch.planning import Plan
from sharpv_cli.errors import ShortageError, UsageError
from sharpv_cli.report.document import ERROR_SCHEMA, SCHEMA, error_document
from sharpv_cli.text import shown

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Left:
    """A question for which the machine had too little of something: it gets no line, and the next run asks it."""

    line: int
    id: str
    error: ShortageError


Told = Document | Left
"""What comes of a question."""


class Results(Protocol):
    """Where documents go. `done` has the digest of each answer that is there already, by id."""

    done: dict[str, str]

    def add(self, document: Document) -> None: ...


class Written:
    """Results that somebody else keeps: each document is handed to `write` and forgotten."""

    def __init__(self, write: Callable[[Document], None]) -> None:
        self.done: dict[str, str] = {}
        self.add = write


class ResultsFile:
    """Opened and locked for one run. A context manager; at its end lines that others have replaced are left out.

    Raises UsageError where the file cannot be written, is none of ours, or another run writes to it.
    """

    def __init__(self, path: Path, *, restart: bool = False) -> None:
        self.path = path
        self._lines = Lines(path, (SCHEMA, ERROR_SCHEMA), command="sharpv batch", option="-o")
        self.done: dict[str, str] = {}
        self._last: dict[str, int] = {}
        self._count = 0
        self._replaced = False
        with ExitStack() as on_failure:
            on_failure.push(self._lines)
            for document in self._lines.documents():
                self._note(_checked(document, path))
            if restart:
                self._forget()
            on_failure.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        try:
            if kind is None:
                self._settle()
        finally:
            self._lines.__exit__()

    def begin(self, plan: Plan) -> None:
        """Take out the errors of what this run tries again, and what was replaced before a crash."""
        ids = {asked.id for asked in plan.asked} | {failure.id for failure in plan.failures if failure.id}
        lines = {asked.line for asked in plan.asked} | {failure.line for failure in plan.failures}

        def obsolete(document: Mapping[str, object]) -> bool:
            is_error = document["schema"] == ERROR_SCHEMA
            return is_error and (document["id"] in ids or document["line"] in lines)

        last = self._last
        dropped = [
            number
            for number, document in enumerate(self._lines.documents())
            if obsolete(document) or last[_name(document)] != number
        ]
        if dropped:
            self._rewrite(frozenset(dropped))

    def add(self, document: Document) -> None:
        """Append one line; it is with the operating system when this returns."""
        self._lines.append(document)
        self._note(document)

    def _note(self, document: Mapping[str, object]) -> None:
        name = _name(document)
        self._replaced |= name in self._last
        self._last[name] = self._count
        self._count += 1
        self.done.pop(name, None)
        if document["schema"] == SCHEMA:
            self.done[name] = str(document.get("digest"))

    def _settle(self) -> None:
        if self._replaced:
            self._rewrite(frozenset(range(self._count)) - frozenset(self._last.values()))

    def _rewrite(self, dropped: frozenset[int]) -> None:
        self._lines.keep(lambda number, _: number not in dropped)
        self._last, self._count, self._replaced = {}, 0, False
        for document in self._lines.documents():
            self._note(document)

    def _forget(self) -> None:
        self._lines.keep(lambda *_: False)
        self.done, self._last, self._count, self._replaced = {}, {}, 0, False


def error_documents(failures: Iterable[Failure]) -> Iterator[Document]:
    """What stands in the place of the answers."""
    for failure in failures:
        yield error_document(failure.error, line=failure.line, id=failure.id)


def _name(document: Mapping[str, object]) -> str:
    """What one line is about: an id, or a line of the manifest that has none."""
    id = document.get("id")
    return f"line {document['line']} without an id" if id is None else str(id)


def _checked(document: Document, path: Path) -> Document:
    """Answers of `sharpv ask` are none of ours: without an id they would take each other's place."""
    if document["schema"] == SCHEMA and not {"id", "digest"} <= document.keys():
        raise UsageError(
            f"{shown(path)} holds answers of `sharpv ask`",
            hint="choose another file with -o for those of the batch",
        )
    return document
