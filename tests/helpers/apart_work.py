"""What `Frameworks` is asked in tests, in a module that its process can import in a moment."""

from __future__ import annotations

import os
import sys

from sharpv_cli.errors import ModelError


def shout(number: int) -> int:
    print("what a library prints")
    return number + 1


def refuse() -> None:
    raise ModelError("not this one", hint="another")


def crash() -> None:
    print("the last words", file=sys.stderr, flush=True)
    os._exit(3)
