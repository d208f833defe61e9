"""What pages have from the program itself, written anew: `python -m sharpv_cli.docs.pages [FOLDER]`.

`<!-- written: PART -->` to `<!-- end -->` in a page is such a part; all around it is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sharpv_cli.docs import DOCS, cli, configuration

PAGES = {"cli.md": cli.PARTS, "configuration.md": configuration.PARTS}
_PART = re.compile(r"(<!-- written: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(page: Path) -> str:
    """The page with all of its parts as they are now."""
    parts = PAGES[page.name]
    return _PART.sub(lambda part: f"{part[1]}{parts[part[2]]()}{part[3]}", page.read_text(encoding="utf-8"))


def main(folder: Path) -> None:
    for name in PAGES:
        (folder / name).write_text(written(folder / name), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else DOCS)
