"""`sharpv doctor`: what was looked at, as a table, as plain lines and as a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sharpv_cli import __version__
from sharpv_cli.models.environment import Check
from sharpv_cli.report.layout import GAP
from sharpv_cli.text import printable

_NAME_WIDTH = 16  # cells; most names
_STACKED_WIDTH = 48  # columns; below it a value stands under its name


class CheckTable:
    """A Rich renderable of the checks of one group: its name, then name and value a row. Long values are folded."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        stacked = options.max_width < _STACKED_WIDTH
        yield Text(self._checks[0].group, style="bold")
        for check in self._checks:
            lines = Text("\n").join(
                Text(printable(text, ascii_only=options.ascii_only), style=style, overflow="fold")
                for text, style in _lines(check)
            )
            lines.overflow = "fold"
            yield _stacked(check.name, lines) if stacked else _row(check.name, lines)
        yield Text()


def _row(name: str, lines: Text) -> Table:
    grid = Table.grid(padding=(0, GAP))
    grid.add_column(width=_NAME_WIDTH, overflow="fold")
    grid.add_column(overflow="fold")
    grid.add_row(Text(name, style="dim"), lines)
    return grid


def _stacked(name: str, lines: Text) -> Table:
    grid = Table.grid()
    grid.add_column(overflow="fold")
    grid.add_row(Text(name, style="dim"))
    grid.add_row(Padding(lines, (0, 0, 0, GAP)))
    return grid


def plain_lines(checks: Sequence[Check]) -> str:
    """A line a check, `group.name: value`, for pipes: nothing is folded, so grep finds it."""
    return "".join(
        f"{check.group}.{check.name}: {printable(text)}\n" for check in checks for text, _ in _lines(check)
    )


def doctor_document(checks: Sequence[Check]) -> dict[str, object]:
    """The document `sharpv.doctor/1`; see docs/schema."""
    return {
        "schema": "sharpv.doctor/1",
        "sharpv_version": __version__,
        "exit_code": exit_code(checks),
        "checks": [asdict(check) for check in checks],
    }


def exit_code(checks: Sequence[Check]) -> int:
    """What `sharpv ask` would end with on this machine, 0 when nothing stands against it."""
    return next((check.exit_code for check in checks if check.exit_code is not None), 0)


def _lines(check: Check) -> Iterator[tuple[str, str]]:
    """Each line with its style; what it means is said in words as well."""
    yield check.value, ""
    if check.problem:
        label, style = ("note", "warning") if check.exit_code is None else ("problem", "error")
        yield f"{label}: {check.problem}", style
    if check.hint:
        yield f"hint: {check.hint}", "hint"
