"""The benchmark's lanes are what their names say; how fast they are is no test's business."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharpv_cli.benchmarks import batched_answers, batched_speed
from sharpv_cli.benchmarks.engine_speed import main


def test_lanes_keep_what_they_are_named_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs.json"
    few = ["--frames", "4", "--side", "64", "--new-tokens", "3", "--runs", "2", "--retention", "0.25"]

    assert main(["--profile", "tiny", "--device", "cpu", *few, "--json", str(runs)]) == 0

    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    table = {row[0].removeprefix("| "): row for row in rows if len(row) == 12}
    assert list(table)[1:] == [
        "stock generate, dense",
        "reference, dense",
        "fast, dense",
        "reference, 25%",
        "fast, 25%",
        "fast, 25%, no memory stage",
    ]
    kept = {name: row[8] for name, row in table.items()}
    assert kept["reference, 25%"] == kept["fast, 25%"]
    assert 20 <= float(kept["fast, 25%"].rstrip("%")) <= 25
    assert kept["fast, dense"] == "100.0%"
    assert [table[name][10] for name in ("fast, dense", "fast, 25%", "fast, 25%, no memory stage")] == [
        "0",
        "5",
        "0",
    ]
    timed = json.loads(runs.read_text())
    assert all(len(lane) == 2 and all(run["ttft"] > 0 for run in lane) for lane in timed.values())


def test_the_curve_goes_on_where_dense_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "tiny", "--device", "cpu", "--side", "64", "--curve", "4,140"]) == 0

    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0], row[1]) for row in rows] == [
        ("| 4", "dense"), ("| 4", "sharpv"), ("| 140", "dense"), ("| 140", "sharpv")
    ]  # fmt: skip
    assert rows[0][2] == "256 of 256"
    assert rows[2][2].startswith("fails: 8960 visual tokens")
    assert rows[3][2].endswith("of 8960")


def test_answers_decoded_together_are_compared_with_themselves_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ["--tokens", "40", "--new-tokens", "4", "--sizes", "1,3", "--compare", "3", "--reference", "2"]

    assert batched_speed.main(["--profile", "tiny", "--device", "cpu", *few]) == 0

    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| answers", "| by itself", "| by itself, reference", "| 1", "| 3"]
    assert [row[4] for row in rows[2:]] == ["2 of 2", "1 of 1", "3 of 3"]
    assert all(row[5] == "100.0%" for row in rows[2:])


def test_clips_of_the_world_are_asked_one_by_one_and_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert batched_answers.main(["--dtype", "float32", "--device", "cpu", "--clips", "2", "--most", "2"]) == 0

    rows = capsys.readouterr().out.splitlines()[-2:]
    assert rows == [
        "| reference engine, alone | 2 of 2 | 100.0% |",
        "| fast engine, 2 at once | 2 of 2 | 100.0% |",
    ]
