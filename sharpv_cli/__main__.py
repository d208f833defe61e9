"""`python -m sharpv_cli` and the console script `sharpv`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from sharpv_cli.app import run

        run()
    except KeyboardInterrupt:  # while the app itself is imported, or ends
        sys.exit(130)


if __name__ == "__main__":
    main()
