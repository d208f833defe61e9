"""The report of a profile, character by character at the widths people have, and whole whatever is missing.

The files tests/golden/profile_*.txt hold what is right; `SHARPV_GOLDEN=write pytest tests/test_report_profile_chart.py`
writes them anew, for a reader to check in the diff.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace

import pytest
from drawing import drawn
from golden_profile import ENGINES, FAILED, GOLDEN, REASON, SWEEP, golden_profile
from make_answer import make_answer, make_profile
from rich.cells import cell_len
from rich.console import Console

from sharpv_cli.report.profile_chart import ProfileChart
from sharpv_cli.types import (
    ClipProfile,
    EngineProfile,
    Failure,
    MethodName,
    MethodProfile,
)


def chart(profile: ClipProfile, width: int, encoding: str = "utf-8") -> str:
    return drawn(ProfileChart(profile), width, encoding=encoding)


def row(text: str, label: str) -> str:
    """What stands after `label` on the first line that begins with it, single-spaced."""
    line = next(line for line in text.splitlines() if line.startswith(f"{label}  "))
    return " ".join(line.removeprefix(label).split())


@pytest.mark.parametrize(
    ("name", "width", "encoding"),
    [
        ("40", 40, "utf-8"),
        ("60", 60, "utf-8"),
        ("80", 80, "utf-8"),
        ("120", 120, "utf-8"),
        ("ascii", 80, "ascii"),
    ],
)
def test_golden(name: str, width: int, encoding: str) -> None:
    text = chart(golden_profile(), width, encoding)
    file = GOLDEN / f"profile_{name}.txt"
    if os.environ.get("SHARPV_GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_wider_consoles_add_nothing() -> None:
    assert chart(make_profile(2), 200) == chart(make_profile(2), 120)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("frames", [1, 600])
def test_no_line_is_wider_than_the_console(frames: int, encoding: str) -> None:
    profile = make_profile(frames, sweep=SWEEP, slower=300.0, engines=ENGINES, sweep_failures=FAILED)
    profile = replace(profile, engines=(*profile.engines[:4], not_run(profile.engines[4])))
    methods = [
        replace(method, answer=replace(method.answer, text="円が動く。" * 40)) for method in profile.methods
    ]
    profile = replace(profile, methods=tuple(methods), question="なぜ " * 80)
    for width in range(20, 161):
        assert max(cell_len(line) for line in chart(profile, width, encoding).splitlines()) <= width, width


@pytest.mark.parametrize("width", range(20, 161, 7))
def test_every_width_shows_every_method_with_both_budgets_and_all_times(width: int) -> None:
    words = " ".join(chart(make_profile(8), width).split())
    for name in ("dense", "visual", "memory", "sharpv"):
        assert name in words
    for label in ("visual retention", "KV retention", "TTFT", "TPOT", "end to end", "prefill", "vision"):
        assert label in words
    for figure in ("21.9%", "13.1%", "60.0%", "302 ms", "183 ms", "12.4 ms", "717 ms", "523 ms"):
        assert figure in words, figure


def test_medians_ranges_and_ratios() -> None:
    # Runs drift by 0, 2, 4, 0 and 2 %: of prefills of 180 ms (dense) and 63 ms (visual) the medians are
    # 183.6 and 64.26 ms, between 180 and 187.2, and 63 and 65.52; the ratio is 0.35.
    text = chart(make_profile(8, methods=("dense", "visual")), 120)
    assert row(text, "prefill") == "184 ms 180–187 64.3 ms 63.0–65.5 0.35x"
    # 31 ms of decoding and runs of 672.64, 686.09 and 699.55 ms.
    assert row(text, "end to end").startswith("717 ms 704–731")


def test_times_over_the_devices_floors() -> None:
    text = chart(make_profile(8, methods=("dense",)), 80)
    # 6.5 GFLOP in 95.88 ms and 9 in 183.6 ms at 140 GFLOP/s; 24 MB of weights and the KV cache in 12.3828 ms at
    # 12.3 GB/s.
    assert row(text, "vision vs floor") == f"{0.09588 * 140e9 / 6.5e9:.1f}x"
    assert row(text, "prefill vs floor") == f"{0.1836 * 140e9 / 9e9:.1f}x"
    kv_bytes = 10 * (8 * 196 + 60) * 1024
    assert row(text, "decode vs floor") == f"{0.0123828 * 12.3e9 / (24e6 + kv_bytes):.1f}x"


def test_without_rates_no_floors() -> None:
    text = chart(make_profile(8, rates=None), 80)
    assert "floor" not in text
    assert "prefill FLOPs" in text


def test_what_sharpv_itself_takes_of_ttft() -> None:
    text = chart(make_profile(8), 80)
    assert row(text, "scoring cost") == "- 0.7% - 0.7%"
    # Prefills of 183.6, 64.26, 179.93 and 66.1 ms; TTFT of 298.6 (memory) and 184.7 ms (both).
    assert (
        row(text, "memory cost") == f"- - {(0.98 - 1) * 0.1836 / 0.29855:.1%} {0.01 * 0.1836 / 0.18473:.1%}"
    )
    alone = chart(make_profile(8, methods=("dense", "visual")), 80)
    assert "memory cost" not in alone
    assert "cost" not in chart(make_profile(8, methods=("dense",)), 80)


def test_without_dense_nothing_is_compared() -> None:
    text = chart(make_profile(8, methods=("visual", "both")), 120)
    assert "x" not in row(text, "TTFT")
    assert "dense" not in text
    assert row(text, "sharpv") == "a red circle moves left."


def test_answers_agree_or_differ() -> None:
    text = chart(make_profile(8), 80)
    assert row(text, "dense") == "a red circle moves left. a blue square stays still."
    assert "\nvisual            same as dense\nmemory            same as dense\n" in text
    assert "\nsharpv            differs: a red circle moves left.\n" in text


def test_long_answers_fold_so_that_their_ends_can_be_compared() -> None:
    profile = make_profile(2, methods=("dense",))
    long = replace(profile.methods[0].answer, text=f"{'a red circle moves left. ' * 8}the end.")
    text = chart(replace(profile, methods=(replace(profile.methods[0], answer=long),)), 40)
    assert "the end." in text


def test_an_empty_answer_is_told() -> None:
    profile = make_profile(2, methods=("dense",))
    empty = replace(profile.methods[0].answer, text=" ")
    text = chart(replace(profile, methods=(replace(profile.methods[0], answer=empty),)), 80)
    assert "\ndense             (empty)\n" in text


@pytest.mark.parametrize(
    ("methods", "frames_of", "layers_of"),
    [
        (("dense",), None, None),
        (("dense", "visual"), "visual", None),
        (("dense", "memory"), None, "memory"),
        (("visual", "both", "memory"), "sharpv", "sharpv"),
    ],
)
def test_figures_are_of_the_method_that_has_them(
    methods: tuple[MethodName, ...], frames_of: str | None, layers_of: str | None
) -> None:
    text = chart(make_profile(8, methods=methods), 80)
    for title, method in (("visual retention by frame", frames_of), ("similarity by layer", layers_of)):
        assert (title in text) == (method is not None)
        assert method is None or f"{title} ({method})" in text


def test_layers_show_m_and_the_discarded() -> None:
    lines = chart(make_profile(8), 80).splitlines()
    start = lines.index("similarity by layer (sharpv), M = 0.20") + 1
    header, *layers = lines[start : start + 11]
    mark = header.index("M")
    # The bar's columns begin at 18; a fifth of them lies before M = 0.2.
    assert mark == 18 + (header.index("similarity") - 2 - 18) // 5
    assert {line[mark] for line in layers} == {"│"}
    discarded = [int(line.split()[0]) for line in layers if "discarded" in line]
    assert discarded == [4, 5, 6, 7]
    reaching = [int(line.split()[0]) for line in layers if "█" in line[mark:]]
    assert reaching == [0, 1, 2, 3, 9]  # 8, with 0.24, ends within the cell after the line
    assert [
        line.split()[-4] for line in layers
    ] == "0.81 0.74 0.52 0.31 0.18 0.12 0.05 0.02 0.24 0.33".split()


@pytest.mark.parametrize("m", [None, -0.5, 1.0, 0.0])
def test_any_m_can_be_drawn(m: float | None) -> None:
    text = chart(make_profile(8, m=m), 80)
    assert ("M = " in text) == (m is not None)
    assert ("│" in text) == (m in (0.0, 1.0))


def test_layers_that_were_not_all_measured() -> None:
    profile = make_profile(2, methods=("both",))
    answer = make_answer(2, similarities=(0.5, None, -0.02))
    text = chart(replace(profile, methods=(replace(profile.methods[0], answer=answer),)), 80)
    assert row(text, "1").startswith("│ - kept")
    assert row(text, "2").startswith("│ -0.02 discarded")


@pytest.mark.parametrize(("runs", "shown"), [(1, "median run"), (5, "median run"), (4, "lower median run")])
def test_the_run_of_the_stacks_is_named(runs: int, shown: str) -> None:
    assert f"time by stage ({shown})" in chart(make_profile(8, runs=runs), 80).splitlines()


def test_stacks_share_a_scale_and_sum_to_the_median_run() -> None:
    lines = chart(make_profile(8), 80).splitlines()
    start = lines.index("time by stage (median run)") + 1
    bars = {line.split()[0]: line[18:].split() for line in lines[start : start + 4]}
    assert bars["dense"][1:] == ["717", "ms"]
    assert bars["visual"][1:] == ["523", "ms"]
    width = len(bars["dense"][0])
    for name, total in (("visual", 0.5228987739), ("sharpv", 0.5258863744), ("memory", 0.7111175)):
        assert len(bars[name][0]) == round(width * total / 0.7170928), name
    # 184 of 717 ms of prefill in dense, 64 ms in visual.
    assert bars["dense"][0].count("█") == pytest.approx(width * 0.1836 / 0.7171, abs=1)
    assert bars["visual"][0].count("█") == pytest.approx(width * 0.06426 / 0.7171, abs=1)


def test_decoding_that_is_waited_for_and_decoding_that_is_hidden() -> None:
    profile = make_profile(8, methods=("both",))
    runs = tuple(
        replace(run, decode_sec=0.3, decode_wait_sec=0.05, total_sec=run.total_sec + 0.05)
        for run in profile.methods[0].runs
    )
    text = chart(replace(profile, methods=(replace(profile.methods[0], runs=runs),)), 80)
    assert row(text, "decode") == "300 ms"
    assert row(text, "waited for") == "50.0 ms 50.0–50.0"
    assert "hidden: decoding beside it" in " ".join(text.split())
    lines = text.splitlines()
    start = lines.index("time by stage (median run)") + 1
    both, hidden = (line.split() for line in lines[start : start + 2])
    assert hidden[0] == "hidden"
    assert hidden[2:] == ["250", "ms"]
    # The decoding that is waited for is a part of the whole, and the hidden one lies beside it on the same scale.
    assert row(text, "end to end").startswith(f"{(both_median(profile) + 0.05) * 1000:.0f} ms")
    assert len(hidden[1]) == pytest.approx(len(both[1]) * 0.25 / (both_median(profile) + 0.05), abs=1)
    assert both[1].count("╌") == pytest.approx(len(both[1]) * 0.05 / (both_median(profile) + 0.05), abs=1)


def both_median(profile: ClipProfile) -> float:
    return sorted(run.total_sec for run in profile.methods[0].runs)[2]


def test_before_the_first_timed_run() -> None:
    text = chart(make_profile(8, runs=0, rates=None), 80)
    assert row(text, "timed runs") == "0 each, interleaved"
    assert row(text, "TTFT") == "- - - -"
    assert row(text, "visual retention") == "100.0% 21.9% 100.0% 21.9%"
    assert "time by stage" not in text


def test_interrupted_in_the_middle_of_a_round() -> None:
    text = chart(make_profile(8, runs=(3, 3, 2, 2), interrupted=True), 80)
    assert row(text, "timed runs") == "2 to 3 each, interleaved"
    assert "\ninterrupted       what was done is here\n" in text


def test_before_the_first_answer() -> None:
    text = chart(make_profile(8, methods=(), runs=(), interrupted=True, rates=None), 80)
    assert row(text, "question") == "Describe the video."
    assert "TTFT" not in text


def test_one_new_token_has_no_tpot() -> None:
    profile = make_profile(2, methods=("dense",), runs=1)
    run = replace(profile.methods[0].runs[0], tpot_sec=None)
    text = chart(replace(profile, methods=(replace(profile.methods[0], runs=(run,)),)), 80)
    assert row(text, "TPOT") == "-"
    assert row(text, "decode vs floor") == "-"


def test_peak_memory_is_a_methods_own_only_on_a_device_that_can_reset_it() -> None:
    profile = make_profile(2)
    assert "peak memory       867.8 MiB (process)\n" in chart(profile, 80)
    methods = []
    for index, method in enumerate(profile.methods):
        answer = replace(
            method.answer,
            model=replace(method.answer.model, device="cuda:0"),
            memory=replace(method.answer.memory, peak_bytes=(10 - index) << 20),
        )
        methods.append(replace(method, answer=answer))
    text = chart(replace(profile, methods=tuple(methods)), 80)
    assert row(text, "peak memory") == "10.0 MiB 9.0 MiB 0.90x 8.0 MiB 0.80x 7.0 MiB 0.70x"
    assert "(process)" not in text


def test_sweeps_are_a_line_a_value_grouped_by_key() -> None:
    lines = chart(make_profile(8, sweep=(("w", 0), ("m", 0.1), ("w", 2))), 80).splitlines()
    start = lines.index("sweep of w") + 3
    assert [line.split()[0] for line in lines[start : start + 2]] == ["0", "2"]
    # TTFT of both: 0.1163 s of vision and the like and 0.36 * 180 ms; drift of 0 and 2 %: 1 % in the middle.
    assert lines[start].split()[:6] == [
        "0",
        "343/1568",
        "21.9%",
        "13.1%",
        f"{(0.1163 + 0.0648) * 1010:.0f}",
        "ms",
    ]
    assert "sweep of m" in lines
    assert "sweep of k (manual mode)" in chart(make_profile(2, sweep=(("k", 1.6),)), 80)


def on_a_gpu(method: MethodProfile, peak_bytes: int) -> MethodProfile:
    model = replace(method.answer.model, device="cuda:0")
    memory = replace(method.answer.memory, peak_bytes=peak_bytes)
    return replace(method, answer=replace(method.answer, model=model, memory=memory))


def test_frames_are_swept_dense_as_well_and_their_memory_is_a_figure() -> None:
    profile = make_profile(8, methods=("both",), sweep=(("frames", 8), ("frames", 32)))
    text = chart(profile, 120)
    # 1024 bytes an entry and layer: 10 layers of 8 and of 32 frames of 196 tokens, and of 60 tokens of text.
    lines = text.splitlines()
    start = lines.index("KV bytes by frames") + 2
    names = [(" ".join(line[:18].split()), line.split()[-2]) for line in lines[start : start + 4]]
    assert names == [("8 dense", "15.9"), ("8 sharpv", "2.6"), ("32 dense", "61.8"), ("32 sharpv", "4.4")]
    bars = [line.count("█") for line in lines[start : start + 4]]
    assert bars[2] == max(bars)
    assert bars[0] == pytest.approx(bars[2] * 15.9 / 61.8, abs=1)
    assert "peak memory by frames" not in text, "on the CPU it is the process's"

    methods = tuple(on_a_gpu(method, 10 << 20) for method in profile.methods)
    points = tuple(
        replace(point, profile=on_a_gpu(point.profile, int(point.value) << 20)) for point in profile.sweep
    )
    text = chart(replace(profile, methods=methods, sweep=points), 120)
    assert "peak memory by frames" in text
    assert "32.0 MiB" in text[text.index("sweep of frames") : text.index("KV bytes by frames")]


@pytest.mark.parametrize("width", [40, 120])
def test_a_value_that_could_not_be_measured_says_why(width: int) -> None:
    text = chart(make_profile(8, sweep=(("frames", 8),), sweep_failures=FAILED), width)
    words = " ".join(text.split())
    assert f"frames = 128: not run: {REASON}" in words
    assert f"frames = 128, dense: not run: {REASON}" in words
    only_dense = " ".join(
        chart(make_profile(8, sweep=(("frames", 128),), sweep_failures=FAILED[1:]), width).split()
    )
    assert only_dense.count(REASON) == 1


def not_run(engine: EngineProfile) -> EngineProfile:
    return replace(engine, answer=None, runs=(), failure=Failure("its layers are of another kind", None))


def test_engines_side_by_side() -> None:
    text = chart(make_profile(8, engines=ENGINES), 120)
    dense = text[text.index("engines, dense") :]
    assert row(dense, "equal tokens") == "- first 6 first 4"
    assert row(dense, "prefill") == "- 184 ms 180–187 55.1 ms 54.0–56.2"
    # Prefills of 216, 180 and 54 ms, beside 116.3 ms of all else, which drift by 2 % in the median.
    assert row(dense, "TTFT").startswith("339 ms 332–346 302 ms 296–308 0.89x 174 ms")
    given = text[text.index("engines, settings as given") :]
    assert row(given, "equal tokens") == "- first 4"
    assert row(given, "KV bytes") == "2.6 MiB 0.16x 2.6 MiB 0.16x"
    assert "x: ratio to stock, dense" in text


def test_without_stock_the_first_engine_is_what_others_are_compared_with() -> None:
    text = chart(make_profile(8, engines=("reference", "fast")), 120)
    assert "x: ratio to reference, dense" in text
    assert "peak memory by" not in text
    assert "engines" not in chart(make_profile(8), 120)


def test_an_engine_that_cannot_run_says_why() -> None:
    profile = make_profile(8, engines=ENGINES)
    engines = [not_run(one) if one.engine == "stock" else one for one in profile.engines]
    text = chart(replace(profile, engines=tuple(engines)), 80)
    dense = text[text.index("engines, dense") :]
    assert row(dense, "tokens") == "not run 6 6"
    assert "stock: not run: its layers are of another kind\n" in dense
    assert "x: ratio to reference, dense" in " ".join(dense.split())


def test_narrow_sweeps_keep_their_figures() -> None:
    text = chart(make_profile(8, sweep=(("w", 0.5),)), 40)
    tail = text[text.index("w = 0.5") :]
    for label in ("visual tokens", "visual retention", "KV retention", "TTFT", "TPOT", "KV bytes", "answer"):
        assert f"\n{label}" in tail


def test_foreign_text_cannot_move_the_cursor_or_be_markup() -> None:
    profile = make_profile(2, methods=("dense",), question="[red]why[/red] :smile: \x1b[2J")
    answer = replace(profile.methods[0].answer, text="a\x1b[2Jb [bold]c[/bold]")
    profile = replace(profile, methods=(replace(profile.methods[0], answer=answer),))
    for encoding in ("utf-8", "ascii"):
        text = chart(profile, 80, encoding)
        assert "[red]why[/red] :smile: \\x1b[2J" in text
        assert "a\\x1b[2Jb [bold]c[/bold]" in text
        assert "\x1b" not in text


def test_colour_adds_nothing_to_the_text() -> None:
    profile = make_profile(8, sweep=SWEEP)
    console = Console(
        file=io.StringIO(), width=80, color_system="truecolor", force_terminal=True, record=True,
        legacy_windows=False, _environ={},
    )  # fmt: skip
    console.print(ProfileChart(profile))
    assert console.export_text(styles=False) == chart(profile, 80)


def test_stages_are_told_apart_by_their_fill() -> None:
    for encoding in ("utf-8", "ascii"):
        legend = next(
            line
            for line in chart(make_profile(8), 80, encoding).splitlines()
            if "scoring  " in line and "generation" in line
        )
        fills = legend.split()[::2]
        assert legend.split()[1::2] == ["decode", "preprocess", "vision", "scoring", "prefill", "generation"]
        assert len(set(fills)) == 6
