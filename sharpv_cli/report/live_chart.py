"""What a terminal shows around an answer: above it what was kept, no higher than there is room, below it one line."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sharpv_cli.report import figures
from sharpv_cli.report.chart import MAX_WIDTH, bar_lines, fact_lines, layer_lines
from sharpv_cli.report.layout import GAP, Glyphs, glyphs_for
from sharpv_cli.report.sizes import format_bytes, format_seconds
from sharpv_cli.types import Answer, Reading

_FEW_ROWS = 4  # groups of frames, before layers are left out to have more of them
_FEWEST_ROWS = 2
_SOON_SEC = 0.01  # of an earlier question or command, which paid for it
_UNLIMITED = 1 << 30


class ReadingChart:
    """A Rich renderable of what was kept of a prompt, at most `most_lines` high; None: as high as it is.

    What there is no room for goes in this order: the model, single frames, single layers, all layers, all frames.
    """

    def __init__(self, reading: Reading, most_lines: int | None) -> None:
        self._reading = reading
        self._most = _UNLIMITED if most_lines is None else most_lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, glyphs = min(options.max_width, MAX_WIDTH), glyphs_for(options)
        yield from next((lines for lines in self._choices(width, glyphs) if len(lines) <= self._most), ())

    def _choices(self, width: int, glyphs: Glyphs) -> Iterator[list[Text]]:
        """From the richest to the poorest; of the frames each has as many groups as fit."""
        reading = self._reading
        runs = layer_lines(reading, figures.layer_rows(reading), width, glyphs)
        verdicts = layer_lines(reading, figures.verdict_rows(reading), width, glyphs)
        facts = fact_lines(figures.model_facts(reading), width, glyphs)
        yield self._composed(figures.MAX_ROWS, [Text(), *runs], facts, width, glyphs)
        yield self._composed(_FEW_ROWS, [Text(), *runs], [], width, glyphs)
        yield self._composed(_FEW_ROWS, [Text(), *verdicts], [], width, glyphs)
        yield self._composed(_FEWEST_ROWS, [], [], width, glyphs)
        yield bar_lines(reading, 1, width, glyphs)[1]

    def _composed(
        self, least: int, layers: list[Text], facts: list[Text], width: int, glyphs: Glyphs
    ) -> list[Text]:
        """All of it, with at least that many groups of frames, where there are so many."""
        frames, budgets = bar_lines(self._reading, least, width, glyphs)
        around = 2 + len(layers) + len(budgets) + len(facts)  # the frames' header, and an empty line
        rows = max(least, min(figures.MAX_ROWS, self._most - around))
        frames, budgets = bar_lines(self._reading, rows, width, glyphs)
        return [*frames, *layers, Text(), *budgets, *facts]


class ClosingLine:
    """A Rich renderable of an answer's time and memory: on one line what matters most, as far as that goes.

    TTFT, TPOT and the KV cache are always there, on lines of their own where one line is too short.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width if console.is_terminal else _UNLIMITED
        yield from (Text(line, style="note") for line in _closing_lines(self._answer, width))


def _closing_lines(answer: Answer, width: int) -> list[str]:
    memory, times = answer.memory, _times(answer)
    kept, dense = format_bytes(memory.kv_bytes), format_bytes(memory.kv_dense_bytes)
    further = [f"peak {format_bytes(memory.peak_bytes)}", *_waits(answer)]
    fullest = [*times, f"KV {kept} of {dense}", *further]
    least = [*times, f"KV {kept}"]
    choices = [*(fullest[:count] for count in range(len(fullest), len(times), -1)), least]
    joined = ((" " * GAP).join(parts) for parts in choices)
    return next(([line] for line in joined if len(line) <= width), least)


def _times(answer: Answer) -> list[str]:
    tpot = answer.timing.tpot_sec  # None: the first token was the only one
    return [
        f"TTFT {format_seconds(answer.timing.ttft_sec)}",
        f"TPOT {'n/a' if tpot is None else format_seconds(tpot)}",
    ]


def _waits(answer: Answer) -> list[str]:
    waits = (("load", answer.timing.load_sec), ("decode", answer.timing.decode_sec))
    return [f"{what} {format_seconds(seconds)}" for what, seconds in waits if seconds >= _SOON_SEC]
