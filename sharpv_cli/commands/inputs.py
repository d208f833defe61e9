"""Files that a run reads, which none of its outputs may replace, whatever names both go by."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli.errors import UsageError
from sharpv_cli.folders import user_folder
from sharpv_cli.text import shown

if TYPE_CHECKING:
    from sharpv_cli.settings import Resolved

# What is read of a checkpoint's or a dataset's folder; other files there, such as an earlier chart, may be replaced.
_OF_FOLDERS = (
    "*.safetensors", "*.bin", "*.jinja", "*.model", "*config.json", "*index.json", "tokenizer*", "vocab*", "merges.txt",
    "added_tokens.json", "special_tokens_map.json", "chat_template*", "*.jsonl", "*.csv", "*.tsv", "*.parquet", "*.mp4",
    "*.mkv", "*.webm", "*.avi", "*.mov",
)  # fmt: skip
_HUB = "models--"  # begins the name of a checkpoint's folder in the hub's cache


def keep_inputs(
    inputs: Iterable[str | None],
    outputs: Iterable[str | Path | None],
    resolved: Resolved,
    *,
    results: Path | None = None,
) -> None:
    """Raise UsageError where a file that is read would be replaced by one that is written.

    `inputs` are files and folders; stdin, the profile, the config file and the checkpoint are inputs of every run.
    `results` may lie in an input's folder: a file that holds something else is never appended to.
    """
    given = [*filter(None, inputs), os.path.expanduser(resolved.settings.model.id)]  # noqa: PTH111 - never raises
    files: list[str | Path | int] = [0, *given, *_settings_of(resolved)]
    read = {_identity(file) for file in files}
    folders = [os.path.realpath(name) for name in given if os.path.isdir(name)]  # noqa: PTH112 - never raises
    for target in (results, *outputs):
        found = _identity(target) if target else None
        read_too = target is not results and _belongs(os.path.realpath(target or ""), folders)
        if target and found and (found in read or read_too):
            raise UsageError(
                f"{shown(target)} is read, so it cannot be written as well", hint="choose another name for it"
            )


def _settings_of(resolved: Resolved) -> Iterator[str]:
    yield resolved.profile_source
    if folder := user_folder("config", os.environ):
        yield str(folder / "config.yaml")


def _identity(file: str | Path | int) -> tuple[int, int] | None:
    """A regular file's own, the same under all of its names; None for what is none. Never raises."""
    try:
        found = os.stat(file)  # noqa: PTH116 - of a descriptor as well
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _belongs(real: str, folders: Iterable[str]) -> bool:
    """Whether this file is one that is read of a folder, or lies in the hub's cache."""
    path = Path(real)
    if any(part.startswith(_HUB) for part in path.parts):
        return True
    inside = any(map(path.is_relative_to, folders))
    return inside and any(fnmatch(path.name.lower(), pattern) for pattern in _OF_FOLDERS)
