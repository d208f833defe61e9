"""Outcomes of an evaluation, for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sharpv_cli.evaluation.results import Outcome

_ONE = Outcome(
    item="1",
    method="dense",
    key="k",
    answer="A",
    right=True,
    visual_retention=0.5,
    kv_retention=0.25,
    budget=None,
    layers_discarded=1,
    generated=1,
    engine="fast",
    prune_sec=0.001,
    prefill_sec=0.02,
    tpot_sec=None,
    similarities=None,
    warnings=[],
)


def make_outcome(**changes: Any) -> Outcome:
    """One right answer, with some fields changed."""
    return replace(_ONE, **changes)
