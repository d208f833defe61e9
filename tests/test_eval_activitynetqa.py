"""ActivityNet-QA: questions and answers in two files: what is read, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets_on_disk import only, write, write_parquet

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.evaluation.datasets.loading import load

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
