"""MVBench (Li et al. 2024, arXiv 2311.17005): 20 tasks of multiple choice on clips of eleven other datasets.

Folders, fields and which tasks have clip bounds are those of the authors' evaluation (OpenGVLab/Ask-Anything,
video_chat2/mvbench.ipynb); folders of cut or converted clips are those of lmms-eval (lmms_eval/tasks/mvbench).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sharpv_cli.evaluation.datasets.collecting import (
    SUFFIXES,
    Layout,
    Placed,
    checked_options,
    dataset_of,
    find_video,
    folder_of,
    is_file,
    lettered,
    make_items,
    video_folders,
)
from sharpv_cli.evaluation.datasets.dataset import LETTERS, Dataset, Item
from sharpv_cli.tables.entries import Entry, EntryError, Problem
from sharpv_cli.tables.reading import read_table
from sharpv_cli.text import shown

_STAR = ("star/Charades_v1_480", "star/Charades_segment")
_CLEVRER = ("clevrer/video_validation",)
_PERCEPTION = ("perception/videos",)
# Below `video/`, the authors' folder first, where missing videos are said to belong.
_FOLDERS: dict[str, tuple[str, ...]] = {
    "action_sequence": _STAR,
    "action_prediction": _STAR,
    "action_antonym": ("ssv2_video", "ssv2_video_mp4"),
    "fine_grained_action": ("Moments_in_Time_Raw/videos",),
    "unexpected_action": ("FunQA_test/test",),
    "object_existence": _CLEVRER,
    "object_interaction": _STAR,
    "object_shuffle": _PERCEPTION,
    "moving_direction": _CLEVRER,
    "action_localization": ("sta/sta_video", "sta/sta_video_segment"),
    "scene_transition": ("scene_qa/video",),
    "action_count": _PERCEPTION,
    "moving_count": _CLEVRER,
    "moving_attribute": _CLEVRER,
    "state_change": _PERCEPTION,
    "fine_grained_pose": ("nturgbd", "nturgbd_convert"),
    "character_order": _PERCEPTION,
    "egocentric_navigation": ("vlnqa",),
    "episodic_reasoning": ("tvqa/frames_fps3_hq", "tvqa/video_fps3_hq_segment"),
    "counterfactual_inference": _CLEVRER,
}
_BOUNDED = {
    "action_sequence",
    "action_prediction",
    "object_interaction",
    "action_localization",
    "episodic_reasoning",
}
_FRAMES = "episodic_reasoning"
# lmms-eval's words, the last line being the authors' own.
_PROMPT = "Question:{question}\nOption:\n{options}\nOnly give the best option.\n"


@dataclass(frozen=True, slots=True)
class _Task:
    """One task: its annotation file and the folders that its videos may lie in."""

    name: str
    file: Path
    folders: list[Path]


def _task_name(file: Path) -> str | None:
    """`object_existence_20250131.json` is a corrected `object_existence.json`."""
    name = re.sub(r"_\d{8}$", "", file.stem)
    return name if name in _FOLDERS and file.suffix == ".json" else None


def _find(path: Path) -> list[Path]:
    """One file a task, a corrected one before the one it corrects, in the order of the tasks' names."""
    if path.is_file():
        return [path] if _task_name(path) else []
    for folder in (path / "json", path):
        found = {name: file for file in sorted(folder.glob("*.json")) if (name := _task_name(file))}
        if found:
            return [found[name] for name in sorted(found)]
    return []


def _read(path: Path, files: list[Path]) -> Dataset:
    root = folder_of(path)
    placed: list[Placed] = []
    problems = _unknown_files(root)
    for file in files:
        task = _task(file, root)
        rows, broken = read_table(file, root)
        rows, frames = _with_videos(task, rows)
        items, refused = make_items(rows, partial(_item, task))
        placed += items
        problems += [*broken, *frames, *refused]
    return dataset_of("mvbench", placed, problems)


def _unknown_files(root: Path) -> list[Problem]:
    """JSON files beside the tasks' that belong to none: a misspelt name would leave a task out silently."""
    others = [file for file in sorted((root / "json").glob("*.json")) if _task_name(file) is None]
    return [Problem(shown(f"json/{file.name}"), "is none of MVBench's 20 tasks") for file in others]


def _task(file: Path, root: Path) -> _Task:
    name = _task_name(file)
    assert name is not None  # `_find` took it
    # The archive data0613 holds folders of the same names with the videos that the others lack.
    below = [f"{top}{folder}" for top in ("", "data0613/") for folder in _FOLDERS[name]]
    return _Task(name, file, video_folders(root, [f"video/{b}" for b in below] + below))


def _item(task: _Task, entry: Entry) -> Item:
    options = checked_options(entry.texts("candidates"))
    answer = entry.text("answer")
    if answer not in options:
        raise EntryError(f"the answer {answer!r} is none of the candidates")
    video = find_video(task.folders, _names(entry.text("video")))
    # lmms-eval's copies in folders of this name are cut already.
    cut = any(part.endswith("_segment") for part in video.parts[:-1])
    start, end = entry.bounds() if task.name in _BOUNDED and not cut else (None, None)
    return Item(
        id=f"{task.name}-{entry.number}",
        video=video,
        prompt=_PROMPT.format(question=entry.text("question"), options=lettered(options, "({}) {}")),
        answer=LETTERS[options.index(answer)],
        scoring="letter",
        group=task.name,
        options=options,
        start_sec=start,
        end_sec=end,
    )


def _names(video: str) -> list[str]:
    """The name as it is, then with the suffixes of copies in another container."""
    stem = video if Path(video).suffix not in SUFFIXES else str(Path(video).with_suffix(""))
    return [video, *(stem + suffix for suffix in SUFFIXES)]


def _with_videos(task: _Task, rows: list[Entry]) -> tuple[list[Entry], list[Problem]]:
    """Entries that have a video, and one problem for those that have a folder of frames instead (TVQA's)."""
    kept = [row for row in rows if task.name != _FRAMES or _has_video(task, row)]
    if len(kept) == len(rows):
        return rows, []
    error = (
        f"{len(rows) - len(kept)} questions of task '{task.name}' are about folders of frames (3 a second), "
        f"which are not read; docs/datasets.md says how to make videos of them"
    )
    return kept, [Problem(shown(f"json/{task.file.name}"), error)]


def _has_video(task: _Task, row: Entry) -> bool:
    name = row.values.get("video")
    # An entry without a name has another problem, which is found when the item is made.
    return not isinstance(name, str) or is_file(find_video(task.folders, _names(name)))


LAYOUT = Layout(
    name="mvbench",
    expected="json/action_antonym.json and the other tasks' files, videos in video/",
    find=_find,
    read=_read,
)
