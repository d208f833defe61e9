"""The report of `sharpv probe`: the file, the frames that would be taken, and what an answer would cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sharpv_cli.report import probe_figures as figures
from sharpv_cli.report.chart import LABEL_WIDTH, stacked
from sharpv_cli.report.figures import Fact
from sharpv_cli.report.layout import GAP, Column, Glyphs, glyphs_for, natural_width, table
from sharpv_cli.report.sizes import format_bytes
from sharpv_cli.text import printable
from sharpv_cli.types import ModelOutlook, Outlook

MAX_WIDTH = 100
_MIN_VALUE = 20  # cells; with less a value stands under its label


class ProbeChart:
    """A Rich renderable of an outlook. It looks only at the ConsoleOptions; every line fits, from 20 columns on.

    Long values (paths, the verdict) continue on the next line: nothing of them is lost.
    """

    def __init__(self, outlook: Outlook) -> None:
        self._outlook = outlook

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, glyphs = min(options.max_width, MAX_WIDTH), glyphs_for(options)
        for index, section in enumerate(_sections(self._outlook, width, glyphs)):
            yield from (*([Text()] if index else []), *section)


def _sections(outlook: Outlook, width: int, glyphs: Glyphs) -> Iterator[list[Text]]:
    yield _facts(
        [
            *figures.file_facts(outlook),
            *map(figures.stream_fact, outlook.streams),
            *figures.subtitle_facts(outlook),
        ],
        width,
        glyphs,
    )
    yield _facts(figures.plan_facts(outlook), width, glyphs)
    if outlook.model is not None:
        yield _facts(figures.model_facts(outlook.model), width, glyphs)
        yield _memory(outlook.model, width, glyphs)
        yield _facts(figures.need_facts(outlook.model), width, glyphs)
    if outlook.model_error is not None:
        error, hint = outlook.model_error
        yield _facts([Fact("model", error), *([Fact("hint", hint)] if hint else [])], width, glyphs)


def _memory(model: ModelOutlook, width: int, glyphs: Glyphs) -> list[Text]:
    """One row a scenario, or a sentence where not all of its columns fit."""
    rows = model.scenarios
    columns = (
        Column("memory", tuple(figures.scenario_name(row).ljust(LABEL_WIDTH) for row in rows)),
        Column("visual", tuple(f"{row.kept}" for row in rows), right=True),
        Column("KV cache", tuple(format_bytes(row.estimate.kv_cache) for row in rows), right=True),
        Column("peak", tuple(format_bytes(row.estimate.device_bytes) for row in rows), right=True),
        Column("", tuple(figures.VERDICTS[row.fits] for row in rows)),
    )
    if natural_width(columns) <= width:
        return table(columns, width, glyphs)
    return _facts(
        (Fact(figures.scenario_name(row), figures.scenario_text(row)) for row in rows), width, glyphs
    )


def _facts(facts: Iterable[Fact], width: int, glyphs: Glyphs) -> list[Text]:
    """A fact a line, its value continued below itself; under its label where the console is narrow."""
    lines = []
    room = width - LABEL_WIDTH - GAP
    for fact in facts:
        value = printable(fact.value, ascii_only=glyphs.ascii_only)
        if room < _MIN_VALUE:
            folded = _folded(value, width - GAP)
            lines += [*stacked(fact.label, folded[0], width, glyphs)]
            lines += [Text(" " * GAP + part) for part in folded[1:]]
            continue
        first, *rest = _folded(value, room)
        lines.append(Text.assemble((fact.label.ljust(LABEL_WIDTH + GAP), "dim"), first))
        lines += [Text(" " * (LABEL_WIDTH + GAP) + part) for part in rest]
    for line in lines:
        line.no_wrap, line.overflow = True, "ignore"
    return lines


def _folded(value: str, width: int) -> list[str]:
    """`value` in lines of at most `width` cells, broken at blanks where that is possible."""
    wrapped = Text(value).wrap(Console(width=width), width, overflow="fold")
    return [line.plain.rstrip() for line in wrapped] or [""]
