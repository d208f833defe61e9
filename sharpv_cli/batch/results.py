"""The results file: a line for each question, appended as it comes; a rerun goes on where it ends.

JSON lines: `sharpv.ask/1` with `id` and `digest`, or `sharpv.error/1`. At the end of a run there is one line for each
id. An answer stays until the line that takes its place is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Protocol, Self

from sharpv_cli.batch.manifest import Failure
from sharpv_cli.batch.planning import Asked, Plan
from sharpv_cli.errors import SharpvError, ShortageError, UsageError
from sharpv_cli.lines.appending import open_lines
from sharpv_cli.report.document import ERROR_SCHEMA, SCHEMA, error_document
from sharpv_cli.text import shown

_EDITED = "if it was edited, mend or remove that line; else choose another file with -o"

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Left:
    """A question for which the machine had too little of something: it gets no line, and the next run asks it."""

    line: int
    id: str
    error: ShortageError


Told = Document | Left
"""What comes of a question."""


def told_of_failure(asked: Asked, error: SharpvError) -> Told:
    """Nothing is written of a question that the machine alone kept from its answer."""
    if isinstance(error, ShortageError):
        return Left(asked.line, asked.id, error)
    return error_document(error, line=asked.line, id=asked.id)


class Results(Protocol):
    """Where documents go. `done` has the digest of each answer that is there already, by id.

    `cut` are the ids of those that ended because no more tokens were allowed.
    """

    cut: set[str]

    @property
    def done(self) -> dict[str, str]: ...

    def add(self, document: Document) -> None: ...


class Written:
    """Results that somebody else keeps: each document is handed to `write` and forgotten."""

    resumable = False

    def __init__(self, write: Callable[[Document], None]) -> None:
        self.done: dict[str, str] = {}
        self.cut: set[str] = set()
        self.failed: frozenset[str] = frozenset()
        self.add = write


class ResultsFile:
    """Opened and locked for one run. A context manager; at its end lines that others have replaced are left out.

    An error never takes the place of an answer. With `restart` nothing counts as done, and what is there goes when
    the first new answer has come. `failed` are the ids that earlier runs have no answer to. Raises UsageError where the
    file cannot be written, is none of ours, or another run writes to it.
    """

    def __init__(self, path: Path, *, restart: bool = False) -> None:
        self.path = path
        self._lines = open_lines(path, (SCHEMA, ERROR_SCHEMA), command="sharpv batch", option="-o")
        self._restart = restart
        with ExitStack() as on_failure:
            on_failure.push(self._lines)
            self._scan()
            on_failure.pop_all()
        self._older = self._count
        self.failed = frozenset(str(name) for name in self._last.keys() - self._answers.keys())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        try:
            if kind is None and self._replaced:
                self._rewrite()
        finally:
            self._lines.__exit__()

    @property
    def done(self) -> dict[str, str]:
        """The digest of each answer that counts, by id."""
        return {} if self._restart else self._answers

    @property
    def locked(self) -> bool:
        """Whether a second run is kept away."""
        return self._lines.locked

    @property
    def resumable(self) -> bool:
        """Whether a later run can go on where this one ends."""
        return self._lines.resumable

    def begin(self, plan: Plan) -> None:
        """Take out the errors of what this run tries again, and what was replaced before a crash."""
        ids = {asked.id for asked in plan.asked} | {failure.id for failure in plan.failures if failure.id}
        lines = {asked.line for asked in plan.asked} | {failure.line for failure in plan.failures}

        def obsolete(document: Document) -> bool:
            return _is_error(document) and (document["id"] in ids or document["line"] in lines)

        if not self._restart and (self._replaced or any(map(obsolete, self._lines.documents()))):
            self._rewrite(obsolete)

    def add(self, document: Document) -> None:
        """Append one line; it is with the operating system when this returns. Where an answer is, an error is not."""
        if _is_error(document) and not self._restart and _name(document) in self._answers:
            return
        self._lines.append(document)
        self._note(document)
        if self._restart and not _is_error(document):
            self._lines.keep(lambda number, _: number >= self._older)
            self._restart = False
            self._scan()

    def _scan(self) -> None:
        """What is in the file: by name, the line that counts, and the digests of answers."""
        self._last: dict[str | int, int] = {}
        self._answers: dict[str, str] = {}
        self.cut: set[str] = set()
        self._count, self._replaced = 0, False
        for number, document in enumerate(self._lines.documents(), start=1):
            self._note(_checked(document, f"{shown(self.path)}:{number}"))

    def _note(self, document: Document) -> None:
        name = _name(document)
        self._replaced |= name in self._last
        if not _is_error(document):
            self._answers[str(name)] = str(document["digest"])
            (self.cut.add if document.get("finish_reason") == "length" else self.cut.discard)(str(name))
        if not _is_error(document) or name not in self._answers:
            self._last[name] = self._count
        self._count += 1

    def _rewrite(self, obsolete: Callable[[Document], bool] = lambda _: False) -> None:
        """Leave the lines that count, as the file has them now: where no lock is, another run may have added some."""
        self._scan()
        kept = frozenset(self._last.values())
        self._lines.keep(lambda number, document: number in kept and not obsolete(document))
        self._scan()


def error_documents(failures: Iterable[Failure]) -> Iterator[Document]:
    """What stands in the place of the answers."""
    for failure in failures:
        yield error_document(failure.error, line=failure.line, id=failure.id)


def _is_error(document: Document) -> bool:
    return document["schema"] == ERROR_SCHEMA


def _name(document: Document) -> str | int:
    """What one line is about: an id, or a line of the manifest that has none."""
    id, line = document.get("id"), document.get("line")
    return id if isinstance(id, str) else line if isinstance(line, int) else 0


def _checked(document: Document, place: str) -> Document:
    """Answers of `sharpv ask` are none of ours: without an id they would take each other's place."""
    if document["schema"] == SCHEMA and not {"id", "digest"} & document.keys():
        raise UsageError(
            f"{place} is an answer of `sharpv ask`", hint="choose another file with -o for those of the batch"
        )
    fields = _FIELDS.get(str(document["schema"]))
    if fields is None:
        raise UsageError(f"{place} is a line of another version of sharpv", hint=_EDITED)
    if wrong := next(
        (name for name, kind in fields.items() if not isinstance(document.get(name), kind)), None
    ):
        raise UsageError(f"{place}: the field '{wrong}' is missing or was changed", hint=_EDITED)
    return document


_FIELDS: dict[str, dict[str, type | UnionType]] = {
    SCHEMA: {"id": str, "digest": str},
    ERROR_SCHEMA: {"id": str | None, "line": int},
}
