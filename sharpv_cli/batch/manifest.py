"""What is to be asked: a manifest or a folder of videos, read and checked row by row."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sharpv_cli.batch.folder import read_folder
from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.near import with_near_name
from sharpv_cli.settings import FLAGS
from sharpv_cli.smallfile import too_long
from sharpv_cli.tables.entries import Entry, EntryError, Problem, checked_text
from sharpv_cli.tables.objects import parse_json
from sharpv_cli.tables.reading import ANY_FORM, MOST_BYTES, Table, parse_table, read_table
from sharpv_cli.text import shown

# What decides the model, which is loaded once, and what guards the machine, which no list of files may lift.
OF_THE_RUN = frozenset(
    "model revision dtype attention device engine offline memory-check profile "
    "allow-url max-pixels max-bytes timeout json-schema regex logprobs".split()
)
_OWN = ("id", "video", "question", "questions", "choices")
_MOST_FIELDS = 20  # that an error names
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_HINT = 'each line is {"video": ..., "question": ...}, with "id" and settings such as "frames" if wanted'


@dataclass(frozen=True, slots=True)
class Row:
    """One row: questions about one video. `place` is `file:line`, `line` its number from 1.

    `settings` are the row's own, by flag name (`max-new-tokens`), and `choices` what its answers are chosen from, not
    checked yet. Of several questions each has the row's id with its number: `id#2`.
    """

    place: str
    line: int
    id: str
    video: str
    questions: tuple[str, ...]
    several: bool
    settings: Mapping[str, object]
    choices: tuple[str, ...] = ()

    def asked(self) -> Iterator[tuple[str, str]]:
        """The questions, each with its own id."""
        for number, question in enumerate(self.questions, start=1):
            yield (f"{self.id}#{number}" if self.several else self.id), question


@dataclass(frozen=True, slots=True)
class Failure:
    """What has no answer, and why; `id` is None where it cannot be told, or is another row's."""

    line: int
    id: str | None
    error: SharpvError


@dataclass(frozen=True, slots=True)
class Manifest:
    """The rows in their order, those that cannot be used, the fields that are no setting of ours, what else to say."""

    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_manifest(source: str, questions: Sequence[str]) -> Manifest:
    """A file, `-` for stdin, or a folder, of which every video is asked the `questions`.

    In a file, of which the content tells the form, `questions` are those of rows without their own. Raises UsageError
    where nothing can be read, and for what is wrong with all rows.
    """
    if source != "-" and os.path.isdir(source):  # noqa: PTH112 - never raises
        return _folder(Path(source), questions)
    entries, problems = _read(source)
    if problem := _problem_of_all(entries, problems):
        missing = source != "-" and not os.path.lexists(source)
        hint = with_near_name(source, _HINT) if missing else _HINT
        raise UsageError(f"the manifest {shown(source)} cannot be used: {problem}", hint=hint)
    folder = "" if source == "-" else os.path.dirname(source)  # noqa: PTH120 - keeps the name as it was given
    return _checked(entries, problems, folder, questions)


def _read(source: str) -> Table:
    if source != "-":
        path = Path(source)
        return read_table(path, path.parent, ANY_FORM)
    if sys.stdin is None:
        raise UsageError("the manifest was to come from stdin, which is closed", hint=_HINT)
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise too_long("the manifest on stdin", MOST_BYTES)
    return parse_table(content, "stdin", ANY_FORM)


def _problem_of_all(entries: Sequence[Entry], problems: Sequence[Problem]) -> str | None:
    """What is wrong with the file and not with one row, so that it is said once."""
    if problem := next((problem for problem in problems if problem.number is None), None):
        return problem.error
    if not entries and not problems:
        return "it holds no line"
    if not entries:
        return f"no line of it can be read; {problems[0].place} {problems[0].error}"
    if not any("video" in entry.values for entry in entries):
        fields = dict.fromkeys(name for entry in entries for name in entry.values)
        return f"no row has a field 'video', but {', '.join(shown(name) for name in list(fields)[:_MOST_FIELDS])}"
    return None


def _checked(
    entries: Sequence[Entry], problems: Sequence[Problem], folder: str, questions: Sequence[str]
) -> Manifest:
    rows: list[Row] = []
    failures = [_failure(problem.place, problem.number or 1, None, problem.error) for problem in problems]
    unused: dict[str, None] = {}
    for entry in entries:
        try:
            row = _row(entry, folder, questions, unused)
        except EntryError as error:
            failures.append(_failure(entry.place, entry.number, _id_of(entry), str(error)))
        else:
            rows.append(row)
    unique, repeated = _unique(rows)
    named = _named([*failures, *repeated], unique)
    return Manifest(tuple(unique), tuple(named), tuple(unused))


def _row(entry: Entry, folder: str, questions: Sequence[str], unused: dict[str, None]) -> Row:
    values = {name: value for name, value in entry.values.items() if value is not None and value != ""}
    settings = dict(_settings(values, unused))
    several, asked = _questions(entry, values, questions)
    return Row(
        place=entry.place,
        line=entry.number,
        id=entry.label("id") if "id" in values else f"line-{entry.number}",
        video=_video(entry, folder),
        questions=asked,
        several=several,
        settings=settings,
        choices=_listed(entry, values["choices"], "choices") if "choices" in values else (),
    )


