"""`python -m sharpv_cli` and the console script `sharpv`."""

from __future__ import annotations

import os

from sharpv_cli import signals


def main() -> None:
    """Run the command line."""
    signals.end_at_once()  # before the imports, which take most of the time of a short run
    # Threads of OpenMP that spin while they wait double a run on a busy machine; read once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sharpv_cli.app import run

    run()


if __name__ == "__main__":
    main()
