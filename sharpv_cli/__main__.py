"""`python -m sharpv_cli` and the console script `sharpv`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sharpv_cli import garbage, signals


def main() -> None:
    """Run the command line."""
    signals.end_at_once()  # before the imports, which take most of the time of a short run
    garbage.put_off()
    # Threads of OpenMP that spin while they wait double a run on a busy machine; read once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.argv[1:2] == ["ask"] or sys.argv[1:3] == ["warm", "start"]:
        from sharpv_cli.warm import client

        code = client.run(sys.argv[1:], os.environ)
        if code is not None:
            os._exit(code)  # what was printed was not printed from here
    from sharpv_cli import app, terminal

    if sys.argv[1:2] == ["--resident"]:
        from sharpv_cli.warm.server import serve

        serve(Path(sys.argv[2]), app.exit_code)
        terminal.leave(0)
    else:
        app.run()


if __name__ == "__main__":
    main()
