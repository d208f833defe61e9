"""Several questions on the command line, and the prompt loop: scripted pipeline, real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import termios
import threading
from codecs import getincrementaldecoder
from contextlib import suppress
from pathlib import Path
from shutil import copy, rmtree

import pytest
import typer
from jsonschema import Draft202012Validator
from run_cli import ROOT, TEXT, environment, run, scripted
from waiting import LONG, until

from sharpv_cli.app import app

VIDEO = "clip.mp4"
TWO = ["-q", "what moves?", "-q", "where?"]


def ask(
    home: Path, *args: str, scenario: str = "answer", stdin: str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    return run(scripted(scenario), "ask", "clip.mp4", *args, home=home, stdin=stdin, **environ)


def valid(line: str) -> dict:
    """A line of NDJSON, checked against the schema that it names."""
    document = json.loads(line)
    name, version = document["schema"].removeprefix("sharpv.").split("/")
    schema = json.loads((ROOT / "docs" / "schema" / f"sharpv.{name}.{version}.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(document)
    return document


@pytest.mark.parametrize("mode", [[], ["--stream"], ["--quiet"]])
def test_one_answer_after_the_other(home: Path, mode: list[str]) -> None:
    done = ask(home, *TWO, *mode)
    assert (done.returncode, done.stdout) == (0, f"{TEXT}\n{TEXT}\n")
    assert "> what" not in done.stderr
    assert done.stderr.count("warning: only 7 of 8 frames") == (mode != ["--quiet"])


def test_ndjson(home: Path) -> None:
    done = ask(home, "what is first?", *TWO, "--json")
    assert [valid(line)["question"] for line in done.stdout.splitlines()] == [
        "what is first?",
        "what moves?",
        "where?",
    ]


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_questions_from_a_file(home: Path, tmp_path: Path, source: str) -> None:
    text = "\n  what moves? \r\n\n\twhere? \u2028 now?\n"
    (tmp_path / "q.txt").write_text(f"\ufeff{text}", encoding="utf-8")
    argument, stdin = ("-", text) if source == "stdin" else (str(tmp_path / "q.txt"), None)

    done = ask(home, "-q", "first?", "--questions", argument, "--json", stdin=stdin)

    asked = [json.loads(line)["question"] for line in done.stdout.splitlines()]
    assert asked == ["first?", "what moves?", "where? \u2028 now?"]


def test_a_file_with_one_question_gives_ndjson_too(home: Path) -> None:
    done = ask(home, "--questions", "-", "--json", stdin="what moves?")
    assert done.stdout.count("\n") == 1
    assert valid(done.stdout)["question"] == "what moves?"


def test_a_question_that_fails_is_told_and_the_others_are_answered(home: Path) -> None:
    done = ask(home, *TWO, "-q", "fail?", "-q", "last?", "--json")
    lines = [valid(line) for line in done.stdout.splitlines()]
    assert [line["schema"] for line in lines] == [
        "sharpv.ask/1",
        "sharpv.ask/1",
        "sharpv.error/1",
        "sharpv.ask/1",
    ]
    assert (lines[2]["line"], lines[2]["exit_code"], lines[2]["error"]) == (3, 2, "not this one")
    assert "error: not this one\nhint: ask another\n" in done.stderr
    assert done.returncode == 6
    assert ask(home, *TWO, "-q", "fail?").stdout == f"{TEXT}\n{TEXT}\n"


def test_stats_for_each_and_a_chart_of_all(home: Path, tmp_path: Path) -> None:
    kinds = [part for kind in "txt md html".split() for part in ("--chart-out", f"{tmp_path}/chart.{kind}")]
    done = ask(home, *TWO, "--stats", *kinds)
    assert done.stderr.count("TTFT") == 2
    for kind in ("txt", "md"):
        assert (tmp_path / f"chart.{kind}").read_text("utf-8").count("TTFT") == 2, kind
    page = (tmp_path / "chart.html").read_text("utf-8")
    assert all(f'"question":"{question}"' in page for question in TWO if question != "-q")


def test_ctrl_c_in_the_second_answer_keeps_both(home: Path) -> None:
    command = [*scripted("slow"), "ask", "clip.mp4", *TWO, "-q", "third?", "--json"]
    process = subprocess.Popen(
        command, cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while "piece" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LONG)
    first, second = (valid(line) for line in out.splitlines())
    assert (first["finish_reason"], second["finish_reason"]) == ("stop", "interrupted")
    assert second["answer"] and TEXT.startswith(second["answer"])
    assert "Traceback" not in err
    assert process.returncode == 130


def test_no_question_without_a_terminal_is_a_mistake(home: Path) -> None:
    done = ask(home, stdin=" \n")
    assert done.returncode == 2
    assert "error: no question" in done.stderr
    assert run(scripted("answer"), "ask", "-", home=home, stdin="what moves?").returncode == 2


def test_a_question_comes_through_a_pipe_where_none_is_given(home: Path) -> None:
    assert (
        valid(ask(home, "--json", stdin="what moves?\nand where?\n").stdout)["question"]
        == "what moves?\nand where?"
    )
    assert valid(ask(home, "where?", "--json", stdin="what moves?").stdout)["question"] == "where?"


@pytest.mark.parametrize(
    "question", ["- what moves?", "-what is it?", "--what is it?", "-how many?", "--frame 3 of it?"]
)
def test_a_question_of_several_words_may_begin_with_a_dash(question: str) -> None:
    command = typer.main.get_command(app).commands["ask"]  # type: ignore[attr-defined]
    for given in (
        [VIDEO, question, "--frames", "3", "--stop", "-x y"],
        ["--frames", "3", VIDEO, question, "--stop", "-x y"],
        ["--frames=3", "--stop", "-x y", VIDEO, "--", question],
    ):
        told = command.make_context("ask", list(given)).params
        assert told["words"] == [VIDEO, question]
        assert (told["frames"], told["stop"]) == (3, "-x y")


class Typist:
    """`sharpv ask` with stdin and stderr on a terminal and stdout in a pipe."""

    def __init__(self, home: Path, *args: str, term: str = "xterm") -> None:
        self.keys, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [*scripted("answer"), "ask", "clip.mp4", *args],
            cwd=home,
            env=environment(home, TERM=term),
            stdin=terminal,
            stderr=terminal,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(terminal)
        self.raw = ""
        self._looked_at = self._prompts = 0
        self._reader = threading.Thread(target=self._read, daemon=True)  # or the process could wait for us
        self._reader.start()
        self._limit = threading.Timer(LONG, self.process.kill)
        self._limit.start()

    def _read(self) -> None:
        decoder, told = getincrementaldecoder("utf-8")("replace"), 0
        with suppress(OSError):  # what a terminal says when its last process is gone
            while piece := os.read(self.keys, 4096):
                self.raw += decoder.decode(piece)
                while told < self.raw.count("\x1b[6n"):  # where is the cursor?
                    os.write(self.keys, b"\x1b[24;1R")
                    told += 1
        os.close(self.keys)

    @property
    def screen(self) -> str:
        """What was drawn since the last text that was waited for."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw)[self._looked_at :]

    def wait_for(self, text: str) -> None:
        """Until `text` was drawn since the last call."""
        until(lambda: text in self.screen, lambda: self.screen)
        self._looked_at += self.screen.index(text) + len(text)

    def wait_for_prompt(self) -> None:
        """Until the next one is there, and keys reach the program one by one: the terminal itself would take Ctrl-D."""
        self._prompts += 1
        until(lambda: self.raw.count("\x1b[?2004h") >= self._prompts, lambda: self.screen)
        assert not termios.tcgetattr(self.keys)[3] & termios.ICANON

    def type(self, keys: str) -> None:
        os.write(self.keys, keys.encode())

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode()

    def end(self) -> tuple[int, str]:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            rest = stdout.read().decode()
        code = self.process.wait()
        self._limit.cancel()
        self._reader.join()
        return code, rest


