"""Each benchmark, the training and the writers of docs, run as `python -m` runs them, at their smallest size."""

from __future__ import annotations

import json
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from forking import ForkedIfSharpv
from make_outcome import make_outcome
from narrow_models import NARROW

from sharpv_cli.benchmarks import barcode_clips, random_checkpoint
from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.evaluation.results import ResultsFile, open_results
from sharpv_cli.models import known
from sharpv_cli.models.known import KnownModel
from sharpv_cli.settings import ModelSettings
from sharpv_cli.shapes.demo import DEMO_FOLDER

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("benchmarks", "training", "docs")
QUESTION = "Which direction does the red circle move?"
# Arguments (CLIP and RESULTS are made below; the test's folder is the working folder), and what is printed.
COMMANDS = {
    "benchmarks.batch_check": (
        "--clips 1 --questions 1 --processes 0 --loop 0 --folder check",
        "1 of 1 as asked alone",
    ),
    "benchmarks.batched_answers": ("--clips 1 --most 2 --device cpu", "1 of 1"),
    "benchmarks.batched_speed": (
        "--device cpu --tokens 60 --new-tokens 3 --sizes 2 --compare 2",
        "| by itself |",
    ),
    "benchmarks.budget_curve": (
        "shapes --limit 2 --methods sharpv --budgets 0.1 -o curve --clips clips",
        "| method | leaves dense at visual % |",
    ),
    "benchmarks.choices": ("--limit 4 --clips clips", "| choices, by length |"),
    "benchmarks.command_check": ("RESULTS --limit 1 --count 1 --clips clips", "1 of 1 the same"),
    "benchmarks.confusion": ("RESULTS --limit 1 --clips clips --methods sharpv", "to 0 of 1 questions"),
    "benchmarks.decoding_speed": ("--clips . --frames 2 --runs 1", "| sharpv |"),
    "benchmarks.engine_speed": (
        "--device cpu --frames 2 --side 64 --new-tokens 2 --runs 1 --warmup 0 --retention 0.5",
        "| fast, 50% |",
    ),
    "benchmarks.json_answers": (
        "CLIP --schemas 1 --max-new-tokens 20",
        "| llava_onevision, reference, temperature 1.5 |",
    ),
    "benchmarks.limits_check": ("--clips 1 --cores 64 --limited 0", "all is right"),
    "benchmarks.many_readers": ("--clips 2 --frames 2 --side 64 --rounds 1 --cores 4", "for 4 cores"),
    "benchmarks.random_checkpoint": ("llava-ov-7b model --layers 2", "parameters in bfloat16"),
    "benchmarks.starts": ("--runs 1 --loop 0 --only 'client alone'", "| client alone |"),
    "benchmarks.warm_check": ("--clips 1 --idle 0.1 --kills 0 --clients 0", "times"),
    "benchmarks.real": (
        "--motionbench . --profile tiny --methods dense,sharpv -o real",
        "| motionbench | `sharpv` |",
    ),
    "benchmarks.sharing_cost": (f"CLIP --runs 1 -q '{QUESTION}' -q '{QUESTION}'", "answers identical"),
    "benchmarks.start_times": ("demo --runs 1", "| all else |"),
    "benchmarks.seen": ("--frames 6 --clips 0 --kill 1", "| second | "),
    "benchmarks.throughput": ("--smoke", "| stock, dense | 4 |"),
    "benchmarks.vision_speed": ("--frames 16 --side 64 --turns 1 --device cpu", "| 16 | 2 |"),
    "training.demo_clips": ("clips", ""),
    "training.train": ("out --minutes 0.001 --clip-frames 16 --device cpu", '"steps"'),
    "docs.pages": (".", ""),
    "docs.pictures": (".", ""),
    "docs.results": (
        "--smoke --processes 1 --only offtopic --parts parts --clips clips",
        "offtopic: 2 questions, 2 methods",
    ),
}


def test_every_module_that_is_run_is_tested() -> None:
    files = (file for room in ROOMS for file in (ROOT / "sharpv_cli" / room).glob("*.py"))
    runnable = [
        f"{file.parent.name}.{file.stem}" for file in files if '== "__main__"' in file.read_text("utf-8")
    ]
    assert sorted(runnable) == sorted(COMMANDS)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the commands are given, and smaller: two seconds of frames with numbers, a model of narrow layers."""
    monkeypatch.setattr(barcode_clips, "_RECIPES", [barcode_clips._Recipe("even", 48, lambda index: index)])
    monkeypatch.setattr(known, "known", _narrow(known.known))
    item, results = shapes.load(None, 1, tmp_path / "clips").items[0], tmp_path / "results.jsonl"
    with ResultsFile(open_results(results), {"sharpv": "digest"}, {}) as file:
        file.begin("cpu")
        file.add(make_outcome(item=item.id, method="sharpv", answer=item.answer))
    asked = {"uid": "1", "question": "Which way does it go?\nA. left\nB. right", "answer": "A"}
    row = {
        "video_path": str(DEMO_FOLDER / "moving.mp4"),
        "question_type": "Motion Recognition",
        "qa": [asked],
    }
    (tmp_path / "video_info.meta.jsonl").write_text(json.dumps(row))
    for file in (DEMO_FOLDER / "moving.mp4", ROOT / "docs" / "cli.md", ROOT / "docs" / "configuration.md"):
        shutil.copy(file, tmp_path)
    return {"CLIP": str(DEMO_FOLDER / "moving.mp4"), "RESULTS": str(results)}


def _narrow(whole: Callable[[ModelSettings], KnownModel]) -> Callable[[ModelSettings], KnownModel]:
    def narrow(model: ModelSettings) -> KnownModel:
        found = whole(model)
        changes = NARROW["llava-ov-7b"] if model.id.endswith("7b-ov-hf") else {}
        return replace(found, config=random_checkpoint._changed(found.config, changes))

    return narrow


@pytest.mark.parametrize("name", COMMANDS)
def test_it_runs(
    name: str,
    made: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, printed = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of `sharpv` processes
    monkeypatch.setattr(subprocess, "Popen", ForkedIfSharpv)
    monkeypatch.setattr(sys, "argv", [name, *(made.get(word, word) for word in shlex.split(arguments))])
    monkeypatch.delitem(sys.modules, f"sharpv_cli.{name}", raising=False)
    code: object = 0
    try:
        runpy.run_module(f"sharpv_cli.{name}", run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    assert code in (None, 0), capsys.readouterr().err
    assert printed in capsys.readouterr().out
