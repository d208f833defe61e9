"""The figures of the chart as Markdown tables, for issues and READMEs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sharpv_cli.report import figures
from sharpv_cli.report.sizes import format_bytes, format_percent
from sharpv_cli.text import printable
from sharpv_cli.types import Answer

_DASH = "–"


def markdown_chart(answer: Answer) -> str:
    """Question, answer and the chart's figures as Markdown, ended by a newline."""
    blocks = (
        f"**Video** {code(answer.video.path)}",
        f"**Question**\n\n{fenced(answer.question)}",
        f"**Answer**\n\n{fenced(answer.text)}",
        _frames(answer),
        _layers(answer),
        _facts(answer),
    )
    return "\n\n".join(blocks) + "\n"


def _frames(answer: Answer) -> str:
    clock = figures.clock_of(answer)
    rows = (
        (row.time(clock, _DASH), f"{row.kept}/{row.total}", format_percent(row.ratio))
        for row in figures.frame_rows(answer.retention)
    )
    return table(("time", "visual tokens kept", "percent"), "lrr", rows)


def _layers(answer: Answer) -> str:
    rows = (
        (row.numbers(_DASH), row.verdict, row.similarity_text, format_bytes(row.kv_bytes))
        for row in figures.layer_rows(answer)
    )
    return table(("layers", "visual KV", figures.similarity_head(answer.m), "KV bytes"), "lllr", rows)


def _facts(answer: Answer) -> str:
    shares = ((label, format_percent(ratio)) for label, ratio in figures.budgets(answer))
    costs = ((fact.label, fact.value) for pair in figures.cost_facts(answer) for fact in pair)
    model = ((fact.label, cell(fact.value)) for fact in figures.model_facts(answer))
    return table(("figure", "value"), "lr", (*shares, *costs, *model))


def table(head: Sequence[str], aligns: str, rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; `aligns` has an `l` or `r` a column."""
    rule = ["---:" if align == "r" else ":---" for align in aligns]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def code(text: str) -> str:
    """`text` as a code span, in which Markdown leaves everything as it is (emoji codes too)."""
    text = printable(text)
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def cell(text: str) -> str:
    """Foreign `text` as a code span that no bar in it can cut off."""
    return code(text).replace("|", r"\|")


def fenced(text: str) -> str:
    """`text` as a fenced block, its lines as they are."""
    lines = [printable(line) for line in text.splitlines()]
    fence = "`" * max(3, _longest_run(text) + 1)
    return "\n".join((f"{fence}text", *lines, fence))


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
