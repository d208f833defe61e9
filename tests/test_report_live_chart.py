"""The chart above an answer in every room, and the figures below it at every width."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from make_answer import make_answer
from rich.cells import cell_len
from rich.console import Console, RenderableType

from sharpv_cli.report.live_chart import ClosingLine, ReadingChart
from sharpv_cli.types import Answer

ALTERNATING = [0.3, 0.1] * 20


def drawn(what: RenderableType, width: int, *, terminal: bool = True) -> list[str]:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, legacy_windows=False,
        _environ={},
    )  # fmt: skip
    with console.capture() as seen:
        console.print(what, style="none", soft_wrap=True)
    return [line.rstrip() for line in seen.get().splitlines()]


@pytest.mark.parametrize("answer", [make_answer(600), make_answer(3, similarities=ALTERNATING)])
@pytest.mark.parametrize("width", [20, 40, 72, 120])
def test_no_chart_is_higher_or_wider_than_there_is_room(answer: Answer, width: int) -> None:
    heights = []
    for room in (-5, *range(24), 40, 80):
        lines = drawn(ReadingChart(answer, room), width)
        assert len(lines) <= max(room, 0)
        assert all(cell_len(line) <= width for line in lines)
        heights.append(len(lines))
    assert sorted(heights) == heights  # more room never shows less
    assert len(drawn(ReadingChart(answer, None), width)) >= heights[-1]


def test_what_gives_way_first() -> None:
    answer = make_answer(600, similarities=ALTERNATING)
    shown = {
        room: {
            name
            for name, mark in (
                ("model", "engine"), ("layer", "\n0 "), ("layers", "\nlayers"), ("frames", "\n0:"), ("KV", "\nKV ret"),
            )
            if mark in "\n" + "\n".join(drawn(ReadingChart(answer, room), 80))
        }
        for room in (1, 3, 8, 18, 60, 100)
    }  # fmt: skip
    assert shown == {
        1: set(),
        3: {"KV"},
        8: {"KV", "frames"},
        18: {"KV", "frames", "layers"},
        60: {"KV", "frames", "layers", "layer"},
        100: {"KV", "frames", "layers", "layer", "model"},
    }


def test_frames_fill_what_room_there_is() -> None:
    lines = drawn(ReadingChart(make_answer(600), 21), 80)
    assert len(lines) == 21
    assert sum("/" in line for line in lines) == 1 + 12 + 1  # the header, groups of 50 frames, the budget


def test_the_figures_on_one_line_with_what_fits() -> None:
    answer = make_answer(8)
    answer = replace(answer, memory=replace(answer.memory, peak_bytes=912 << 20))
    assert {width: drawn(ClosingLine(answer), width) for width in (120, 80, 60, 40, 30)} == {
        120: [
            "TTFT 182 ms  TPOT 12.1 ms  KV 2.6 MiB of 15.9 MiB  peak 912.0 MiB  load 4.21 s  decode 310 ms"
        ],
        80: ["TTFT 182 ms  TPOT 12.1 ms  KV 2.6 MiB of 15.9 MiB  peak 912.0 MiB  load 4.21 s"],
        60: ["TTFT 182 ms  TPOT 12.1 ms  KV 2.6 MiB of 15.9 MiB"],
        40: ["TTFT 182 ms  TPOT 12.1 ms  KV 2.6 MiB"],
        30: ["TTFT 182 ms", "TPOT 12.1 ms", "KV 2.6 MiB"],
    }
    assert drawn(ClosingLine(answer), 30, terminal=False) == drawn(ClosingLine(answer), 120)


def test_one_token_has_no_time_per_token_and_a_later_question_loads_nothing() -> None:
    answer = make_answer(8)
    timing = replace(answer.timing, tpot_sec=None, load_sec=0.0, decode_sec=0.0)
    (line,) = drawn(ClosingLine(replace(answer, timing=timing)), 120)
    assert line.startswith("TTFT 182 ms  TPOT n/a  KV 2.6 MiB of 15.9 MiB  peak ")
    assert "load" not in line
