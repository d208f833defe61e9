"""What a Rich renderable writes to a stream, for tests."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def drawn(renderable: RenderableType, width: int, *, encoding: str = "utf-8") -> str:
    """The text at `width` columns on a stream of `encoding`, without colours and without the environment."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False, _environ={})
    console.print(renderable)
    stream.flush()
    return raw.getvalue().decode(encoding)
