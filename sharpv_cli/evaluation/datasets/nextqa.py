"""NExT-QA, multiple choice (Xiao et al. 2021, arXiv 2105.08276): five options on causes, times and descriptions.

Files and fields are those of doc-doc/NExT-QA and of the table that lmms-eval reads (lmms_eval/tasks/nextqa), whose
wording of question and options is used. lmms-eval gives no instruction; here the model is asked for the letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.collecting import (
    ANSWER_WITH_LETTER,
    SUFFIXES,
    Layout,
    collect,
    find_tables,
    find_video,
    folder_of,
    is_file,
    letter_at,
    lettered,
    video_folders,
)
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.tables.entries import Entry, EntryError, Problem, checked_text
from sharpv_cli.tables.objects import parse_json
from sharpv_cli.tables.reading import read_tables
from sharpv_cli.text import shown

_SPLITS = ("test", "val", "validation", "train")
_OWN = [
    pattern
    for split in _SPLITS
    for pattern in (f"dataset/nextqa/{split}.csv", f"nextqa/{split}.csv", f"MC/{split}-*.parquet")
]
_SHARED = [pattern for split in _SPLITS for pattern in (f"{split}.csv", f"{split}-*.parquet")]
_VIDEOS = ("NExTVideo", "videos/NExTVideo", "videos", "video")
_MAP = "map_vid_vidorID.json"


@dataclass(frozen=True, slots=True)
class _Videos:
    """The folders of the videos, and VidOR's path (`1164/3238737531`) of each id where the map is there."""

    folders: list[Path]
    paths: Mapping[str, object]

    def find(self, video: str) -> Path:
        """EntryError where the map holds something else than a path."""
        names = [checked_text(self.paths[video], f"{_MAP}'s path")] if video in self.paths else []
        names.append(video)
        return find_video(self.folders, [name + suffix for name in names for suffix in SUFFIXES])


def _find(path: Path) -> list[Path]:
    return find_tables(path, _OWN, _SHARED, "a0")


def _read(path: Path, files: list[Path]) -> Dataset:
    root = folder_of(path)
    entries, problems = read_tables(files, root)
    if entries and "a0" not in entries[0].values:
        raise UsageError(
            f"'{shown(files[0])}' has no options: NExT-QA's open-ended questions (NExT-OE) are not supported",
            hint="use the multiple-choice files of NExT-QA, with the columns a0 to a4",
        )
    paths, wrong = _vidor_paths([files[0].parent, root])
    videos = _Videos(video_folders(root, _VIDEOS), paths)
    return collect("nextqa", entries, lambda entry: _item(videos, entry), [*problems, *wrong])


def _vidor_paths(folders: list[Path]) -> tuple[dict[str, object], list[Problem]]:
    """The map beside the annotations; without it videos are looked for by their ids."""
    file = next((folder / _MAP for folder in folders if is_file(folder / _MAP)), None)
    if file is None:
        return {}, []
    try:
        pairs = parse_json(file.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        return {}, [Problem(_MAP, f"is not JSON: {error}")]
    if not isinstance(pairs, dict):
        return {}, [Problem(_MAP, "is not an object of ids and paths")]
    return pairs, []


def _item(videos: _Videos, entry: Entry) -> Item:
    options = tuple(entry.text(f"a{i}").strip() for i in range(5))
    video, type = entry.label("video"), entry.label("type")
    return Item(
        id=f"{video}_{entry.label('qid')}",
        video=videos.find(video),
        prompt=f"{entry.text('question').strip()}\n{lettered(options)}\n{ANSWER_WITH_LETTER}",
        answer=letter_at(_index(entry.label("answer")), options),
        scoring="letter",
        # The authors' evaluation (eval_mc.py) counts "previous" among "next".
        group="TN" if type == "TP" else type,
        options=options,
    )


def _index(answer: str) -> int:
    # Only these five: int() would also take "٣", and very long digits are an error of its own.
    if answer not in ("0", "1", "2", "3", "4"):
        raise EntryError(f"the answer {answer!r} is not an option's index, 0 to 4")
    return int(answer)


LAYOUT = Layout(
    name="nextqa",
    expected="nextqa/test.csv (or dataset/nextqa/, or MC/test-00000-of-00001.parquet), videos in NExTVideo/",
    find=_find,
    read=_read,
)