def test_the_loop_answers_each_line_and_ends_with_ctrl_d(home: Path) -> None:
    typist = Typist(home)
    typist.wait_for_prompt()
    typist.type("what moves?\r")
    assert typist.answer() == f"{TEXT}\n"
    typist.wait_for_prompt()
    typist.type("\r")  # nothing
    typist.wait_for_prompt()
    typist.type("half a thou\x03")  # Ctrl-C drops the line
    typist.wait_for_prompt()
    typist.type("this will fail\r")
    typist.wait_for("error: not this one")
    typist.wait_for_prompt()
    typist.type("\x1b[A\x1b[A\r")  # two lines back in the history
    assert typist.answer() == f"{TEXT}\n"
    typist.wait_for_prompt()
    typist.type("\x04")
    assert typist.end() == (0, "")
    assert (typist.raw.count("KV retention"), typist.raw.count("TTFT")) == (1, 2)
    history = home / ".local" / "state" / "sharpv" / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "+what moves?\n" in history.read_text("utf-8")


@pytest.mark.parametrize("word", ["exit", "/bye", "Quit"])
def test_the_loop_is_left_by_a_word(home: Path, word: str) -> None:
    typist = Typist(home)
    typist.wait_for_prompt()
    typist.type(f"{word}\r")
    assert typist.end() == (0, "")


