"""Hooks that are always removed, however what they watch ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Hook(Protocol):
    """What torch gives for a hook that was registered."""

    def remove(self) -> None: ...


@contextmanager
def removed_after(hooks: Iterable[Hook]) -> Iterator[None]:
    """Remove all of `hooks` at the end of the block."""
    registered = list(hooks)
    try:
        yield
    finally:
        for hook in registered:
            hook.remove()
