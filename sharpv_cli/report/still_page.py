"""A page without a script: the picture of a result, light or dark as the system is, and all figures as text."""

from __future__ import annotations

import base64
from html import escape
from typing import TypeVar

from sharpv_cli.report.page import one_file
from sharpv_cli.report.pages import Picture

T = TypeVar("T")
_BODY = """\
<div class="scroll" tabindex="0" role="region" aria-label="Charts"><picture>\
<source srcset="{dark}" media="(prefers-color-scheme: dark)"><img src="{light}" alt="{alt}"></picture></div>
<h1>All figures</h1>
<div class="scroll" tabindex="0" role="region" aria-label="All figures"><pre>{text}</pre></div>
"""


def still_page(result: T, text: bytes, picture: Picture[T]) -> bytes:
    """`text` is what the terminal shows of the result; what is foreign in it is spelt out already."""
    light, dark = (
        f"data:image/svg+xml;base64,{base64.b64encode(picture(result, kind='svg', theme=theme)).decode()}"
        for theme in ("light", "dark")
    )
    alt = "The figures below, as charts"
    return one_file("still", BODY=_BODY.format(light=light, dark=dark, alt=alt, text=escape(text.decode())))
