"""`python -m sharpv_cli` and the console script `sharpv`."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from sharpv_cli import garbage, signals
from sharpv_cli.errors import bug_code


def main() -> None:
    """Run the command line."""
    signals.end_at_once()  # before the imports, which take most of the time of a short run
    garbage.put_off()
    # Threads of OpenMP that spin while they wait double a run on a busy machine; read once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with ExitStack() as stack:
        stack.push(_end_by_bug)
        _run()


def _run() -> None:
    if sys.argv[1:2] in (["ask"], ["check"]) or sys.argv[1:3] == ["warm", "start"]:
        from sharpv_cli.warm import client

        code = client.run(sys.argv[1:], os.environ)
        if code is not None:
            os._exit(code)  # what was printed was not printed from here
    from sharpv_cli import app, terminal

    if sys.argv[1:2] == ["--resident"]:
        from sharpv_cli.warm.fronts import Fronts

        fronts = Fronts(app.exit_code, app.command_line)
        from sharpv_cli.warm.server import serve  # imports NumPy, which starts threads

        serve(Path(sys.argv[2]), fronts)
        terminal.leave(0)
    else:
        app.run()


def _end_by_bug(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """What nobody expected ends the process with the command's own code for it; the interpreter would take 1."""
    if kind is None or error is None or not issubclass(kind, Exception) or bug_code(sys.argv[1:]) == 1:
        return
    sys.excepthook(kind, error, trace)
    signals.run_cleanups()
    os._exit(bug_code(sys.argv[1:]))


if __name__ == "__main__":
    main()
