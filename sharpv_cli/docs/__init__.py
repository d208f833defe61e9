"""Writers of the reference pages in docs/, each run with `python -m sharpv_cli.docs.NAME`; no command imports them."""

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
