"""The forms of `--chart-out`, which every command has: a page, a picture on light or dark paper, Markdown, text."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, Protocol, TypeVar

from rich.console import Console, RenderableType

from sharpv_cli.report.exports import Render

T_contra = TypeVar("T_contra", contravariant=True)
T = TypeVar("T")
ThemeName = Literal["light", "dark"]


class Picture(Protocol[T_contra]):
    """Draws a result as an SVG or PNG."""

    def __call__(self, result: T_contra, /, *, kind: str, theme: ThemeName) -> bytes: ...


def formats(
    *, page: Render[T], picture: Picture[T], markdown: Callable[[T], str], text: Render[T], theme: ThemeName
) -> dict[str, Render[T]]:
    """What writes a result, by suffix."""
    return {
        ".html": page,
        ".svg": partial(picture, kind="svg", theme=theme),
        ".png": partial(picture, kind="png", theme=theme),
        ".md": lambda result: markdown(result).encode(),
        ".txt": text,
    }


def text_page(content: Iterable[RenderableType], *, width: int) -> bytes:
    """What Rich draws, one below the other, as UTF-8 text without colours; no line ends in spaces."""
    console = _console(width)
    for part in content:
        console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in console.export_text().splitlines()).encode()


def _console(width: int) -> Console:
    """A console that writes to memory and takes nothing from the environment it runs in."""
    return Console(
        file=io.StringIO(),
        record=True,
        width=width,
        force_terminal=False,
        force_jupyter=False,
        color_system=None,
        no_color=True,
        legacy_windows=False,
        emoji=False,
        markup=False,
        highlight=False,
        _environ={},
    )
