"""What Rich draws, as an SVG or HTML page or as plain text, the same on every machine."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding

from sharpv_cli.report import templates

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
_SVG_TEXT = re.compile(r'(<text [^>]*?x=")([^"]*)("[^>]*?)( textLength=")([^"]*)("[^>]*>)([^<]*)')
_SVG_SPACE = "&#160;"


def svg_page(*content: RenderableType, width: int, title: str) -> bytes:
    """`content`, one below the other, as an SVG `width` columns wide that loads nothing."""
    console = _drawn(content, width, color=True)
    code = templates.SVG.replace("TITLE", title)
    return _SVG_TEXT.sub(
        _fitted, console.export_svg(theme=templates.THEME, code_format=code, font_aspect_ratio=0.602)
    ).encode()


def html_page(*content: RenderableType, width: int, title: str) -> bytes:
    """`content` as an HTML page `width` columns wide that loads nothing."""
    console = _drawn(content, width, color=True)
    code = templates.HTML.replace("TITLE", title)
    return console.export_html(theme=templates.THEME, code_format=code).encode()


def text_page(*content: RenderableType, width: int) -> bytes:
    """`content` as UTF-8 text without colours; no line ends in spaces."""
    text = _drawn(content, width, color=False).export_text()
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines()).encode()


def png(picture: Image) -> bytes:
    """`picture` as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def page_formats(
    content: Callable[[T], Iterable[RenderableType]],
    others: Mapping[str, Callable[[T], bytes]],
    *,
    width: int,
    title: str,
) -> dict[str, Callable[[T], bytes]]:
    """By suffix, what writes a result as a page, or in `others`; `content` is drawn of it, one below the other."""
    return {
        ".svg": lambda result: svg_page(*content(result), width=width, title=title),
        ".html": lambda result: html_page(*content(result), width=width, title=title),
        **others,
        ".txt": lambda result: text_page(*content(result), width=width),
    }


def _drawn(content: tuple[RenderableType, ...], width: int, *, color: bool) -> Console:
    margin = 1 if color else 0  # columns at each side
    console = _console(width + 2 * margin, color=color)
    for part in content:
        console.print(Padding(part, (0, margin)))
    return console


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


def _fitted(match: re.Match[str]) -> str:
    """A text element of Rich's SVG, stretched to its cells: spacing it out would leave seams in the bars.

    It begins with its first word, placed where that is: not everything that draws SVG draws the spaces before it. Wide
    characters keep their own width, for Rich counts them as one cell here and they would overlap.
    """
    tag, x, place, attribute, length, rest, text = match.groups()
    cells = len(html.unescape(text))
    if cell_len(html.unescape(text)) != cells:
        return f"{tag}{x}{place}{rest[1:]}{text}"
    word = text
    while word.startswith(_SVG_SPACE):
        word = word.removeprefix(_SVG_SPACE)
    blank = float(length) * (cells - len(html.unescape(word))) / cells
    fitted = f'{place} lengthAdjust="spacingAndGlyphs"{attribute}{float(length) - blank:g}{rest}'
    return f"{tag}{float(x) + blank:g}{fitted}{word}" if word else ""
