"""The chart, character by character, at the widths people have."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from make_answer import make_answer
from rich.cells import cell_len
from rich.console import Console

from sharpv_cli.report.chart import AnswerChart
from sharpv_cli.types import Answer

EIGHT_AT_40 = """\
time                 kept/total  percent
0:00.5  ███████████     196/196   100.0%
0:01.5  █▍─────────      24/196    12.2%
0:02.5  █▎─────────      23/196    11.7%
0:03.5  █▎─────────      22/196    11.2%
0:04.5  █▏─────────      21/196    10.7%
0:05.5  █▏─────────      20/196    10.2%
0:06.5  █▏─────────      19/196     9.7%
0:07.5  █──────────      18/196     9.2%

layers  visual KV  similarity (M 0.2)
0–3     kept       0.31 to 0.81
4–7     discarded  0.02 to 0.18
8–9     kept       0.24 to 0.33

visual retention  ███▎───────────  21.9%
KV retention      ██─────────────  13.1%
KV bytes dense    15.9 MiB
KV bytes now      2.6 MiB
TTFT              182 ms
TPOT              12.1 ms
model load        4.21 s
video decode      310 ms
model             builtin
device            cpu, float32
attention         sdpa (flash-attn need…
engine            fast (serves qwen2)
"""

EIGHT_AT_80 = """\
time              visual tokens kept                         kept/total  percent
0:00.5            █████████████████████████████████████████     196/196   100.0%
0:01.5            █████────────────────────────────────────      24/196    12.2%
0:02.5            ████▊────────────────────────────────────      23/196    11.7%
0:03.5            ████▋────────────────────────────────────      22/196    11.2%
0:04.5            ████▍────────────────────────────────────      21/196    10.7%
0:05.5            ████▏────────────────────────────────────      20/196    10.2%
0:06.5            ████─────────────────────────────────────      19/196     9.7%
0:07.5            ███▊─────────────────────────────────────      18/196     9.2%

layers            visual KV  similarity (M 0.2)   KV bytes
0–3               kept       0.31 to 0.81          1.6 MiB
4–7               discarded  0.02 to 0.18        240.0 KiB
8–9               kept       0.24 to 0.33        806.0 KiB

visual retention  █████████────────────────────────────────    343/1568    21.9%
KV retention      █████▍───────────────────────────────────                13.1%
KV bytes dense    15.9 MiB  KV bytes now  2.6 MiB
TTFT              182 ms    TPOT          12.1 ms
model load        4.21 s    video decode  310 ms
model             builtin
device            cpu, float32
attention         sdpa (flash-attn needs a CUDA device)
engine            fast (serves qwen2)
"""

EIGHT_AT_120 = """\
time              visual tokens kept                                             kept/total  percent
0:00.5            █████████████████████████████████████████████████████████████     196/196   100.0%
0:01.5            ███████▌─────────────────────────────────────────────────────      24/196    12.2%
0:02.5            ███████▏─────────────────────────────────────────────────────      23/196    11.7%
0:03.5            ██████▉──────────────────────────────────────────────────────      22/196    11.2%
0:04.5            ██████▌──────────────────────────────────────────────────────      21/196    10.7%
0:05.5            ██████▎──────────────────────────────────────────────────────      20/196    10.2%
0:06.5            █████▉───────────────────────────────────────────────────────      19/196     9.7%
0:07.5            █████▋───────────────────────────────────────────────────────      18/196     9.2%

layers            visual KV  similarity (M 0.2)   KV bytes
0–3               kept       0.31 to 0.81          1.6 MiB
4–7               discarded  0.02 to 0.18        240.0 KiB
8–9               kept       0.24 to 0.33        806.0 KiB

visual retention  █████████████▍───────────────────────────────────────────────    343/1568    21.9%
KV retention      ████████─────────────────────────────────────────────────────                13.1%
KV bytes dense    15.9 MiB  KV bytes now  2.6 MiB
TTFT              182 ms    TPOT          12.1 ms
model load        4.21 s    video decode  310 ms
model             builtin
device            cpu, float32
attention         sdpa (flash-attn needs a CUDA device)
engine            fast (serves qwen2)
"""

EIGHT_IN_ASCII = """\
time    visual tokens kept               kept/total  percent
0:00.5  ###############################     196/196   100.0%
0:01.5  ####...........................      24/196    12.2%
0:02.5  ####...........................      23/196    11.7%
0:03.5  ###............................      22/196    11.2%
0:04.5  ###............................      21/196    10.7%
0:05.5  ###............................      20/196    10.2%
0:06.5  ###............................      19/196     9.7%
0:07.5  ###............................      18/196     9.2%

layers  visual KV  similarity (M 0.2)   KV bytes
0-3     kept       0.31 to 0.81          1.6 MiB
4-7     discarded  0.02 to 0.18        240.0 KiB
8-9     kept       0.24 to 0.33        806.0 KiB

visual retention  #####....................  343/1568  21.9%
KV retention      ###......................            13.1%
KV bytes dense    15.9 MiB  KV bytes now  2.6 MiB
TTFT              182 ms    TPOT          12.1 ms
model load        4.21 s    video decode  310 ms
model             builtin
device            cpu, float32
attention         sdpa (flash-attn needs a CUDA device)
engine            fast (serves qwen2)
"""

EIGHT_AT_20 = """\
time    percent
0:00.5   100.0%
0:01.5    12.2%
0:02.5    11.7%
0:03.5    11.2%
0:04.5    10.7%
0:05.5    10.2%
0:06.5     9.7%
0:07.5     9.2%

layers  visual KV
0–3     kept
4–7     discarded
8–9     kept

visual retention
  21.9%
KV retention
  13.1%
KV bytes dense
  15.9 MiB
KV bytes now
  2.6 MiB
TTFT
  182 ms
TPOT
  12.1 ms
model load
  4.21 s
video decode
  310 ms
model
  builtin
device
  cpu, float32
attention
  sdpa (flash-attn …
engine
  fast (serves qwen…
"""

# 600 frames, 6.5 s apart: 19 a row makes 31 rows and one of the last 11.
HOUR_HEAD = """\
time              visual tokens kept                         kept/total  percent
0:00:03–0:02:00   █████▏──────────────────────────────────     475/3724    12.8%
0:02:07–0:04:04   ██▊─────────────────────────────────────     255/3724     6.8%
"""
HOUR_TAIL = """\
1:01:48–1:03:45   ██▋─────────────────────────────────────     250/3724     6.7%
1:03:52–1:04:57   █▍──────────────────────────────────────      77/2156     3.6%

layers            visual KV  similarity     KV bytes
0–27              kept       not measured  212.1 MiB

visual retention  ██▋─────────────────────────────────────  7695/117600     6.5%
KV retention      ██▋─────────────────────────────────────                  6.5%
KV bytes dense    3.1 GiB  KV bytes now  212.1 MiB
TTFT              182 ms   TPOT          12.1 ms
model load        4.21 s   video decode  310 ms
model             builtin
device            cpu, float32
attention         sdpa (flash-attn needs a CUDA device)
engine            fast (serves qwen2)
"""

ONE_FRAME = """\
time              visual tokens kept                         kept/total  percent
0:00.5            ─────────────────────────────────────────       0/196     0.0%

layers            visual KV  similarity (M 0.2)   KV bytes
0–1               discarded  0.10                120.0 KiB

visual retention  ─────────────────────────────────────────       0/196     0.0%
KV retention      ─────────────────────────────────────────                 0.0%
KV bytes dense    512.0 KiB  KV bytes now  120.0 KiB
TTFT              182 ms     TPOT          one token only
model load        4.21 s     video decode  310 ms
model             builtin
device            cpu, float32
attention         sdpa (flash-attn needs a CUDA device)
engine            fast (serves qwen2)
"""


def drawn(answer: Answer, width: int, *, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False, _environ={})
    console.print(AnswerChart(answer))
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("width", "expected"),
    [(20, EIGHT_AT_20), (40, EIGHT_AT_40), (80, EIGHT_AT_80), (120, EIGHT_AT_120), (200, EIGHT_AT_120)],
)
def test_eight_frames(width: int, expected: str) -> None:
    assert drawn(make_answer(8), width) == expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_streams_without_unicode_get_ascii(encoding: str) -> None:
    assert drawn(make_answer(8), 60, encoding=encoding) == EIGHT_IN_ASCII


def test_many_frames_are_grouped_into_rows_of_equal_size() -> None:
    chart = drawn(make_answer(600, frame_sec=6.5, similarities=[None] * 28), 80)
    assert chart.startswith(HOUR_HEAD)
    assert chart.endswith(HOUR_TAIL)
    assert chart.count("/3724") == 31


def test_rows_on_both_sides_of_the_limit() -> None:
    assert drawn(make_answer(32), 80).count("/196 ") == 32
    assert drawn(make_answer(33), 80).count("/392 ") == 16


def test_narrow_groups_show_where_they_start() -> None:
    lines = drawn(make_answer(600, frame_sec=6.5), 30).splitlines()
    assert lines[1].split()[0] == "0:00:03"
    assert lines[2].split()[0] == "0:02:07"


def test_one_frame_with_nothing_kept_and_one_token() -> None:
    answer = make_answer(1, kept=[0], similarities=[0.1, 0.1])
    answer = replace(answer, timing=replace(answer.timing, tpot_sec=None))
    assert drawn(answer, 80) == ONE_FRAME


def test_no_layer_discarded_is_one_run() -> None:
    chart = drawn(make_answer(8, discard_below=-1.0), 80)
    assert "\n0–9               kept       0.02 to 0.81        3.9 MiB\n" in chart
    assert "discarded" not in chart


def test_alternating_layers_are_a_line_each() -> None:
    chart = drawn(make_answer(2, similarities=[0.5, 0.1] * 3), 80)
    verdicts = [line.split()[:2] for line in chart.splitlines() if line[:1].isdigit() and ":" not in line[:4]]
    assert verdicts == [[str(layer), ("kept", "discarded")[layer % 2]] for layer in range(6)]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("frames", [1, 8, 600])
def test_no_line_is_wider_than_the_console(frames: int, encoding: str) -> None:
    answer = make_answer(frames, frame_sec=7.0, tokens=1024)
    answer = replace(answer, model=replace(answer.model, id="モデル/" * 40, attention_reason="because " * 40))
    for width in range(20, 201):
        lines = drawn(answer, width, encoding=encoding).splitlines()
        assert max(cell_len(line) for line in lines) <= width
        assert len(lines) < 80


@pytest.mark.parametrize("width", range(20, 121))
def test_every_width_names_both_budgets(width: int) -> None:
    chart = " ".join(drawn(make_answer(8), width).split())
    assert chart.index("visual retention") < chart.index("21.9%") < chart.index("KV retention")
    assert chart.index("KV retention") < chart.index("13.1%")


def test_bars_are_full_or_empty_only_at_all_or_nothing() -> None:
    lines = drawn(make_answer(3, tokens=10_000, kept=[9_999, 1, 0]), 80).splitlines()[1:4]
    assert [line.split()[-1] for line in lines] == [">99.9%", "<0.1%", "0.0%"]
    bars = [line[18:60].split("  ")[0].rstrip("─") for line in lines]
    assert bars[0][-1] == "▉"
    assert bars[1] == "▏"
    assert bars[2] == ""


def test_similarities_have_the_digits_that_tell_them_from_m() -> None:
    """0.1987 is no 0.20 that was discarded, and 0.19996 none that was kept."""
    chart = drawn(make_answer(2, similarities=[0.31, 0.2, 0.1987, 0.5]), 80)
    assert [line[29:43] for line in chart.splitlines() if " kept " in line or "discarded" in line][1:] == [
        "0.200 to 0.310",
        "0.199         ",
        "0.500         ",
    ]
    assert "0.20000 to 0.30000" in drawn(make_answer(2, similarities=[0.3, 0.2, 0.19996]), 80)
    assert "similarity (M 0.2)" in chart


def test_no_two_words_touch() -> None:
    assert re.search(r"KV bytes now  +2\.6 MiB\n", drawn(make_answer(8), 80))


def test_foreign_text_is_shown_as_it_is() -> None:
    answer = make_answer(2)
    answer = replace(answer, model=replace(answer.model, id="[red]m[/red] :smile: [/]"))
    assert "model             [red]m[/red] :smile: [/]\n" in drawn(answer, 80)


def test_foreign_text_cannot_move_the_cursor_or_break_the_stream() -> None:
    answer = make_answer(2)
    answer = replace(answer, model=replace(answer.model, id="a\x1b[2Jb\udcffc\nd"))
    assert "a\\x1b[2Jb\\udcffc\\nd\n" in drawn(answer, 80)
    assert "a\\x1b[2Jb\\udcffc\\nd\n" in drawn(answer, 80, encoding="ascii")


def test_one_accent_colour_and_no_meaning_by_colour_alone() -> None:
    console = Console(
        file=io.StringIO(), width=80, force_terminal=True, color_system="standard", legacy_windows=False,
        _environ={},
    )  # fmt: skip
    console.print(AnswerChart(make_answer(8)))
    coloured = console.file.getvalue()  # type: ignore[attr-defined]
    codes = {part.split("m")[0] for part in coloured.split("\x1b[")[1:]}
    assert codes == {"0", "2", "36"}
