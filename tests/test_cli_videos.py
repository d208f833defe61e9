"""Several videos on one command line: how the words are read, and what becomes of each."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from run_cli import ROOT, TEXT, run, scripted

from sharpv_cli.commands.ask.order import read_words
from sharpv_cli.errors import UsageError

TWO = ["clip.mp4", "b.mp4"]


@pytest.fixture(scope="module")
def stage(home: Path) -> Path:
    shutil.copy(home / "clip.mp4", home / "b.mp4")
    shutil.copy(home / "clip.mp4", home / "my clip.mp4")
    (home / "text.mp4").write_text("no video\n", encoding="utf-8")
    return home


def ask(stage: Path, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return run(scripted("answer"), "ask", *args, home=stage, stdin=stdin)


def valid(line: str) -> dict:
    document = json.loads(line)
    name, version = document["schema"].removeprefix("sharpv.").split("/")
    schema = json.loads((ROOT / "docs" / "schema" / f"sharpv.{name}.{version}.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(document)
    return document


@pytest.mark.parametrize(
    ("words", "options", "videos", "questions"),
    [
        (["clip.mp4"], [], ["clip.mp4"], []),
        (["clip.mp4", "where?"], [], ["clip.mp4"], ["where?"]),
        ([*TWO, "where?"], [], TWO, ["where?"]),
        (["my clip.mp4", "b.mp4", "is it red?"], [], ["my clip.mp4", "b.mp4"], ["is it red?"]),
        (TWO, ["where?"], TWO, ["where?"]),
        (["clip.mp4", "gone.mp4"], ["where?"], ["clip.mp4", "gone.mp4"], ["where?"]),
        (["clip.mp4", "what is first?"], ["where?"], ["clip.mp4"], ["what is first?", "where?"]),
        (["b.mp4", "my clip.mp4"], ["where?"], ["b.mp4", "my clip.mp4"], ["where?"]),
        (["my clip.mp4"], ["where?"], ["my clip.mp4"], ["where?"]),
        (["what is it?"], ["where?"], ["what is it?"], ["where?"]),
        (["-", "b.mp4"], ["where?"], ["-", "b.mp4"], ["where?"]),
    ],
)
def test_what_each_word_is(
    words: list[str],
    options: list[str],
    videos: list[str],
    questions: list[str],
    stage: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(stage)
    given = read_words(words, options, None)
    assert (given.videos, given.questions) == (videos, questions)


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (TWO, [], "the question is a file: b.mp4"),
        ([*TWO, "what", "moves?"], [], "no such file: what"),
        (["-", "-"], ["where?"], "two videos come from stdin"),
        (["-", "b.mp4", "-"], [], "both come from stdin"),
        ([*TWO, " "], [], "the question is empty"),
    ],
)
def test_what_is_in_the_wrong_place(
    words: list[str], options: list[str], said: str, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stage)
    with pytest.raises(UsageError, match=said):
        read_words(words, options, None)


@pytest.mark.parametrize("mode", [[], ["--stream"]])
def test_each_answer_stands_behind_its_files_name(stage: Path, mode: list[str]) -> None:
    done = ask(stage, *TWO, "my clip.mp4", "-q", "what moves?", "-q", "where?", *mode)
    names = [name for name in (*TWO, "my clip.mp4") for _ in range(2)]
    assert (done.returncode, done.stdout) == (0, "".join(f"{name}: {TEXT}\n" for name in names))
    assert done.stderr.count("note: the built-in demo model answers") == 1
    assert [line for line in done.stderr.splitlines() if "only 7 of 8" in line] == [
        f"warning: {name}: only 7 of 8 frames were found" for name in (*TWO, "my clip.mp4")
    ]


def test_one_of_several_costs_itself_alone(stage: Path) -> None:
    args = ["gone.mp4", "clip.mp4", "text.mp4", "b.mp4", "-q", "what moves?", "-q", "this will fail"]
    done = ask(stage, *args, "--json")

    lines = [valid(line) for line in done.stdout.splitlines()]

    assert done.returncode == 6
    assert [(line.get("path") or line["video"]["path"], line.get("exit_code")) for line in lines] == [
        ("gone.mp4", 3), ("gone.mp4", 3), ("clip.mp4", None), ("clip.mp4", 2),
        ("text.mp4", 3), ("text.mp4", 3), ("b.mp4", None), ("b.mp4", 2),
    ]  # fmt: skip
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: no such file: gone.mp4",
        "error: clip.mp4: not this one",
        "error: text.mp4 is a text file, not a video",
        "error: b.mp4: not this one",
    ]
    assert ask(stage, *args).stdout == f"clip.mp4: {TEXT}\nb.mp4: {TEXT}\n"


def test_where_none_can_be_used_the_model_is_not_looked_for(stage: Path) -> None:
    done = ask(stage, "gone.mp4", "text.mp4", "what moves?", "--model", "./nowhere")
    assert (done.returncode, done.stdout) == (6, "")
    assert "nowhere" not in done.stderr
    only = run(scripted("real"), "ask", *TWO, "what moves?", "--model", "./nowhere", home=stage)
    assert only.returncode == 4
    assert only.stderr.count("error: ") == 1


def test_a_question_for_several_comes_from_stdin_where_a_dash_says_so(stage: Path) -> None:
    done = ask(stage, *TWO, "-", "--json", stdin="where?\n")
    assert [valid(line)["question"] for line in done.stdout.splitlines()] == ["where?", "where?"]


def test_a_chart_is_of_one_video(stage: Path) -> None:
    done = ask(stage, *TWO, "where?", "--chart-out", "chart.svg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: --chart-out chart.svg: a chart is of one video, and there are 2\n" in done.stderr


def test_what_proves_who_asks_is_told_of_no_address(stage: Path) -> None:
    addresses = [f"https://user:secret@host.example/{name}.mp4?token=secret" for name in "ab"]
    done = ask(stage, *addresses, "-q", "what moves?", "--json")
    assert done.returncode == 6
    assert len(done.stdout.splitlines()) == 2 and "host.example/a.mp4" in done.stdout
    assert "secret" not in done.stdout + done.stderr