def test_the_loop_is_left_by_ctrl_c_twice(home: Path) -> None:
    typist = Typist(home)
    typist.wait_for_prompt()
    typist.type("half a thou\x03")  # which is dropped
    typist.wait_for_prompt()
    typist.type("\x03")
    typist.wait_for("Ctrl-C once more leaves")
    typist.wait_for_prompt()
    typist.type("what moves?\r")  # and all begins anew
    assert typist.answer() == f"{TEXT}\n"
    typist.wait_for_prompt()
    typist.type("\x03")
    typist.wait_for("Ctrl-C once more leaves")
    typist.wait_for_prompt()
    typist.type("\x03")
    assert typist.end() == (0, "")


def test_the_loop_takes_commands(home: Path) -> None:
    typist = Typist(home, "--no-stats", "--json")
    for line, said in (
        ("/help", "as exit, quit, Ctrl-D"),
        ("/stats", "no answer yet"),
        ("/nonsense", "no such command: /nonsense"),
        ("/frames", "8 frames, at 0.50 1.50"),
        ("/frames 0", "--frames 0: should be greater than or equal to 1"),
        ("/frames x", "/frames x: no number"),
    ):
        typist.wait_for_prompt()
        typist.type(f"{line}\r")
        typist.wait_for(said)
    typist.wait_for_prompt()
    typist.type("/frames 5\r")
    typist.wait_for_prompt()
    typist.type("what moves?\r")
    document = valid(typist.answer())
    assert document["question"] == "what moves?"
    assert document["profile"]["settings"]["sampling"]["frames"] == 5
    typist.wait_for_prompt()
    typist.type("/stats\r")
    typist.wait_for("TTFT")
    typist.wait_for_prompt()
    typist.type("\x04")
    assert typist.end() == (0, "")


def test_the_loop_with_json_gives_a_document_a_line(home: Path) -> None:
    typist = Typist(home, "--json")
    typist.wait_for_prompt()
    typist.type("what moves?\r")
    assert valid(typist.answer())["question"] == "what moves?"
    typist.wait_for_prompt()
    typist.type("\x04")
    assert typist.end() == (0, "")


def test_the_loop_takes_each_line_of_a_paste_for_a_question(home: Path) -> None:
    typist = Typist(home, "--json")
    typist.wait_for_prompt()
    typist.type("\x1b[200~what moves?\n\nwhere is it?\x1b[201~\r")
    assert [valid(typist.answer())["question"] for _ in range(2)] == ["what moves?", "where is it?"]
    typist.wait_for_prompt()
    typist.type("\x04")
    assert typist.end() == (0, "")


def test_the_loop_drops_bytes_that_are_no_key_and_keeps_them_off_stdout(home: Path) -> None:
    typist = Typist(home, "--json")
    typist.wait_for_prompt()
    typist.type("\x1b[31M")  # taken for a mouse, which would have said where it is
    os.write(typist.keys, b"caf\xe9?\r")
    assert valid(typist.answer())["question"] == "caf??"
    typist.wait_for_prompt()
    typist.type("\x04")
    assert typist.end() == (0, "")
    assert "Exception" not in typist.raw


def test_the_loop_on_a_dumb_terminal_has_no_escape_codes(home: Path) -> None:
    typist = Typist(home, term="dumb")
    typist.wait_for("? ")
    typist.type("what moves?\r")
    assert typist.answer() == f"{TEXT}\n"
    typist.wait_for("? ")
    typist.type("\x04")
    assert typist.end() == (0, "")
    assert "\x1b" not in typist.raw


def test_the_loop_goes_on_when_its_history_cannot_be_kept(home: Path, tmp_path: Path) -> None:
    copy(home / "clip.mp4", tmp_path)
    typist = Typist(tmp_path)
    typist.wait_for_prompt()
    folder = tmp_path / ".local" / "state" / "sharpv"
    rmtree(folder)  # as a full disk: writing fails once the prompt is there
    folder.write_text("", encoding="utf-8")
    typist.type("what moves?\r")
    assert typist.answer() == f"{TEXT}\n"
    typist.wait_for_prompt()
    typist.type("\x04")
    assert typist.end() == (0, "")


def test_the_loop_needs_no_home_that_can_be_written(home: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes((home / "clip.mp4").read_bytes())
    (tmp_path / ".local").write_text("a file in the way", encoding="utf-8")
    typist = Typist(tmp_path)
    typist.wait_for_prompt()
    typist.type("what moves?\r")
    assert typist.answer() == f"{TEXT}\n"
    typist.wait_for_prompt()
    typist.type("\x04")
    assert typist.end()[0] == 0


def test_on_a_terminal_each_answer_has_its_question_and_all_have_one_chart(home: Path) -> None:
    typist = Typist(home, *TWO)
    assert typist.answer() == f"{TEXT}\n"
    assert typist.answer() == f"{TEXT}\n"
    for text in ("> what moves?", "> where?", "TTFT"):
        typist.wait_for(text)
    assert typist.end()[0] == 0
    assert "TTFT" not in typist.screen
