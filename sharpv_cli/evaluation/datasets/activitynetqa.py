"""ActivityNet-QA (Yu et al. 2019, arXiv 1906.02467): open questions with answers of a word or two.

Files, fields and names of types are those of MILVLG/activitynet-qa (dataset/README.md, evaluation/eval.py); the
prompt is lmms-eval's (lmms_eval/tasks/activitynetqa), as are the names of the videos.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.collecting import (
    ANSWER_SHORTLY,
    SUFFIXES,
    Layout,
    collect,
    find_tables,
    find_video,
    folder_of,
    is_file,
    video_folders,
)
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.tables.entries import Entry, EntryError, Problem
from sharpv_cli.tables.reading import read_table, read_tables
from sharpv_cli.text import shown

_SPLITS = ("test", "val", "validation", "train")
_OWN = [f"{folder}{split}_q.json" for split in _SPLITS for folder in ("dataset/", "")]
_SHARED = [
    f"{folder}{split}-*.parquet" for split in _SPLITS for folder in ("data/", "Generation/", "default/", "")
]
_VIDEOS = ("all_test", "videos", "video", "test", "data")
_TYPES = (
    "Motion",
    "Spatial Relationship",
    "Temporal Relationship",
    "Yes/No",
    "Color",
    "Object",
    "Location",
    "Number",
    "Other",
)


def _find(path: Path) -> list[Path]:
    return find_tables(path, _OWN, _SHARED, "video_name")


def _read(path: Path, files: list[Path]) -> Dataset:
    root = folder_of(path)
    # Last the folder itself: some unpack all videos beside the annotations.
    folders = [*video_folders(root, _VIDEOS), root, root.absolute().parent]
    entries, problems = read_tables(files, root)
    if not files[0].name.endswith("_q.json"):
        return collect("activitynetqa", entries, lambda entry: _item(folders, entry, entry), problems)
    answers, wrong = _answers(files[0], root)
    return collect(
        "activitynetqa",
        entries,
        lambda entry: _item(folders, entry, _of(entry, answers)),
        [*problems, *wrong],
    )


def _answers(questions: Path, root: Path) -> tuple[dict[str, Entry], list[Problem]]:
    """The answers' entries by question. UsageError: there is no file of answers."""
    file = questions.with_name(questions.name.removesuffix("_q.json") + "_a.json")
    if not is_file(file):
        raise UsageError(
            f"'{shown(questions)}' is there, but not its answers, '{shown(file.name)}'",
            hint="put both files of the split into one folder",
        )
    entries, problems = read_table(file, root)
    answers: dict[str, Entry] = {}
    for entry in entries:
        try:
            question = entry.label("question_id")
        except EntryError as error:
            problems.append(Problem(entry.place, str(error)))
            continue
        if question in answers:
            problems.append(Problem(entry.place, f"question {question!r} has an answer already"))
        answers.setdefault(question, entry)
    return answers, problems


def _of(entry: Entry, answers: Mapping[str, Entry]) -> Entry:
    question = entry.label("question_id")
    if question not in answers:
        raise EntryError(f"question {question!r} has no answer in the file of answers")
    return answers[question]


def _item(folders: list[Path], question: Entry, answer: Entry) -> Item:
    name = question.label("video_name")
    names = [f"v_{name}{suffix}" for suffix in SUFFIXES] + [f"{name}{suffix}" for suffix in SUFFIXES]
    return Item(
        id=question.label("question_id"),
        video=find_video(folders, names),
        prompt=f"{question.text('question').strip().capitalize()}? {ANSWER_SHORTLY}",
        answer=answer.label("answer"),
        scoring="text",
        group=_type(answer.label("type")),
    )


def _type(number: str) -> str:
    if number not in tuple("012345678"):
        raise EntryError(f"the type {number!r} is none of 0 to 8")
    return _TYPES[int(number)]


LAYOUT = Layout(
    name="activitynetqa",
    expected="dataset/test_q.json and dataset/test_a.json, videos all_test/v_<video_name>.mp4",
    find=_find,
    read=_read,
)
