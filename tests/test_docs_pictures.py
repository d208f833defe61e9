"""The README's pictures: each shows the document beside it, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from sharpv_cli.docs.pictures import FOLDER, NAME
from sharpv_cli.report.drawing import digest_of

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = re.findall(r'(?:srcset|src)="(docs/images/[^"]+)"|!\[[^\]]*\]\((docs/images/[^)]+)\)', README)
NAMES = sorted({one or other for one, other in PICTURES})


def document() -> dict:
    return json.loads((FOLDER / f"{NAME}.json").read_text(encoding="utf-8"))


def test_all_pictures_are_in_the_readme_and_have_a_document() -> None:
    assert [f"docs/images/{path.name}" for path in sorted(FOLDER.glob("*.svg"))] == NAMES
    assert len(NAMES) == 2
    schema = json.loads((ROOT / "docs" / "schema" / "sharpv.ask.1.json").read_text(encoding="utf-8"))
    jsonschema.validate(document(), schema)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_shows_the_document_beside_it(name: str) -> None:
    svg = (ROOT / name).read_text(encoding="utf-8")
    assert digest_of([document()]) in svg
    shown = " ".join(
        "".join(text.itertext()) for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    )
    tokens, memory = document()["tokens"], document()["memory"]
    for figure in (
        f"{tokens['visual_kept']} of {tokens['visual_total']} picture tokens",
        f"{tokens['visual_retention']:.1%}",
        f"{memory['kv_retention']:.1%}",
        *(f"{frame['kept']}/{frame['total']}" for frame in document()["retention"]),
    ):
        assert figure in shown, figure
