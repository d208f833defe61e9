"""Results files of `sharpv eval`, as benchmarks read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from sharpv_cli.evaluation.results import ANSWER_SCHEMA, METHODS_SCHEMA, Outcome, outcome_of


def outcomes_in(path: Path) -> Iterator[Outcome]:
    """The answers of a complete results file, in the order in which they came."""
    for line in path.read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        if document["schema"] == ANSWER_SCHEMA:
            yield outcome_of(document)


def known_answers(path: Path, digests: Mapping[str, str]) -> Iterator[tuple[str, Outcome]]:
    """Those that methods with these `digests` gave, and on which device; of a complete results file."""
    mine: set[str] = set()
    device = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        if document["schema"] == METHODS_SCHEMA:
            mine |= {name for name, digest in document["methods"].items() if digests.get(name) == digest}
            device = document["device"]
        elif document["schema"] == ANSWER_SCHEMA and document["method"] in mine:
            yield device, outcome_of(document)
