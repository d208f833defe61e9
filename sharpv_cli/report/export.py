"""`--chart-out`: the chart as a file, in the format that its suffix names."""

from __future__ import annotations

import html
import io
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sharpv_cli.errors import UsageError
from sharpv_cli.report import templates
from sharpv_cli.report.chart import LABEL_WIDTH, AnswerChart
from sharpv_cli.report.contact_sheet import contact_sheet
from sharpv_cli.report.markdown import markdown_chart
from sharpv_cli.report.sizes import printable
from sharpv_cli.types import Answer

WIDTH = 80  # columns of the text that svg, html and txt hold
_SVG_LENGTH = re.compile(r'(<text [^>]*?)( textLength="[^"]*")([^>]*>)([^<]*)')


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise UsageError where `write_chart` could not write `path`; meant to run before the real work."""
    target = Path(path)
    if target.suffix.lower() not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise UsageError(f"cannot write a chart to {_shown(target)}", hint=f"end the name in one of {known}")
    if os.path.isdir(target):  # noqa: PTH112  (unlike Path.is_dir it never raises)
        raise UsageError(f"{_shown(target)} is a folder", hint="name a file in it")
    try:
        # The file system's own answer: permission bits know nothing of read-only mounts.
        with tempfile.TemporaryFile(dir=_final(target).parent):
            pass
    except OSError as error:
        raise _not_writable(target, error) from error


def write_chart(answer: Answer, path: str | os.PathLike[str]) -> None:
    """Write the chart to `path` as svg, html, png, md or txt, whichever its suffix says.

    The file appears whole or not at all: it is written under a temporary name beside the target and renamed.
    Raises UsageError for an unknown suffix and where the folder does not take the file.
    """
    check_target(path)
    target = Path(path)
    content = _FORMATS[target.suffix.lower()](answer)
    try:
        _write_atomically(target, content)
    except OSError as error:
        raise _not_writable(target, error) from error


def _write_atomically(target: Path, content: bytes) -> None:
    final = _final(target)
    partial = final.with_name(f".sharpv-{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def _final(target: Path) -> Path:
    """Where `target` leads: a rename must replace what a symbolic link points to, not the link."""
    return Path(os.path.realpath(target))  # unlike Path.resolve it does not raise on a loop of links


def _not_writable(target: Path, error: OSError) -> UsageError:
    if isinstance(error, FileNotFoundError):
        folder = _shown(_final(target).parent)
        return UsageError(
            f"cannot write {_shown(target)}: its folder is missing", hint=f"create {folder} first"
        )
    reason = error.strerror or str(error)
    return UsageError(f"cannot write {_shown(target)}: {reason}", hint="choose another place for the chart")


def _shown(target: Path) -> str:
    return printable(str(target))


def _console(width: int, *, color: bool) -> Console:
    """A console that writes to memory and takes nothing from the environment it runs in."""
    return Console(
        file=io.StringIO(),
        record=True,
        width=width,
        force_terminal=color,
        force_jupyter=False,
        color_system="truecolor" if color else None,
        no_color=not color,
        legacy_windows=False,
        emoji=False,
        markup=False,
        highlight=False,
        _environ={},
    )


def _heading(answer: Answer) -> Table:
    """The question in its context, with line breaks where they were and long lines folded."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=LABEL_WIDTH)
    facts = (("video", answer.video.path), ("question", answer.question), ("answer", answer.text))
    for label, value in facts:
        lines = (printable(line) for line in value.expandtabs(4).splitlines())
        grid.add_row(Text(label, style="dim"), Text("\n".join(lines), overflow="fold"))
    return grid


def _drawn(answer: Answer, *, color: bool) -> Console:
    margin = 1 if color else 0  # columns at each side
    console = _console(WIDTH + 2 * margin, color=color)
    console.print(Padding(_heading(answer), (0, margin)))
    console.print()
    console.print(Padding(AnswerChart(answer), (0, margin)))
    return console


def _svg(answer: Answer) -> bytes:
    console = _drawn(answer, color=True)
    svg = console.export_svg(theme=templates.THEME, code_format=templates.SVG, font_aspect_ratio=0.602)
    return _SVG_LENGTH.sub(_fitted, svg).encode()


def _fitted(match: re.Match[str]) -> str:
    """A text element of Rich's SVG, stretched to its cells: spacing it out would leave seams in the bars.

    Wide characters keep their own width, for Rich counts them as one cell here and they would overlap.
    """
    tag, length, rest, text = match.groups()
    wide = cell_len(html.unescape(text)) != len(html.unescape(text))
    return f"{tag}{rest}{text}" if wide else f'{tag} lengthAdjust="spacingAndGlyphs"{length}{rest}{text}'


def _html(answer: Answer) -> bytes:
    console = _drawn(answer, color=True)
    return console.export_html(theme=templates.THEME, code_format=templates.HTML).encode()


def _txt(answer: Answer) -> bytes:
    text = _drawn(answer, color=False).export_text()
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines()).encode()


def _md(answer: Answer) -> bytes:
    return markdown_chart(answer).encode()


def _png(answer: Answer) -> bytes:
    buffer = io.BytesIO()
    contact_sheet(answer).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


_FORMATS: dict[str, Callable[[Answer], bytes]] = {
    ".svg": _svg,
    ".html": _html,
    ".png": _png,
    ".md": _md,
    ".txt": _txt,
}
