"""MotionBench as it is distributed: what is read, and what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets_on_disk import lines, write

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.evaluation.datasets.loading import load

NAME = "video_info.meta.jsonl"
QUESTION = "What does the man do\nwith his left hand?\nA. Waves it twice.\nB. Lifts a cup.\nC. Nothing."


def row(*qa: dict[str, Any], **changed: Any) -> dict[str, Any]:
    first = {"uid": "u-1", "question": QUESTION, "answer": "B"}
    return {
        "key": "k1",
        "video_path": "clip one.mp4",
        "video_type": "self-collected",
        "question_type": "Motion Recognition",
        "qa": list(qa) or [first],
        **changed,
    }


@pytest.mark.parametrize(
    "folder", ["self-collected", "public-dataset", "videos", "MotionBench/self-collected", "."]
)
def test_as_distributed(folder: str, tmp_path: Path) -> None:
    write(tmp_path / NAME, lines(row()))
    video = write(tmp_path / folder / "clip one.mp4", b"")
    dataset = load(tmp_path)
    assert dataset.name == "motionbench"
    assert dataset.items[0] == Item(
        id="u-1",
        video=video,
        prompt="What does the man do with his left hand?\nA. Waves it twice.\nB. Lifts a cup.\nC. Nothing.\n"
        "Answer with only the option letter (A, B, or C).",
        answer="B",
        scoring="letter",
        group="Motion Recognition",
        options=("Waves it twice.", "Lifts a cup.", "Nothing."),
    )
    assert load(tmp_path / NAME).items == dataset.items


def test_every_question_of_a_clip_and_none_without_an_answer(tmp_path: Path) -> None:
    """The test split's answers are hidden: how many is told once, and the others are asked."""
    other = {"uid": "u-2", "question": "How often?\nA: Once\nB: Twice", "answer": "a"}
    hidden = {"uid": "u-3", "question": "How often?\nA: Once\nB: Twice", "answer": "NA"}
    write(tmp_path / NAME, lines(row(other, hidden), row(hidden | {"uid": "u-4"})))
    dataset = load(tmp_path)
    assert [(item.id, item.answer) for item in dataset.items] == [("u-2", "A")]
    assert [problem.error for problem in dataset.problems] == ["the answers of 2 questions are not public"]


@pytest.mark.parametrize(
    ("qa", "problem"),
    [
        ({"uid": "x", "question": "No options?", "answer": "A"}, "has 0 options"),
        ({"uid": "x", "question": "Gap?\nA. one\nC. two", "answer": "A"}, "letters A, B, C"),
        (
            {"uid": "x", "question": "Which?\nA. one\nB. two", "answer": "C"},
            "the answer 'C' is not the letter",
        ),
        ({"question": "Which?\nA. one\nB. two", "answer": "A"}, "no field 'uid'"),
        ({"uid": "x", "question": None, "answer": "A"}, "no field 'question'"),
    ],
)
def test_what_is_wrong_is_told_by_its_line(qa: dict[str, Any], problem: str, tmp_path: Path) -> None:
    write(tmp_path / NAME, lines(row(), row(qa)))
    dataset = load(tmp_path)
    assert len(dataset.items) == 1
    [told] = dataset.problems
    assert told.place.endswith(f"{NAME}:2")
    assert problem in told.error


def test_nothing_public_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / NAME, lines(row({"uid": "x", "question": QUESTION, "answer": "NA"})))
    with pytest.raises(UsageError, match="not public"):
        load(tmp_path)
