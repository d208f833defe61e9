"""What all layouts share: where annotations and videos are looked for, lettered options, and items from entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import LETTERS, Dataset, Item
from sharpv_cli.tables.entries import Entry, EntryError, Problem
from sharpv_cli.tables.reading import columns_of
from sharpv_cli.text import shortened, shown

SUFFIXES = (".mp4", ".MP4", ".mkv", ".webm", ".avi")
# LLaVA's instructions for short answers (Liu et al. 2023, arXiv 2310.03744, table 8), which lmms-eval uses as well.
ANSWER_WITH_LETTER = "Answer with the option's letter from the given choices directly."
ANSWER_SHORTLY = "Answer the question using a single word or phrase."


Placed = tuple[str, Item]
"""An item and the place of its entry."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One benchmark's way to lay out its files.

    `expected` says in words which files it has; `find` gives its annotation files in a folder, or whether a single
    file is one (empty: it is another layout); `read` loads them, with the folder or file that the user named.
    """

    name: str
    expected: str
    find: Callable[[Path], list[Path]]
    read: Callable[[Path, list[Path]], Dataset]


def find_tables(path: Path, own: Sequence[str], shared: Sequence[str], column: str) -> list[Path]:
    """Files of the first pattern that fits: `own` by their names alone, `shared` only with a field `column`.

    A single file needs the field as well.
    """
    if path.is_file():
        return [path] if column in columns_of(path) else []
    for pattern in (*own, *shared):
        found = sorted(file for file in path.glob(pattern) if file.is_file())
        if found and (pattern in own or column in columns_of(found[0])):
            return found
    return []


def folder_of(path: Path) -> Path:
    """The folder that the user named, or that the named file lies in."""
    return path if path.is_dir() else path.parent


def video_folders(start: Path, names: Sequence[str]) -> list[Path]:
    """Those of the folders `names` that exist in `start`, or one and two above it; else the first, where it should be.

    Annotations often lie in a folder of their own beside the videos, and that folder may be what the user named.
    """
    bases = [start, *start.absolute().parents[:2]]
    found = [base / name for base in bases for name in names if (base / name).is_dir()]
    return found or [start / names[0]]


def find_video(folders: Sequence[Path], names: Sequence[str]) -> Path:
    """The first file that exists; else where it should be: the first of `names` in the first folder."""
    for folder in folders:
        for name in names:
            if is_file(folder / name):
                return folder / name
    return folders[0] / names[0]


def is_file(path: Path) -> bool:
    """Whether there is such a file; False also for names that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def lettered(options: Sequence[str], form: str = "{}. {}") -> str:
    """One line an option, `A. text` or as `form` says."""
    return "\n".join(form.format(letter, text) for letter, text in zip(LETTERS, options, strict=False))


def checked_options(options: tuple[str, ...]) -> tuple[str, ...]:
    """EntryError unless there are 2 to 26 options."""
    if not 2 <= len(options) <= len(LETTERS):
        raise EntryError(f"has {len(options)} options; 2 to {len(LETTERS)} can be told apart by letters")
    return options


def letter_at(index: int, options: Sequence[str]) -> str:
    """The letter of the option at `index`, from 0. EntryError where there is no such option."""
    if not 0 <= index < len(options):
        raise EntryError(f"the answer is option {index} (from 0) of {len(options)}")
    return LETTERS[index]


def collect(
    name: str, entries: Iterable[Entry], make: Callable[[Entry], Item], problems: Iterable[Problem]
) -> Dataset:
    """`make` of every entry; those that it refuses, and ids that are taken, join `problems`.

    UsageError where no item is left.
    """
    placed, refused = make_items(entries, make)
    return dataset_of(name, placed, [*problems, *refused])


def make_items(entries: Iterable[Entry], make: Callable[[Entry], Item]) -> tuple[list[Placed], list[Problem]]:
    """Items with the places of their entries, and the entries that `make` refuses with an EntryError."""
    placed: list[Placed] = []
    problems: list[Problem] = []
    for entry in entries:
        try:
            placed.append((entry.place, make(entry)))
        except EntryError as error:
            problems.append(Problem(entry.place, shortened(str(error))))
    return placed, problems


def dataset_of(name: str, placed: Iterable[Placed], problems: Iterable[Problem]) -> Dataset:
    """Items with ids of their own, those about one video together. UsageError where there are none."""
    items: dict[str, Item] = {}
    told = list(problems)
    for place, item in placed:
        if item.id in items:
            told.append(Problem(place, f"its id {item.id!r} is another entry's as well"))
        else:
            items[item.id] = item
    if not items:
        raise _nothing_usable(name, told)
    return Dataset(name, _by_video(list(items.values())), tuple(told))


def _by_video(items: list[Item]) -> list[Item]:
    """Items about one video together, videos in the order of their first question: each is decoded once."""
    first: dict[Path, int] = {}
    for index, item in enumerate(items):
        first.setdefault(item.video, index)
    return sorted(items, key=lambda item: first[item.video])


def _nothing_usable(name: str, problems: Sequence[Problem]) -> UsageError:
    if not problems:
        return UsageError(f"no question of '{shown(name)}' could be loaded: there are no entries")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return UsageError(
        shortened(
            f"no question of '{shown(name)}' could be loaded: {problems[0].place} {problems[0].error}{more}"
        ),
        hint="see docs/datasets.md for the files and fields of each layout",
    )
