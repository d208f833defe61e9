"""`python -m sharpv_cli` and the console script `sharpv`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from sharpv_cli.app import run

    run()


if __name__ == "__main__":
    main()
