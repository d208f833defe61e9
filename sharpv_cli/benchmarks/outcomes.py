"""Results files of `sharpv eval`, as benchmarks read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sharpv_cli.evaluation.results import ANSWER_SCHEMA, Outcome, outcome_of


def outcomes_in(path: Path) -> Iterator[Outcome]:
    """The answers of a complete results file, in the order in which they came."""
    for line in path.read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        if document["schema"] == ANSWER_SCHEMA:
            yield outcome_of(document)
