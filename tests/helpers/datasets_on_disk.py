"""Writing benchmarks to disk as their authors distribute them, for tests of the loaders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharpv_cli.evaluation.datasets.dataset import Dataset, Item


def write(path: Path, content: object) -> Path:
    """A file with its folders: bytes and texts as they are, everything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    return path


def lines(*entries: object) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def only(dataset: Dataset) -> Item:
    assert dataset.problems == ()
    (item,) = dataset.items
    return item


def mvbench_entry(**changes: object) -> dict[str, object]:
    entry: dict[str, object] = {
        "video": "ZS9XR.mp4",
        "question": "What happened after the person took the food?",
        "candidates": ["Ate the medicine.", "Tidied up the blanket.", "Took the box."],
        "answer": "Took the box.",
        "start": 11.1,
        "end": 19.6,
    }
    return entry | changes


def videomme_entry(**changes: object) -> dict[str, object]:
    entry: dict[str, object] = {
        "video_id": "001",
        "duration": "short",
        "domain": "Knowledge",
        "sub_category": "Humanity & History",
        "videoID": "fFjv93ACGo8",
        "question_id": "001-1",
        "task_type": "Counting Problem",
        "question": "How many red socks are there?",
        "options": ["A. 1.", "B. 4.", "C. 2.", "D. 3."],
        "answer": "C",
    }
    return entry | changes
