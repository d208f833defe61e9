"""docs/errors.md: every command in it is run and says what the page says, every test that it names is there."""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_cli import ROOT, run, scripted

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
TESTS = ROOT / "tests"


def rows(columns: int, cell: int, begin: str) -> list[list[str]]:
    """The rows of tables with so many columns, whose `cell` begins so."""
    lines = (line for line in PAGE.splitlines() if line.startswith("| "))
    table = ([text.strip() for text in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    return [row for row in table if len(row) == columns and row[cell].startswith(begin)]


COMMANDS = rows(5, 1, "`sharpv ")
NAMED = rows(4, 3, "`test_")


@pytest.fixture(scope="module")
def stage(home: Path) -> Path:
    """The files that the page's commands name."""
    clip = (home / "clip.mp4").read_bytes()
    row = {"video": "clip.mp4", "question": "what moves?"}
    contents: dict[str, str | bytes] = {
        "text.mp4": "no video\n",
        "page.mp4": "<!DOCTYPE html><html></html>",
        "empty.mp4": "",
        "half.mp4": clip[:600],
        "clip.mp4.gz": gzip.compress(clip),
        "rows.jsonl": f"{json.dumps(row)}\n",
        "list.json": '["clip.mp4"]',
        "edited.jsonl": '{"id": \n',
        "typo.yaml": "sampling:\n  frame: 3\n",
        "latin.txt": b"caf\xe9\n",
        "long.txt": "what moves? " * 30_000,
        "adapter/adapter_config.json": '{"peft_type": "LORA", "base_model_name_or_path": "owner/base"}',
        "pickled/config.json": '{"model_type": "llava_onevision"}',
        "pickled/pytorch_model.bin": b"1",
        "words/config.json": '{"model_type": "bert"}',
        "torn/config.json": '{"model_type"',
    }
    for name, content in contents.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with zipfile.ZipFile(home / "clips.zip", "w") as archive:
        archive.write(home / "clip.mp4", "clip.mp4")
    os.mkfifo(home / "pipe.yaml")
    shutil.copy(TESTS / "cases" / "dolby_vision_5.mp4", home)
    return home


def says(cell: str, line: str) -> bool:
    """Whether a line is what the page says, with anything at all in the places of `…`."""
    pattern = ".*".join(re.escape(part) for part in cell.replace("\\|", "|").split("…"))
    return re.fullmatch(pattern, line) is not None


@pytest.mark.parametrize("row", COMMANDS, ids=[row[0] for row in COMMANDS])
def test_a_command_says_what_the_page_says(stage: Path, row: list[str]) -> None:
    _, command, code, error, hint = row
    done = run(scripted("real"), *shlex.split(command.strip("`"))[1:], home=stage)
    said, *more = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (int(code), "")
    assert says(f"error: {error}", said), said
    assert len(more) == 1
    assert says(f"hint: {hint}", more[0]), more[0]


@pytest.mark.parametrize("row", NAMED, ids=[row[0] for row in NAMED])
def test_a_test_that_the_page_names_is_there(row: list[str]) -> None:
    file, _, name = row[3].strip("`").partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", NAMED, ids=[row[0] for row in NAMED])
def test_what_the_page_quotes_is_said_somewhere(row: list[str]) -> None:
    source = "".join(words_of_the_package())
    for part in filter(None, (part.strip() for part in row[2].split("…"))):
        assert part in source, part


def words_of_the_package() -> Iterator[str]:
    """Its texts, without the seams between two lines of one."""
    for path in (ROOT / "sharpv_cli").rglob("*.py"):
        yield re.sub(r'"\s+f?"', "", path.read_text(encoding="utf-8"))


def test_every_exit_code_has_its_row() -> None:
    assert {int(row[2]) for row in COMMANDS} == {2, 3, 4}
    assert {int(row[1]) for row in NAMED} == {0, 1, 2, 3, 4, 5, 6, 70, 130}
