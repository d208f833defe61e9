"""The search for garbage waits for imports, and only in processes that asked for it."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sharpv_cli import garbage


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.set_threshold(*garbage._usual)


def test_what_was_put_off_is_resumed_without_what_is_there() -> None:
    usual = gc.get_threshold()
    garbage.put_off()
    assert gc.get_threshold()[0] > 100 * usual[0]
    garbage.resume()
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() > 10_000


def test_the_garbage_of_others_is_left_to_them() -> None:
    """In somebody's own program nothing was put off: what is there may still become garbage."""
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    garbage.resume()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (usual, frozen)


def test_a_command_puts_it_off_before_it_imports_anything() -> None:
    program = (
        "import gc, sys; from sharpv_cli import __main__, signals; "
        "signals.end_at_once = lambda: None; sys.argv = ['sharpv', '--version']; "
        "sys.modules['sharpv_cli.app'] = sys.modules['gc']; gc.run = lambda: print(gc.get_threshold()[0]); "
        "import sharpv_cli; sharpv_cli.app = gc; __main__.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) == garbage._LATE
