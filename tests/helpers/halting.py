"""`sharpv` that stands still once its results file has so many lines: who is to kill it in the middle cannot be late.

`python halting.py LINES batch ...`. Ctrl-C finds it in the midst of its work.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping

from sharpv_cli.lines.appending import Lines


def main() -> None:
    _halt_at(int(sys.argv.pop(1)))
    from sharpv_cli.__main__ import main

    main()


def _halt_at(lines: int) -> None:
    append, left = Lines.append, [True]

    def halting(self: Lines, document: Mapping[str, object]) -> None:
        append(self, document)
        if left and self.path.read_bytes().count(b"\n") >= lines:
            left.clear()
            signal.pause()

    Lines.append = halting  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
