"""How the benchmark and the training phrase their questions; the held-out ones are in `wordings`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

Wordings = Mapping[str, Sequence[str]]
"""Phrasings by type of question; {object}, {shape} or {colour} stands for what is asked about."""


def asset(name: str) -> str:
    """The text of one of the shipped files."""
    return (files("sharpv_cli") / "assets" / "shapesqa" / name).read_text(encoding="utf-8")


def wordings_of(name: str) -> Wordings:
    """Those of one of the shipped files."""
    wordings: Wordings = json.loads(asset(f"{name}.json"))
    return wordings


WORDINGS = wordings_of("wordings")
