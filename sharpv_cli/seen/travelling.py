"""What is kept of a clip, on its way to another machine and from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

from sharpv_cli.errors import VideoError
from sharpv_cli.files import write_whole
from sharpv_cli.seen.entry import Entry, entry_of
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


def bring(file: Path, store: Store) -> Entry:
    """Put a file from elsewhere into the store, once it is checked. Raises VideoError, OSError."""
    entry = read(file)
    head = entry.head
    if not head.ends.isalnum():
        raise _unusable(file, "its name would lead elsewhere")
    store.write(store.path(head.ends, head.key, head.maker), entry.to_bytes())
    return entry


def read(file: Path) -> Entry:
    """Raises VideoError."""
    try:
        return entry_of(file.read_bytes())
    except (DamagedError, OSError) as error:
        raise _unusable(file, error) from error


def _unusable(file: Path, why: object) -> VideoError:
    return VideoError(f"{shown(file)} cannot be used: {why}", hint="make it again with `sharpv seen export`")
