"""Video-MME (Fu et al. 2024, arXiv 2405.21075): four options, videos of 11 seconds to an hour, and their subtitles.

Files and fields are those of the distributed table (as lmms_eval/tasks/videomme/utils.py reads it); the prompt is the
authors', before which `pipeline.spoken` puts subtitles where they are wanted. lmms-eval asks with "the video and the
subtitles" even where it shows none.
"""

from __future__ import annotations

import re
from pathlib import Path

from sharpv_cli.evaluation.datasets.collecting import (
    SUFFIXES,
    Layout,
    checked_options,
    collect,
    find_tables,
    find_video,
    folder_of,
    is_file,
    video_folders,
)
from sharpv_cli.evaluation.datasets.dataset import LETTERS, Dataset, Item
from sharpv_cli.tables.entries import Entry, EntryError, checked_text
from sharpv_cli.tables.objects import parse_json
from sharpv_cli.tables.reading import read_tables

_TYPES = ("parquet", "jsonl", "json", "csv")
_OWN = [
    *(f"videomme/test*.{type}" for type in _TYPES),
    *(f"{name}.{type}" for name in ("videomme", "video_mme") for type in _TYPES),
]
_SHARED = [f"test*.{type}" for type in _TYPES]
_SUBTITLES = ("subtitle", "subtitles")
_VIDEOS = ("data", "video", "videos")
_PROMPT = (
    "Select the best answer to the following multiple-choice question based on the video. "
    "Respond with only the letter (A, B, C, or D) of the correct option.\n{question}\n{options}\nThe best answer is:"
)


def _find(path: Path) -> list[Path]:
    return find_tables(path, _OWN, _SHARED, "videoID")


def _read(path: Path, files: list[Path]) -> Dataset:
    folders = video_folders(folder_of(path), _VIDEOS)
    words = video_folders(folder_of(path), _SUBTITLES)
    entries, problems = read_tables(files, folder_of(path))
    return collect("videomme", entries, lambda entry: _item(folders, words, entry), problems)


def _item(folders: list[Path], words: list[Path], entry: Entry) -> Item:
    written = checked_options(_options(entry))
    options = tuple(_without_letter(text, letter) for text, letter in zip(written, LETTERS, strict=False))
    answer = entry.label("answer").upper()
    if answer not in LETTERS[: len(options)]:
        raise EntryError(f"the answer {answer!r} is not the letter of one of {len(options)} options")
    name = entry.label("videoID")
    subtitles = find_video(words, [f"{name}.srt"])
    return Item(
        id=entry.label("question_id"),
        video=find_video(folders, [name + suffix for suffix in SUFFIXES]),
        prompt=_PROMPT.format(question=entry.text("question").strip(), options="\n".join(written)),
        answer=answer,
        scoring="letter",
        group=entry.label("duration"),
        options=options,
        subtitles=subtitles if is_file(subtitles) else None,
    )


def _options(entry: Entry) -> tuple[str, ...]:
    """The options with their letters, as they are printed. In CSV they are one cell, a JSON list."""
    cell = entry.values.get("options")
    if not isinstance(cell, str):
        return entry.texts("options")
    try:
        texts = parse_json(cell)
    except ValueError:
        texts = None
    if not isinstance(texts, list):
        raise EntryError("field 'options' is a text, not a list of texts (in CSV: one JSON list in the cell)")
    return tuple(checked_text(text, f"text {n} of 'options'") for n, text in enumerate(texts, 1))


def _without_letter(option: str, letter: str) -> str:
    """`A. A red car.` is option A, `A red car.`."""
    return re.sub(rf"^\s*{letter}[.):]\s*", "", option)


LAYOUT = Layout(
    name="videomme",
    expected="videomme/test-00000-of-00001.parquet, videos data/<videoID>.mp4",
    find=_find,
    read=_read,
)
