"""Where a user's own files are, by the XDG rules and the same on every system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

_BELOW_HOME = {"config": ".config", "cache": ".cache", "state": ".local/state"}


def user_folder(kind: Literal["config", "cache", "state"], environ: Mapping[str, str]) -> Path | None:
    """`$XDG_CONFIG_HOME/sharpv` and so on where that variable is an absolute path; None without a home."""
    given = Path(environ.get(f"XDG_{kind.upper()}_HOME", ""))
    if given.is_absolute():
        return given / "sharpv"
    home = environ.get("HOME")
    return Path(home) / _BELOW_HOME[kind] / "sharpv" if home else None
