"""Questions of one's own: what is read, and what is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets_on_disk import lines, only, write

from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.evaluation.datasets.loading import load


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
