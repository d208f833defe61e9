"""What is kept of a clip, on its way to another machine and from there."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path, PurePath

from sharpv_cli.errors import VideoError
from sharpv_cli.files import write_whole
from sharpv_cli.seen.entry import Entry, read_entry
from sharpv_cli.seen.head import DamagedError
from sharpv_cli.seen.store import Store
from sharpv_cli.text import shown


def export(kept: Path, target: Path) -> int:
    """Write what is kept in a file of the store as `target`, without the folder of the video; its bytes.

    Raises VideoError where it is damaged, UsageError where `target` cannot be written.
    """
    entry = read(kept)
    info = entry.head.info.model_copy(update={"path": PurePath(entry.head.info.path).name})
    content = replace(entry, head=entry.head.model_copy(update={"info": info})).to_bytes()
    write_whole(target, content)
    return len(content)


def bring(file: Path, store: Store) -> tuple[Entry, bool]:
    """Put a file from elsewhere into the store, once it is checked; False where one of the same is there, and stays.

    Raises VideoError, OSError.
    """
    entry = read(file, store.most_bytes)
    path = store.path(entry.head.ends, entry.head.key, entry.head.maker)
    if path.exists():
        return entry, False
    store.write(path, entry.to_bytes())
    return entry, True


def read(file: Path, most_bytes: float = inf) -> Entry:
    """Raises VideoError."""
    try:
        return read_entry(file, most_bytes)
    except DamagedError as error:
        raise _unusable(file, error) from error
    except OSError as error:
        raise _unusable(file, error.strerror) from error


def _unusable(file: Path, why: object) -> VideoError:
    return VideoError(f"{shown(file)} cannot be used: {why}", hint="make it again with `sharpv seen export`")
