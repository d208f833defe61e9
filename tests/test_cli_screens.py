"""What stands on a terminal in the end: the answer is what one sees last, however low the terminal is."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_cli import TEXT, run, scripted
from terminals import on_terminal, screen_of

QUESTION = "what is it?"
ASK = ["ask", "clip.mp4", QUESTION]


def place(lines: list[str], start: str) -> int:
    """The line that begins so: there is one."""
    found = [number for number, line in enumerate(lines) if line.startswith(start)]
    assert len(found) == 1, (start, lines)
    return found[0]


@pytest.mark.parametrize(
    ("columns", "rows", "groups", "layers", "facts"),
    [
        (80, 24, 8, 3, False),
        (120, 50, 32, 3, False),
        (120, 60, 32, 3, True),
        (60, 19, 4, 2, False),
        (40, 15, 4, 0, False),
    ],
)
def test_chart_question_answer_and_figures_are_all_on_the_screen(
    home: Path, columns: int, rows: int, groups: int, layers: int, facts: bool
) -> None:
    """32 frames, in groups where single ones would push the rest off the screen; then layers give way."""
    lines = screen_of(scripted("frames"), *ASK, home=home, columns=columns, rows=rows)
    header, budget, asked = (place(lines, start) for start in ("time", "visual retention", f"> {QUESTION}"))
    assert sum(line[:2] in ("0:", "00") for line in lines[header:budget]) == groups
    assert sum("kept" in line or "discarded" in line for line in lines[header + 1 : budget]) == layers
    assert any(line.startswith("engine") for line in lines) == facts
    assert header < budget < place(lines, "KV retention") < asked
    assert lines[asked + 1 :] == [*folded(TEXT, columns), lines[-1]]
    assert lines[-1].startswith("TTFT 182 ms  TPOT 12.1 ms  KV ")


def folded(text: str, columns: int) -> list[str]:
    """An answer is not wrapped by us: the terminal folds it."""
    return [text[start : start + columns].rstrip() for start in range(0, len(text), columns)]


@pytest.mark.parametrize(("columns", "rows"), [(20, 8), (80, 4), (80, 3)])
def test_a_tiny_terminal_shows_the_answer_and_no_half_a_chart(home: Path, columns: int, rows: int) -> None:
    lines = screen_of(scripted("frames"), *ASK, home=home, columns=columns, rows=rows)
    assert not any(line.startswith(("time", "layers")) for line in lines)
    assert "naïve" in "".join(lines)
    assert "KV " in lines[-1]


def test_layers_that_alternate_are_counted_where_they_would_fill_the_screen(home: Path) -> None:
    lines = screen_of(scripted("alternating"), *ASK, home=home, columns=80, rows=24)
    assert [line.split()[:4] for line in lines if " of 28 " in line] == [
        ["14", "of", "28", "kept"],
        ["14", "of", "28", "discarded"],
    ]
    assert place(lines, "time") < place(lines, "TTFT") == len(lines) - 1


def test_several_questions_have_one_chart_and_each_its_answer_and_figures(home: Path) -> None:
    lines = screen_of(scripted("answer"), *ASK, "-q", "and?", home=home, columns=100, rows=60)
    first, second = place(lines, f"> {QUESTION}"), place(lines, "> and?")
    assert place(lines, "KV retention") < first
    assert [line[:4] for line in lines[first : second + 3]] == [
        "> wh",
        "[red",
        "TTFT",
        "> an",
        "[red",
        "TTFT",
    ]


def test_a_question_for_which_other_tokens_are_kept_has_its_own_chart(home: Path) -> None:
    lines = screen_of(scripted("frames"), *ASK, "-q", "and?", home=home, columns=100, rows=90)
    assert sum(line.startswith("time") for line in lines) == 2


@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
def test_nothing_stands_between_a_question_and_its_answer(home: Path, mode: str) -> None:
    """Neither the stage that was drawn meanwhile nor how long it took."""
    command = scripted("slow-start")
    lines = screen_of(command, *ASK, mode, "--verbose", "--model", "./", home=home, columns=90, rows=30)
    asked = place(lines, f"> {QUESTION}")
    assert lines[asked + 1] == TEXT
    assert [line.split()[:2] for line in lines[asked + 2 :]] == [
        ["detail:", "answering"],
        ["detail:", "decoding"],
        ["TTFT", "182"],
    ]


@pytest.mark.parametrize(("mode", "rest"), [("--quiet", []), ("--no-stats", ["note:", "warning:"])])
def test_without_statistics_the_answer_stands_alone(home: Path, mode: str, rest: list[str]) -> None:
    lines = screen_of(scripted("answer"), *ASK, mode, home=home, columns=120, rows=24)
    assert [line.split()[0] for line in lines[:-1]] == rest
    assert lines[-1] == TEXT


def test_what_is_drawn_on_a_terminal_is_not_in_the_answer(home: Path) -> None:
    seen = on_terminal(scripted("frames"), *ASK, "--json", home=home)
    assert seen.pipe.startswith('{"schema": "sharpv.ask/1"')
    assert seen.pipe.count("\n") == 1
    assert seen.lines[-1].startswith("TTFT")


def test_statistics_in_a_file_come_in_the_same_order_and_whole(home: Path) -> None:
    command = f"{' '.join(scripted('frames'))} ask clip.mp4 '{QUESTION}' --stats 2>&1"
    lines = run(["bash", "-c", command], home=home).stdout.splitlines()
    assert sum("/196 " in line for line in lines) == 32
    order = [place(lines, start) for start in ("note:", "warning:", "time", "engine", TEXT, "TTFT")]
    assert order == sorted(order)
    assert lines[-1].endswith("load 4.21 s  decode 310 ms")
