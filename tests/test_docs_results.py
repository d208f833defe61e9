"""docs/results.md and the pages beside it: they are what the kept answers say, in every figure."""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest
from markdown_it import MarkdownIt
from run_cli import ROOT

from sharpv_cli.app import app
from sharpv_cli.benchmarks import budget_curve
from sharpv_cli.commands.eval import running
from sharpv_cli.docs import blocks, results
from sharpv_cli.docs.tables import curve_command, read
from sharpv_cli.report.drawing import digest_of
from sharpv_cli.types import Evaluation

FOLDER = ROOT / "docs" / "results"
TABLES = read(FOLDER / "tables.toml")
PAGES = ("docs/results.md", "docs/model-card.md", "README.md")


@pytest.fixture(scope="module")
def found() -> Mapping[str, Evaluation]:
    """What all kept answers say. Where one no longer counts, it is not asked again: that would take an hour."""
    stale = AssertionError(
        "a kept answer no longer counts: its clip, question, settings or model is another one"
    )
    with mock.patch.object(running, "open_session", side_effect=stale):
        return results.evaluations(TABLES, FOLDER)


@pytest.fixture
def written(found: Mapping[str, Evaluation], tmp_path: Path) -> Path:
    """The pages, written anew where there are no figures yet."""
    for page in PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        text = (ROOT / page).read_text(encoding="utf-8")
        emptied = blocks.BLOCK.sub(r"\1\3", blocks.FIGURE.sub(r"\1?\3", text))
        assert emptied != text
        (tmp_path / page).write_text(emptied, encoding="utf-8")
    shutil.copytree(FOLDER, tmp_path / "docs" / "results", ignore=shutil.ignore_patterns("questions"))
    for file in (tmp_path / "docs" / "results").rglob("*.md"):
        file.write_text("stale", encoding="utf-8")
    with mock.patch.object(results, "eval_picture", return_value=b""):  # takes longest; it has its own tests
        results.write(TABLES, found, tmp_path / "docs")
    return tmp_path


def test_the_pages_are_what_the_answers_say(written: Path) -> None:
    tables = [str(file.relative_to(ROOT)) for file in FOLDER.rglob("*.md")]
    assert len(tables) > 20
    for page in (*PAGES, *tables, "docs/results/curve/curve.json"):
        assert (written / page).read_bytes() == (ROOT / page).read_bytes(), (
            f"{page}: run sharpv_cli.docs.results"
        )
    curve = json.loads((FOLDER / "curve" / "curve.json").read_bytes())
    for theme in ("light", "dark"):
        assert digest_of([curve]) in (FOLDER / "curve" / f"curve-{theme}.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_no_figure_begins_a_line(page: str) -> None:
    """Markdown takes a line that begins with a comment for HTML, and shows its links and code as they are typed."""
    parsed = MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text(encoding="utf-8"))
    assert any("<!--=" in token.content for token in parsed if token.type == "inline") or page == "README.md"
    assert not [token.content for token in parsed if token.type == "html_block" and "<!--=" in token.content]


def test_what_is_kept_is_what_is_listed() -> None:
    kept = {str(path.relative_to(FOLDER)).removesuffix(".jsonl.gz") for path in FOLDER.rglob("*.jsonl.gz")}
    assert kept == set(TABLES)
    shown = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for name, table in TABLES.items():
        assert (FOLDER / f"{name}.svg").exists() != (table.budget is not None)
        assert (table.command if table.budget is None else curve_command(TABLES)) in shown, name
    mine = (path for folder in (FOLDER, FOLDER / "curve") for path in folder.glob("*"))  # not others' clips
    assert sum(path.stat().st_size for path in mine) < 8 << 20


@pytest.mark.parametrize("name", ["methods-wide", "static-budget", "long-512"])
def test_the_command_above_a_table_prints_it_again(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a reader runs it: a setting, sweeps, another --match."""
    answers = tmp_path / f"{name}.jsonl"
    answers.write_bytes(gzip.decompress((FOLDER / f"{name}.jsonl.gz").read_bytes()))
    given = shlex.split(
        TABLES[name].command.replace("\\\n", " ").replace(f"docs/results/{name}.jsonl", str(answers))
    )
    extra = ["--clips", str(tmp_path / "clips"), "--export-markdown", "-", "--quiet"]
    assert app(args=[*given[1:], *extra], standalone_mode=False) is None
    assert capsys.readouterr().out == (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert not list((tmp_path / "clips").iterdir()), "no clip is needed"


def test_the_command_of_the_curve_writes_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (FOLDER / "curve").glob("*.jsonl.gz"):
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    given = shlex.split(
        curve_command(TABLES).replace("\\\n", " ").replace("docs/results/curve", str(tmp_path))
    )
    budget_curve.main([*given[3:], "--clips", str(tmp_path / "clips")])
    assert capsys.readouterr().out == (FOLDER / "curve" / "curve.md").read_text(encoding="utf-8")
    assert (tmp_path / "curve.json").read_bytes() == (FOLDER / "curve" / "curve.json").read_bytes()
