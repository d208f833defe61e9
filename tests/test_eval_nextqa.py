"""NExT-QA by its map of videos and by id: what is read, and what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets_on_disk import only, write, write_parquet

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.evaluation.datasets.loading import load

NEXT_HEADER = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
NEXT_ROW = "4010069381,369,640,480,how do they play,{answer},{qid},{type},roll,tap,strum the string,hit,pat"


def check_nextqa(dataset: Dataset, video: Path) -> None:
    assert dataset.name == "nextqa"
    assert only(dataset) == Item(
        id="4010069381_6",
        video=video,
        prompt="how do they play\nA. roll\nB. tap\nC. strum the string\nD. hit\nE. pat\n"
        "Answer with the option's letter from the given choices directly.",
        answer="C",
        scoring="letter",
        group="CH",
        options=("roll", "tap", "strum the string", "hit", "pat"),
    )


@pytest.mark.parametrize("folder", ["nextqa", "dataset/nextqa", "."])
def test_nextqa_with_the_map(tmp_path: Path, folder: str) -> None:
    row = NEXT_ROW.format(answer=2, qid=6, type="CH")
    write(tmp_path / folder / "val.csv", f"{NEXT_HEADER}\n{row}\n")
    write(tmp_path / folder / "map_vid_vidorID.json", {"4010069381": "1164/4010069381"})
    video = write(tmp_path / "NExTVideo/1164/4010069381.mp4", b"")
    check_nextqa(load(tmp_path), video)
    check_nextqa(load(tmp_path / folder), video)
    check_nextqa(load(tmp_path / folder / "val.csv"), video)


@pytest.mark.parametrize("folder", ["NExTVideo", "videos", "videos/NExTVideo"])
def test_nextqa_by_id(tmp_path: Path, folder: str) -> None:
    row = NEXT_ROW.format(answer=2, qid=6, type="CH")
    write(tmp_path / "nextqa/test.csv", f"{NEXT_HEADER}\n{row}\n")
    video = write(tmp_path / folder / "4010069381.mp4", b"")
    check_nextqa(load(tmp_path), video)


def test_nextqa_missing_video(tmp_path: Path) -> None:
    row = NEXT_ROW.format(answer=2, qid=6, type="CH")
    write(tmp_path / "nextqa/test.csv", f"{NEXT_HEADER}\n{row}\n")
    check_nextqa(load(tmp_path), tmp_path / "NExTVideo/4010069381.mp4")


def test_nextqa_parquet(tmp_path: Path) -> None:
    values = NEXT_ROW.format(answer=2, qid=6, type="CH").split(",")
    row: dict[str, Any] = dict(zip(NEXT_HEADER.split(","), values, strict=True))
    row |= {"answer": 2, "video": 4010069381, "qid": 6}
    write_parquet(tmp_path / "MC/test-00000-of-00001.parquet", [row])
    write_parquet(tmp_path / "OE/test-00000-of-00001.parquet", [{"video": "1", "answer": "dog"}])
    video = write(tmp_path / "videos/4010069381.mp4", b"")
    check_nextqa(load(tmp_path), video)


def test_nextqa_prefers_test_then_val_then_train(tmp_path: Path) -> None:
    for qid, split in enumerate(("train", "val", "test")):
        row = NEXT_ROW.format(answer=0, qid=qid, type="CW")
        write(tmp_path / f"nextqa/{split}.csv", f"{NEXT_HEADER}\n{row}\n")
    assert only(load(tmp_path)).id == "4010069381_2"
    (tmp_path / "nextqa/test.csv").unlink()
    assert only(load(tmp_path)).id == "4010069381_1"


def test_nextqa_previous_counts_as_next(tmp_path: Path) -> None:
    row = NEXT_ROW.format(answer=4, qid=1, type="TP")
    write(tmp_path / "nextqa/test.csv", f"{NEXT_HEADER}\n{row}\n")
    item = only(load(tmp_path))
    assert (item.group, item.answer) == ("TN", "E")


def test_nextqa_broken_lines(tmp_path: Path) -> None:
    rows = [
        NEXT_ROW.format(answer=5, qid=1, type="CW"),
        NEXT_ROW.format(answer="two", qid=2, type="CW"),
        NEXT_ROW.format(answer=1, qid=3, type="CW").removesuffix(",pat"),
        NEXT_ROW.format(answer=1, qid=4, type="CW"),
        NEXT_ROW.format(answer=1, qid=4, type="CW"),
        NEXT_ROW.format(answer=1, qid=5, type="CW").replace("roll", '"roll" x'),
        NEXT_ROW.format(answer=1, qid=6, type="CW").replace("roll", '"roll, or not"'),
    ]
    data = "\n".join([NEXT_HEADER, *rows]).encode() + b"\n" + rows[3].encode().replace(b"roll", b"r\xffll")
    data += b"\n" + rows[0].encode().replace(b"roll", b'"roll')
    write(tmp_path / "nextqa/test.csv", data)
    dataset = load(tmp_path)
    assert [item.id for item in dataset.items] == ["4010069381_4", "4010069381_6"]
    assert dataset.items[1].options[0] == "roll, or not"
    told = {problem.place.removeprefix("nextqa/test.csv:"): problem.error for problem in dataset.problems}
    assert sorted(told) == ["10", "2", "3", "4", "6", "7", "9"]
    assert "12 fields, the header 13" in told["4"]
    assert "not CSV" in told["7"] and "not CSV" in told["10"]
    assert "\\udcff" in told["9"]


def test_nextqa_a_broken_map_is_told(tmp_path: Path) -> None:
    row = NEXT_ROW.format(answer=2, qid=6, type="CH")
    write(tmp_path / "nextqa/test.csv", f"{NEXT_HEADER}\n{row}\n")
    file = write(tmp_path / "nextqa/map_vid_vidorID.json", "[1]")
    dataset = load(tmp_path)
    assert [problem.place for problem in dataset.problems] == [file.name]
    assert len(dataset.items) == 1


@pytest.mark.parametrize(
    ("path", "words"), [(7, "a number, not a text"), ("\ud800", "no text"), ("", "empty")]
)
def test_nextqa_a_map_with_a_wrong_path(tmp_path: Path, path: object, words: str) -> None:
    rows = [NEXT_ROW.format(answer=2, qid=qid, type="CH") for qid in (6, 7)]
    rows[1] = rows[1].replace("4010069381", "1")
    write(tmp_path / "nextqa/test.csv", "\n".join([NEXT_HEADER, *rows]))
    write(tmp_path / "nextqa/map_vid_vidorID.json", {"4010069381": path, "1": "2/1"})
    dataset = load(tmp_path)
    assert [item.video for item in dataset.items] == [tmp_path / "NExTVideo/2/1.mp4"]
    assert [problem.place for problem in dataset.problems] == ["nextqa/test.csv:2"]
    assert words in dataset.problems[0].error


def test_nextqa_open_ended_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "dataset/nextqa/test.csv", "video,question,answer,qid,type\n1,why,dog,1,CW\n")
    with pytest.raises(UsageError, match="open-ended"):
        load(tmp_path)