def _video(entry: Entry, folder: str) -> str:
    video = entry.text("video")
    if video == "-":
        raise EntryError("field 'video' is '-', and stdin is no video of many")
    return video if _ADDRESS.match(video) else os.path.join(folder, video)  # noqa: PTH118 - as it was given


def _questions(
    entry: Entry, values: Mapping[str, object], questions: Sequence[str]
) -> tuple[bool, tuple[str, ...]]:
    """Whether they came as several, and the questions, stripped."""
    if "questions" in values:
        if "question" in values:
            raise EntryError("fields 'question' and 'questions' exclude each other")
        asked = _listed(entry, values["questions"], "questions")
        return True, tuple(question.strip() for question in asked)
    if "question" not in values and questions:
        return len(questions) > 1, tuple(questions)
    return False, (entry.text("question").strip(),)


def _listed(entry: Entry, value: object, name: str) -> tuple[str, ...]:
    """A list with something in it, or a cell of a CSV that holds one as JSON."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            raise EntryError(f"field '{name}' is a text, not a list of texts") from None
    if not (texts := Entry(entry.place, entry.number, {name: value}).texts(name)):
        raise EntryError(f"field '{name}' is an empty list")
    return texts


def _settings(values: Mapping[str, object], unused: dict[str, None]) -> Iterator[tuple[str, object]]:
    """Fields by flag name. A field that is nearly one is an error: it would silently do nothing."""
    for name, value in values.items():
        flag = name.replace("_", "-") if isinstance(name, str) else ""
        if name in _OWN:
            continue
        if flag in OF_THE_RUN:
            raise EntryError(f"'{flag}' is the same for a whole run: give it as --{flag}")
        if flag in FLAGS:
            yield flag, value
        elif near := difflib.get_close_matches(flag, [*FLAGS, *_OWN], n=1, cutoff=0.8):
            raise EntryError(f"unknown field '{shown(str(name))}': did you mean '{near[0]}'?")
        else:
            unused[str(name)] = None


def _unique(rows: Sequence[Row]) -> tuple[list[Row], list[Failure]]:
    """Of rows with an id that another question has already, the first is asked."""
    first: dict[str, int] = {}
    unique, repeated = [], []
    for row in rows:
        ids = _ids(row)
        if taken := next((id for id in ids if id in first), None):
            error = f"the id '{shown(taken)}' is that of line {first[taken]}"
            repeated.append(_failure(row.place, row.line, None, error))
            continue
        unique.append(row)
        first |= dict.fromkeys(ids, row.line)
    return unique, repeated


def _named(failures: Sequence[Failure], rows: Sequence[Row]) -> list[Failure]:
    """In the manifest's order. One whose id is that of a row or of another one goes by its line alone: of two lines
    with one id in the results, each would take the other's place.
    """
    taken = {id: row.line for row in rows for id in _ids(row)}
    named = []
    for failure in sorted(failures, key=lambda failure: failure.line):
        if failure.id in taken:
            reason = f"{failure.error}; its id '{shown(failure.id)}' is that of line {taken[failure.id]}"
            failure = Failure(failure.line, None, UsageError(reason, hint=failure.error.hint))
        elif failure.id is not None:
            taken[failure.id] = failure.line
        named.append(failure)
    return named


def _ids(row: Row) -> list[str]:
    """Those of its questions, and its own, under which a row that cannot be used is told."""
    return list(dict.fromkeys([row.id, *(id for id, _ in row.asked())]))


def _id_of(entry: Entry) -> str | None:
    try:
        return entry.label("id")
    except EntryError:
        return None


def _failure(place: str, line: int, id: str | None, problem: str) -> Failure:
    return Failure(line, id, UsageError(f"{place}: {problem}", hint=_HINT))


def _folder(folder: Path, questions: Sequence[str]) -> Manifest:
    """Every video below; its id is its path from there on."""
    if not questions:
        raise UsageError(
            f"{shown(folder)} is a folder, and there is no question",
            hint='ask its videos one: -q "what moves?"',
        )
    found = read_folder(folder)
    if not found.videos:
        raise UsageError(
            f"{shown(folder)} holds no video" + "".join(f"; {note}" for note in found.notes),
            hint="name a folder of video files, or a manifest",
        )
    rows = [_file_row(folder, path, line, questions) for line, path in enumerate(found.videos, start=1)]
    return Manifest(tuple(rows), (), notes=found.notes)


def _file_row(folder: Path, path: Path, line: int, questions: Sequence[str]) -> Row:
    id = path.relative_to(folder).as_posix()
    return Row(shown(path), line, id, str(path), tuple(questions), len(questions) > 1, {})


def check_questions(questions: Sequence[str]) -> tuple[str, ...]:
    """The questions of `-q`, stripped. Raises UsageError for one that is empty or no text."""
    try:
        return tuple(checked_text(question, "the question").strip() for question in questions)
    except EntryError as error:
        raise UsageError(str(error), hint='for example: -q "what moves?"') from error
