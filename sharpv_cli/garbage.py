"""Python's search for garbage, put off while libraries are imported: it took a fifth of the time and found nothing."""

from __future__ import annotations

import gc

# New objects between two searches. All that is imported and made for a model are about 800,000; a process that never
# loads one searches late, but does search.
_LATE = 1_500_000
_usual = gc.get_threshold()


def put_off() -> None:
    """Search after many more new objects than usual, until `resume`. For processes that are ours alone."""
    gc.set_threshold(_LATE, *_usual[1:])


def resume() -> None:
    """Search as usual again, if that was put off. What is imported stays: no search looks through it."""
    if gc.get_threshold()[0] == _LATE:
        gc.freeze()
        gc.set_threshold(*_usual)
