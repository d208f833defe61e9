"""The file that was probably meant where there is none of the name that was typed."""

from __future__ import annotations

import difflib
import os
from itertools import islice

from sharpv_cli.text import shown

_MOST = 10_000  # names of one folder that are looked at


def with_near_name(path: str, hint: str | None) -> str | None:
    """`hint` behind the name of a file beside `path` that is spelt nearly so, where there is one."""
    near = near_name(path)
    if near is None:
        return hint
    meant = f"did you mean {shown(near)}?"
    return meant if hint is None else f"{meant} ({hint})"


def near_name(path: str) -> str | None:
    """What lies there under a name that differs in a few letters, or whose folder's does; None where nothing does."""
    folder, name = os.path.split(path)
    if near := _near_in(folder, name):
        return near
    if not folder or os.path.isdir(folder) or (other := _near_in(*os.path.split(folder))) is None:  # noqa: PTH112
        return None
    meant = os.path.join(other, name)  # noqa: PTH118 - keeps the name as it was given
    return meant if os.path.lexists(meant) else _near_in(other, name)


def _near_in(folder: str, name: str) -> str | None:
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in islice(entries, _MOST)]
    except (OSError, ValueError):
        return None
    lower = {other.lower(): other for other in names}  # a difference in case is none
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.75)
    return os.path.join(folder, lower[found[0]]) if found else None  # noqa: PTH118 - keeps the name as it was given
