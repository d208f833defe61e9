"""docs/results.md: each of its commands, on the results file that is kept, gives the tables that are kept beside it."""

from __future__ import annotations

import gzip
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from run_cli import ROOT

from sharpv_cli import terminal
from sharpv_cli.app import app
from sharpv_cli.benchmarks import budget_curve

FOLDER = ROOT / "docs" / "results"
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").replace("\\\n", " ")
COMMANDS = {
    match[2]: match[1]
    for match in re.finditer(r"^(sharpv eval .*-o docs/results/([\w-]+)\.jsonl.*)$", PAGE, re.M)
}


@pytest.fixture(autouse=True)
def _leave_no_trace() -> Iterator[None]:
    """The command, run in this process, sets variables for libraries and how much is said: not for the next test."""
    with mock.patch.dict(os.environ):
        yield
    terminal.set_level()


def test_every_results_file_has_its_command_and_tables() -> None:
    kept = {path.name.removesuffix(".jsonl.gz") for path in FOLDER.glob("*.jsonl.gz")}
    assert kept == set(COMMANDS)
    assert {path.stem for path in FOLDER.glob("*.md")} == kept
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4 << 20


@pytest.mark.parametrize("name", COMMANDS)
def test_the_tables_come_from_the_results(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / f"{name}.jsonl"
    results.write_bytes(gzip.decompress((FOLDER / f"{name}.jsonl.gz").read_bytes()))
    given = shlex.split(COMMANDS[name].replace(f"docs/results/{name}.jsonl", str(results)))
    extra = ["--clips", str(tmp_path / "clips"), "--export-markdown", "-", "--quiet"]
    assert app(args=[*given[1:], *extra], standalone_mode=False) is None
    assert capsys.readouterr().out == (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert not list((tmp_path / "clips").iterdir()), "no clip is needed"


def test_the_curve_comes_from_its_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its command, on the answers that are kept: no model is asked, and `curve.json` and `curve.md` are as kept."""
    for file in (FOLDER / "curve").glob("*.jsonl.gz"):
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    [command] = re.findall(r"^python -m sharpv_cli.benchmarks.budget_curve (.*-o curve.*)$", PAGE, re.M)
    given = shlex.split(command.replace("-o curve", f"-o {tmp_path}"))
    budget_curve.main([*given, "--clips", str(tmp_path / "clips")])
    assert capsys.readouterr().out == (FOLDER / "curve" / "curve.md").read_text(encoding="utf-8")
    assert (tmp_path / "curve.json").read_bytes() == (FOLDER / "curve" / "curve.json").read_bytes()
    assert not list((tmp_path / "clips").iterdir()), "no clip is needed"
