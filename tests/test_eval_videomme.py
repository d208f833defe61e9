"""Video-MME as Parquet and as other tables: what is read, and what is told."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from datasets_on_disk import lines, only, videomme_entry, write, write_parquet

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.evaluation.datasets.loading import load


def check_videomme(dataset: Dataset, video: Path) -> None:
    assert dataset.name == "videomme"
    assert only(dataset) == Item(
        id="001-1",
        video=video,
        prompt="Select the best answer to the following multiple-choice question based on the video. Respond with "
        "only the letter (A, B, C, or D) of the correct option.\nHow many red socks are there?\n"
        "A. 1.\nB. 4.\nC. 2.\nD. 3.\nThe best answer is:",
        answer="C",
        scoring="letter",
        group="short",
        options=("1.", "4.", "2.", "3."),
    )


def test_videomme_as_distributed(tmp_path: Path) -> None:
    write_parquet(tmp_path / "videomme/test-00000-of-00001.parquet", [videomme_entry()])
    video = write(tmp_path / "data/fFjv93ACGo8.mp4", b"")
    check_videomme(load(tmp_path), video)
    check_videomme(load(tmp_path / "videomme"), video)
    check_videomme(load(tmp_path / "videomme/test-00000-of-00001.parquet"), video)


def test_videomme_subtitles_as_distributed(tmp_path: Path) -> None:
    write_parquet(tmp_path / "videomme/test-00000-of-00001.parquet", [videomme_entry()])
    words = write(tmp_path / "subtitle/fFjv93ACGo8.srt", b"")
    assert only(load(tmp_path)).subtitles == words


def test_videomme_as_other_tables(tmp_path: Path) -> None:
    video = tmp_path / "data/fFjv93ACGo8.mp4"
    check_videomme(load(write(tmp_path / "a.jsonl", lines(videomme_entry()))), video)
    check_videomme(load(write(tmp_path / "a.json", [videomme_entry()])), video)
    cells = videomme_entry(options='["A. 1.", "B. 4.", "C. 2.", "D. 3."]')
    quoted = ['"' + str(cell).replace('"', '""') + '"' for cell in cells.values()]
    check_videomme(load(write(tmp_path / "a.csv", ",".join(cells) + "\n" + ",".join(quoted))), video)


def test_videomme_videos_with_other_suffixes(tmp_path: Path) -> None:
    write(tmp_path / "videomme.json", [videomme_entry()])
    video = write(tmp_path / "data/fFjv93ACGo8.mkv", b"")
    check_videomme(load(tmp_path), video)


def test_videomme_questions_on_one_video_stand_together(tmp_path: Path) -> None:
    videos = ("one", "two", "one", "three", "two")
    entries = [videomme_entry(question_id=f"{n}", videoID=video) for n, video in enumerate(videos)]
    dataset = load(write(tmp_path / "videomme.json", entries))
    assert [item.id for item in dataset.items] == ["0", "2", "1", "4", "3"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answer": "E"}, "'E' is not the letter of one of 4 options"),
        ({"answer": ""}, "'answer' is empty"),
        ({"options": "A. 1. B. 2."}, "'options' is a text, not a list of texts"),
        ({"options": '{"A": "1"}'}, "'options' is a text, not a list of texts"),
        ({"options": ["A. 1.", 2]}, "text 2 of 'options' is a number"),
        ({"options": ["A. alone"]}, "has 1 options"),
        ({"question": None}, "no field 'question'"),
        ({"question": " "}, "'question' is empty"),
        ({"question": "\ud800"}, "bytes that are no text"),
        ({"videoID": "a\0b"}, "bytes that are no text"),
        ({"question_id": "001-1"}, "'001-1' is another entry's"),
    ],
)
def test_videomme_broken_entries(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    broken = videomme_entry(question_id="broken") | changes
    entries = [videomme_entry(), broken, videomme_entry(question_id="002-1")]
    dataset = load(write(tmp_path / "videomme.json", entries))
    assert [item.id for item in dataset.items] == ["001-1", "002-1"]
    (problem,) = dataset.problems
    assert problem.place == "videomme.json, entry 2"
    assert words in problem.error


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "videomme/test-00000-of-00001.parquet", b"PAR1")
    importer = importlib.import_module

    def absent(name: str) -> Any:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(f"No module named '{name}'")
        return importer(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(UsageError, match="Parquet") as caught:
        load(tmp_path)
    assert caught.value.hint == "pip install 'sharpv[parquet]'"


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write(tmp_path / "videomme/test-00000-of-00001.parquet", b"no table at all")
    with pytest.raises(UsageError, match="is not Parquet"):
        load(tmp_path)
