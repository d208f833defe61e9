"""The one time that a user is told where what was seen is kept."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.text import shown
from sharpv_cli.units import memory_size

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings


def announce_store(settings: Settings) -> None:
    """Say it after the first command that has kept something; a mark in the folder keeps it from being said again."""
    from sharpv_cli.seen.store import Store

    store = None if settings.seen == "off" else Store.of(settings.seen_max_bytes)
    if store is None or store.announced.exists() or not store.kept():
        return
    with suppress(OSError):
        store.announced.touch(mode=0o600)
    limit = memory_size(store.most_bytes)
    terminal.say(
        "note",
        f"what was seen of the video is kept in {shown(store.folder)} ({limit} at most), so that other questions about "
        "it are answered sooner; --seen off keeps nothing (docs/seen.md)",
    )
