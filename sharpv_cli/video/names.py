"""Names of files as people write them: one letter with its accent can be one character or two."""

from __future__ import annotations

import os
import re
import unicodedata

_WEB = re.compile(r"https?://", re.IGNORECASE)


def is_web_address(name: str) -> bool:
    """Whether it is an address that would be downloaded if that is allowed."""
    return bool(_WEB.match(name))


def existing(path: str) -> str:
    """`path`, or where there is no such file the one whose name differs only in how its accents are written.

    Lists are typed and names are made on systems that write them differently (macOS takes them apart).
    """
    if path.isascii() or os.path.lexists(path):  # unlike Path.exists it never raises
        return path
    folder, name = os.path.split(path)
    if not name or folder == path:
        return path
    written = {os.path.join(existing(folder), unicodedata.normalize(form, name)) for form in ("NFC", "NFD")}  # noqa: PTH118
    found = [other for other in written if os.path.lexists(other)]
    return found[0] if len(found) == 1 else path
