"""Wrong answers by type, and how often a method says not to know."""

from __future__ import annotations

from pathlib import Path

import pytest
from make_outcome import make_outcome

from sharpv_cli.benchmarks import confusion
from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.evaluation.results import Outcome, ResultsFile, open_results


def outcome(item: str, answer: str, right: bool) -> Outcome:
    return make_outcome(item=item, answer=answer, right=right)


def test_wrong_answers_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = shapes.load(None, 3, tmp_path / "clips").items
    given = [
        outcome(first.id, first.answer, True),
        outcome(second.id, "i don't know", False),
        outcome(third.id, "purple", False),
    ]
    path = tmp_path / "r.jsonl"
    with ResultsFile(open_results(path), {"dense": "d"}, {}) as file:
        file.begin("cpu")
        for one in given:
            file.add(one)
    confusion.main([str(path), "--limit", "3", "--clips", str(tmp_path / "clips"), "--methods", "dense"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == sorted(
        f"| `dense` | `{item.group}` | `{item.answer}` | `{answer}` | 1 |"
        for item, answer in ((second, "i don't know"), (third, "purple"))
    )
    assert lines[-1] == "dense: `i don't know` to 1 of 3 questions of its world"
