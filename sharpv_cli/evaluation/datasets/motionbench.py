"""MotionBench (Hong et al. 2025, arXiv 2501.02955): fine motion in short clips, with options in the question's text.

One line a clip, with its questions in `qa`, as lmms_eval/tasks/motionbench reads it. The test split's answers are not
public ("NA"): its questions are left out, and told once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from sharpv_cli.evaluation.datasets.collecting import (
    SUFFIXES,
    Layout,
    checked_options,
    collect,
    find_tables,
    find_video,
    folder_of,
    lettered,
    video_folders,
)
from sharpv_cli.evaluation.datasets.dataset import LETTERS, Dataset, Item
from sharpv_cli.tables.entries import Entry, EntryError, Problem
from sharpv_cli.tables.reading import read_tables
from sharpv_cli.text import shown

_NAME = "video_info.meta.jsonl"
_VIDEOS = tuple(
    f"{top}{name}"
    for top in ("", "MotionBench/")
    for name in ("public-dataset", "self-collected", "videos", "video")
)
_OPTION = re.compile(r"^\s*([A-Z])[.):]\s*(.+?)\s*$")
_HIDDEN = "NA"
_PROMPT = "{question}\n{options}\nAnswer with only the option letter ({letters})."


def _find(path: Path) -> list[Path]:
    return find_tables(path, [f"{folder}{_NAME}" for folder in ("", "MotionBench/", "data/")], [], "qa")


def _read(path: Path, files: list[Path]) -> Dataset:
    folders = [*video_folders(folder_of(path), _VIDEOS), folder_of(path)]
    rows, problems = read_tables(files, folder_of(path))
    asked: list[Entry] = []
    hidden = 0
    for row in rows:
        for entry in _questions(row):
            is_hidden = str(entry.values.get("answer")).strip().upper() == _HIDDEN
            hidden += is_hidden
            if not is_hidden:
                asked.append(entry)
    told = (
        [Problem(shown(files[0].name), f"the answers of {hidden} questions are not public")] if hidden else []
    )
    return collect("motionbench", asked, partial(_item, folders), [*problems, *told])


def _questions(row: Entry) -> Iterator[Entry]:
    """A row's questions, each with the row's own fields; a row without a list of them is one that is wrong."""
    listed = row.values.get("qa")
    for question in listed if isinstance(listed, list) and listed else [None]:
        own = question if isinstance(question, Mapping) else {}
        yield Entry(row.place, row.number, {**row.values, **own})


def _item(folders: list[Path], entry: Entry) -> Item:
    asked, options = _parts(entry.text("question"))
    answer = entry.label("answer").upper()
    letters = LETTERS[: len(options)]
    if answer not in letters:
        raise EntryError(f"the answer {answer!r} is not the letter of one of {len(options)} options")
    name = Path(entry.label("video_path")).name
    return Item(
        id=entry.label("uid"),
        video=find_video(folders, [name, *(Path(name).stem + suffix for suffix in SUFFIXES)]),
        prompt=_PROMPT.format(question=asked, options=lettered(options), letters=_any_of(letters)),
        answer=answer,
        scoring="letter",
        group=entry.label("question_type"),
        options=options,
    )


def _parts(text: str) -> tuple[str, tuple[str, ...]]:
    """The question, and its options in the order of their letters. EntryError where these are not A, B, C, ..."""
    lines = text.strip().splitlines()
    found = [match for line in lines if (match := _OPTION.match(line))]
    options = checked_options(tuple(match[2] for match in found))
    if [match[1] for match in found] != list(LETTERS[: len(found)]):
        raise EntryError("its options do not have the letters A, B, C and so on")
    return " ".join(" ".join(line for line in lines if not _OPTION.match(line)).split()), options


def _any_of(letters: str) -> str:
    return f"{', '.join(letters[:-1])}, or {letters[-1]}"


LAYOUT = Layout(
    name="motionbench",
    expected=f"{_NAME}, videos in public-dataset/ and self-collected/",
    find=_find,
    read=_read,
)
