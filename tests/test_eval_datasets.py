"""Loaders, on small folders laid out as the benchmarks are distributed; expected values are written by hand."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.evaluation.datasets.loading import LAYOUTS, load
from sharpv_cli.tables.entries import Problem

NEXT_HEADER = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
NEXT_ROW = "4010069381,369,640,480,how do they play,{answer},{qid},{type},roll,tap,strum the string,hit,pat"


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


# MVBench


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


def test_mvbench(tmp_path: Path) -> None:
    write(tmp_path / "json/action_sequence.json", [mvbench_entry()])
    video = write(tmp_path / "video/star/Charades_v1_480/ZS9XR.mp4", b"")
    dataset = load(tmp_path)
    assert dataset.name == "mvbench"
    assert only(dataset) == Item(
        id="action_sequence-1",
        video=video,
        prompt="Question:What happened after the person took the food?\nOption:\n(A) Ate the medicine.\n"
        "(B) Tidied up the blanket.\n(C) Took the box.\nOnly give the best option.\n",
        answer="C",
        scoring="letter",
        group="action_sequence",
        options=("Ate the medicine.", "Tidied up the blanket.", "Took the box."),
        start_sec=11.1,
        end_sec=19.6,
    )


@pytest.mark.parametrize(
    ("task", "folder"),
    [
        ("action_prediction", "star/Charades_v1_480"),
        ("action_antonym", "ssv2_video"),
        ("fine_grained_action", "Moments_in_Time_Raw/videos"),
        ("unexpected_action", "FunQA_test/test"),
        ("object_existence", "clevrer/video_validation"),
        ("object_interaction", "star/Charades_v1_480"),
        ("object_shuffle", "perception/videos"),
        ("moving_direction", "clevrer/video_validation"),
        ("action_localization", "sta/sta_video"),
        ("scene_transition", "scene_qa/video"),
        ("action_count", "perception/videos"),
        ("moving_count", "clevrer/video_validation"),
        ("moving_attribute", "clevrer/video_validation"),
        ("state_change", "perception/videos"),
        ("fine_grained_pose", "nturgbd"),
        ("character_order", "perception/videos"),
        ("egocentric_navigation", "vlnqa"),
        ("counterfactual_inference", "clevrer/video_validation"),
        ("action_count", "data0613/perception/videos"),
    ],
)
def test_mvbench_tasks_have_their_folders(tmp_path: Path, task: str, folder: str) -> None:
    write(tmp_path / f"json/{task}.json", [mvbench_entry()])
    video = write(tmp_path / f"video/{folder}/ZS9XR.mp4", b"")
    assert only(load(tmp_path)).video == video


def test_mvbench_missing_videos_are_where_they_should_be(tmp_path: Path) -> None:
    write(tmp_path / "json/action_antonym.json", [mvbench_entry(video="166583.webm")])
    assert only(load(tmp_path)).video == tmp_path / "video/ssv2_video/166583.webm"


def test_mvbench_only_tasks_with_bounds_have_bounds(tmp_path: Path) -> None:
    write(tmp_path / "json/action_count.json", [mvbench_entry()])
    item = only(load(tmp_path))
    assert (item.start_sec, item.end_sec) == (None, None)


def test_mvbench_cut_copies_have_no_bounds(tmp_path: Path) -> None:
    write(tmp_path / "json/action_localization.json", [mvbench_entry()])
    video = write(tmp_path / "sta/sta_video_segment/ZS9XR.mp4", b"")
    item = only(load(tmp_path))
    assert (item.video, item.start_sec, item.end_sec) == (video, None, None)


def test_mvbench_clips_in_another_container(tmp_path: Path) -> None:
    write(tmp_path / "json/action_antonym.json", [mvbench_entry(video="166583.mp4")])
    video = write(tmp_path / "video/ssv2_video/166583.webm", b"")
    assert only(load(tmp_path)).video == video


def test_mvbench_folders_of_frames_are_told_by_the_tasks_name(tmp_path: Path) -> None:
    entries = [mvbench_entry(video=f"castle_s07e24_seg02_clip_{n}") for n in (18, 19, 20)]
    write(tmp_path / "json/episodic_reasoning.json", entries)
    write(tmp_path / "json/action_count.json", [mvbench_entry()])
    write(tmp_path / "video/tvqa/frames_fps3_hq/castle_s07e24_seg02_clip_18/00001.jpg", b"")
    made = write(tmp_path / "video/tvqa/frames_fps3_hq/castle_s07e24_seg02_clip_20.mp4", b"")
    dataset = load(tmp_path)
    assert [item.id for item in dataset.items] == ["action_count-1", "episodic_reasoning-3"]
    assert (dataset.items[1].video, dataset.items[1].start_sec) == (made, 11.1)
    (problem,) = dataset.problems
    assert problem.place == "json/episodic_reasoning.json"
    assert "2 questions" in problem.error and "'episodic_reasoning'" in problem.error


def test_mvbench_a_corrected_file_replaces_the_first(tmp_path: Path) -> None:
    write(tmp_path / "json/object_existence.json", [mvbench_entry(), mvbench_entry()])
    write(tmp_path / "json/object_existence_20250131.json", [mvbench_entry(answer="Ate the medicine.")])
    item = only(load(tmp_path))
    assert (item.id, item.answer) == ("object_existence-1", "A")


def test_mvbench_ids_stay_when_an_entry_is_broken(tmp_path: Path) -> None:
    entries = [mvbench_entry(answer="Slept."), "text", mvbench_entry(start=9, end=9), mvbench_entry()]
    write(tmp_path / "json/action_sequence.json", entries)
    write(tmp_path / "json/action_squence.json", [])
    write(tmp_path / "json/state_change.json", '[{"video": "a.mp4",')
    dataset = load(tmp_path)
    assert [item.id for item in dataset.items] == ["action_sequence-4"]
    assert {problem.place for problem in dataset.problems} == {
        "json/action_sequence.json, entry 1",
        "json/action_sequence.json, entry 2",
        "json/action_sequence.json, entry 3",
        "json/action_squence.json",
        "json/state_change.json",
    }


def test_mvbench_one_task_by_its_file(tmp_path: Path) -> None:
    write(tmp_path / "json/action_count.json", [mvbench_entry()])
    file = write(tmp_path / "json/moving_count.json", [mvbench_entry()])
    video = write(tmp_path / "video/clevrer/video_validation/ZS9XR.mp4", b"")
    item = only(load(file))
    assert (item.group, item.video) == ("moving_count", video)


# Video-MME


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


# NExT-QA


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


# ActivityNet-QA

QUESTION = {
    "video_name": "1QIUV7WYKXg",
    "question": "is the athlete Wearing trousers ",
    "question_id": "v_1_3",
}
ANSWER = {"answer": "no", "type": 3, "question_id": "v_1_3"}


def check_activitynetqa(dataset: Dataset, video: Path) -> None:
    assert dataset.name == "activitynetqa"
    assert only(dataset) == Item(
        id="v_1_3",
        video=video,
        prompt="Is the athlete wearing trousers? Answer the question using a single word or phrase.",
        answer="no",
        scoring="text",
        group="Yes/No",
    )


@pytest.mark.parametrize("folder", ["dataset", "."])
@pytest.mark.parametrize(
    "video", ["all_test/v_1QIUV7WYKXg.mp4", "videos/v_1QIUV7WYKXg.webm", "v_1QIUV7WYKXg.mkv"]
)
def test_activitynetqa(tmp_path: Path, folder: str, video: str) -> None:
    write(tmp_path / folder / "test_q.json", [QUESTION])
    write(tmp_path / folder / "test_a.json", [ANSWER])
    path = write(tmp_path / video, b"")
    check_activitynetqa(load(tmp_path), path)
    check_activitynetqa(load(tmp_path / folder / "test_q.json"), path)


def test_activitynetqa_missing_video(tmp_path: Path) -> None:
    write(tmp_path / "dataset/val_q.json", [QUESTION])
    write(tmp_path / "dataset/val_a.json", [ANSWER])
    check_activitynetqa(load(tmp_path), tmp_path / "all_test/v_1QIUV7WYKXg.mp4")


@pytest.mark.parametrize("folder", ["data", "Generation", "."])
def test_activitynetqa_parquet(tmp_path: Path, folder: str) -> None:
    write_parquet(tmp_path / folder / "test-00000-of-00001.parquet", [QUESTION | ANSWER | {"type": "3"}])
    video = write(tmp_path / "all_test/v_1QIUV7WYKXg.mp4", b"")
    check_activitynetqa(load(tmp_path), video)


def test_activitynetqa_broken_entries(tmp_path: Path) -> None:
    questions = [QUESTION, QUESTION | {"question_id": "none"}, QUESTION | {"question_id": "odd"}, {}]
    answers = [
        ANSWER,
        ANSWER | {"answer": "yes"},
        ANSWER | {"question_id": "odd", "type": 9},
        {"answer": "x"},
    ]
    write(tmp_path / "test_q.json", questions)
    write(tmp_path / "test_a.json", answers)
    dataset = load(tmp_path)
    assert [item.answer for item in dataset.items] == ["no"]
    assert sorted(problem.place for problem in dataset.problems) == [
        "test_a.json, entry 2",
        "test_a.json, entry 4",
        "test_q.json, entry 2",
        "test_q.json, entry 3",
        "test_q.json, entry 4",
    ]


def test_activitynetqa_without_answers(tmp_path: Path) -> None:
    write(tmp_path / "dataset/test_q.json", [QUESTION])
    with pytest.raises(UsageError, match=r"test_a\.json"):
        load(tmp_path)


# JSON lines


def test_jsonl(tmp_path: Path) -> None:
    file = write(
        tmp_path / "mine.jsonl",
        lines(
            {"video": "a/b.mp4", "question": "What is it? ", "answer": "dog", "start": 1, "end": 2.5},
            {"video": "/c.mp4", "question": "Which?", "options": ["dog", "cat"], "answer": "cat", "id": 7},
            {"video": "a/b.mp4", "question": "How many?", "answer": 2, "group": "count", "options": None},
        ),
    )
    first = Item(
        id="line-1",
        video=tmp_path / "a/b.mp4",
        prompt="What is it?",
        answer="dog",
        scoring="text",
        group="all",
        start_sec=1.0,
        end_sec=2.5,
    )
    third = Item(
        id="line-3",
        video=tmp_path / "a/b.mp4",
        prompt="How many?",
        answer="2",
        scoring="text",
        group="count",
    )
    second = Item(
        id="7",
        video=Path("/c.mp4"),
        prompt="Which?\nA. dog\nB. cat\nAnswer with the option's letter from the given choices directly.",
        answer="B",
        scoring="letter",
        group="all",
        options=("dog", "cat"),
    )
    for path in (file, tmp_path):
        dataset = load(path)
        assert (dataset.name, dataset.problems) == ("mine", ())
        assert list(dataset.items) == [first, third, second]


@pytest.mark.parametrize(
    ("options", "answer", "letter"),
    [
        (["dog", "cat", "cow"], "cat", "B"),
        (["dog", "cat", "cow"], "C", "C"),
        (["dog", "cat", "cow"], "(C)", "C"),
        (["dog", "cat", "cow"], "C.", "C"),
        (["dog", "cat", "cow"], 0, "A"),
        (["A", "B"], "B", "B"),
        (["1", "0"], "0", "B"),
    ],
)
def test_jsonl_answers_by_text_letter_and_index(
    tmp_path: Path, options: list[str], answer: object, letter: str
) -> None:
    entry = {"video": "a.mp4", "question": "?", "options": options, "answer": answer}
    assert only(load(write(tmp_path / "a.jsonl", lines(entry)))).answer == letter


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (b'{"video": ', "is not JSON"),
        (b"[" * 100_000, "is not JSON: nested too deep"),
        (b'["a.mp4"]', "not an object"),
        (b'{"video": "\xff"}', "is not JSON"),
        ({"video": None}, "no field 'video'"),
        ({"video": 3}, "'video' is a number, not a text"),
        ({"video": "https://example.org/a.mp4"}, "an address"),
        ({"question": ["why"]}, "'question' is a list, not a text"),
        ({"answer": None}, "no field 'answer'"),
        ({"answer": True}, "'answer' is true or false, not a text"),
        ({"answer": {"text": "dog"}}, "'answer' is an object, not a text"),
        ({"choices": ["dog", "cat"]}, "'choices' is called 'options'"),
        ({"options": "dog, cat"}, "'options' is a text, not a list of texts"),
        ({"options": ["dog", "dog"], "answer": "dog"}, "two options are the same"),
        ({"options": ["dog", "cat"], "answer": "cow"}, "'cow' is none of the options"),
        ({"options": ["dog", "cat"], "answer": "C"}, "option 2 (from 0) of 2"),
        ({"options": ["dog", "cat"], "answer": 2}, "option 2 (from 0) of 2"),
        ({"options": ["dog", "cat"], "answer": -1}, "option -1"),
        ({"options": ["B", "A"], "answer": "A"}, "one option's text and another one's letter"),
        ({"options": ["1", "0"], "answer": 0}, "one option's text and another one's letter"),
        ({"options": [f"option {n}" for n in range(27)], "answer": 0}, "has 27 options"),
        ({"start": "1"}, "'start' is a text, not a number"),
        ({"start": True}, "'start' is true or false"),
        ({"start": -1}, "'start' is -1, not a time"),
        (b'{"video": "a", "question": "b", "answer": "c", "end": NaN}', "'end' is nan"),
        (b'{"video": "a", "question": "b", "answer": "c", "start": 1e999}', "'start' is inf"),
        ({"start": 3, "end": 3}, "from 3 to 3 s has no length"),
        ({"end": 0}, "from 0 to 0 s has no length"),
        ({"id": ""}, "'id' is empty"),
        ({"id": "taken"}, "'taken'"),
    ],
)
def test_jsonl_broken_lines(tmp_path: Path, entry: bytes | dict[str, object], words: str) -> None:
    good = {"video": "a.mp4", "question": "What?", "answer": "dog"}
    line = entry if isinstance(entry, bytes) else json.dumps(good | entry).encode()
    first, last = (json.dumps(good | {"id": name}).encode() for name in ("taken", "last"))
    file = write(tmp_path / "a.jsonl", b"\n".join([b"\xef\xbb\xbf" + first, b"", line + b"\r", last]))
    dataset = load(file)
    assert [item.id for item in dataset.items] == ["taken", "last"]
    (problem,) = dataset.problems
    assert problem.place == "a.jsonl:3"
    assert words in problem.error


# Which layout


def test_the_layouts_names() -> None:
    assert LAYOUTS == ("mvbench", "videomme", "nextqa", "activitynetqa", "jsonl")


def test_a_layout_can_be_forced(tmp_path: Path) -> None:
    both = videomme_entry() | {"video": "a.mp4"}
    file = write(tmp_path / "a.jsonl", lines(both))
    assert load(file).name == "videomme"
    assert only(load(file, "videomme")).scoring == "letter"
    dataset = load(file, "jsonl")
    assert (dataset.name, only(dataset).video) == ("a", tmp_path / "a.mp4")
    with pytest.raises(UsageError, match="open-ended"):
        load(file, "nextqa")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_forced_layout_that_is_not_there(tmp_path: Path, layout: str) -> None:
    write(tmp_path / "notes.txt", "x")
    with pytest.raises(UsageError, match=f"layout '{layout}': it holds notes.txt") as caught:
        load(tmp_path, layout)
    assert caught.value.hint is not None and caught.value.hint.startswith("expected: ")


def test_no_known_layout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the folder is empty"):
        load(tmp_path)
    for n in range(10):
        write(tmp_path / f"{n}.mp4", b"")
    (tmp_path / "0a").mkdir()
    with pytest.raises(UsageError, match=r"it holds 0\.mp4, 0a/, .* and 3 more") as caught:
        load(tmp_path)
    assert caught.value.hint is not None
    assert all(f"{layout}: " in caught.value.hint for layout in LAYOUTS)


def test_other_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file or folder '.*nowhere'"):
        load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no dataset layout 'msvd'"):
        load(tmp_path, "msvd")
    with pytest.raises(UsageError, match=r"a file of type '\.mp4'"):
        load(write(tmp_path / "a.mp4", b""))
    with pytest.raises(UsageError, match="there are no entries"):
        load(write(tmp_path / "a.jsonl", "\n"))
    with pytest.raises(UsageError, match=r"a\.jsonl:1 is not JSON.*\(and 1 more\)"):
        load(write(tmp_path / "a.jsonl", "x\ny\n"))
    write(tmp_path / "b.jsonl", "")
    with pytest.raises(UsageError, match=r"2 \.jsonl files: a\.jsonl, b\.jsonl"):
        load(tmp_path)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "json/action_count.json", [mvbench_entry()])
    write(tmp_path / "json/state_change.json", [mvbench_entry()])
    reader = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "state_change.json":
            raise PermissionError(13, "Permission denied")
        return reader(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    dataset = load(tmp_path)
    assert dataset.problems == (Problem("json/state_change.json", "cannot be read: Permission denied"),)
    assert len(dataset.items) == 1


def test_names_of_files_are_safe_to_print(tmp_path: Path) -> None:
    write(tmp_path / "\x1b[31m.mp4", b"")
    with pytest.raises(UsageError) as caught:
        load(tmp_path)
    assert "\x1b" not in str(caught.value)


def test_loading_twice_gives_the_same(tmp_path: Path) -> None:
    for task in ("state_change", "action_count", "moving_count"):
        write(tmp_path / f"json/{task}.json", [mvbench_entry(video=f"{n % 2}.mp4") for n in range(4)])
    first, second = load(tmp_path), load(tmp_path)
    assert first == second
    assert len({item.id for item in first.items}) == 12


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, sharpv_cli.evaluation.datasets.loading, sharpv_cli.evaluation.scoring;"
        "print(sorted({'torch', 'transformers', 'av', 'pyarrow'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
