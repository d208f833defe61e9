"""The results file of `sharpv eval`: a line an answer, appended as it comes; a rerun goes on where it ends.

JSON lines. A `sharpv.eval.methods/1` line names each method with a digest of all that decides its answers, and the
device; after it come `sharpv.eval.answer/1` and `sharpv.eval.failure/1` lines. A line that a crash cut off is dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.lines.appending import Lines, open_lines
from sharpv_cli.lines.piped import Piped
from sharpv_cli.text import shown

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_SCHEMAS = "sharpv.eval."  # what all of ours begin with
METHODS_SCHEMA = "sharpv.eval.methods/1"
ANSWER_SCHEMA = "sharpv.eval.answer/1"
FAILURE_SCHEMA = "sharpv.eval.failure/1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question answered with one method. `key` is the question's digest, `video` the film's, so that a changed one
    is asked again; `video` is empty where it is not known. `frames` are the language model's (pairs, where it merges
    them), `visual_tokens` what it got of them, `kv_bytes` what the prefill left, text included.

    `budget` is the share of the visual tokens, or after FastV's layer K of those, that a rival was to keep; None for
    SharpV. `similarities` is s_l by decoder layer, None where no layer was measured. Seconds are those of the language
    model's side: selection, prefill, and the mean time of a token after the first.
    """

    item: str
    method: str
    key: str
    answer: str
    right: bool
    visual_retention: float
    kv_retention: float
    budget: float | None
    layers_discarded: int
    generated: int
    engine: str
    prune_sec: float
    prefill_sec: float
    tpot_sec: float | None
    similarities: list[float | None] | None
    warnings: list[str]
    video: str = ""
    frames: int | None = None
    visual_tokens: int | None = None
    kv_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """One question that a method has no answer to, why, and what can be done about it."""

    item: str
    method: str
    key: str
    error: str
    hint: str | None
    exit_code: int


_FIELDS = [field.name for field in fields(Outcome)]
_LATER = {"video", "frames", "visual_tokens", "kv_bytes"}  # not in the lines of earlier versions

Done = dict[tuple[str, str], Outcome]
"""Outcomes by item and method."""


@cache
def _outcomes() -> TypeAdapter[Outcome]:
    """pydantic takes a tenth of a second to import, which `--help` should not wait for."""
    from pydantic import TypeAdapter

    return TypeAdapter(Outcome)


@cache
def _digests() -> TypeAdapter[dict[str, str]]:
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, str])


def open_results(path: Path) -> Lines | Piped:
    """Where the answers go. Raises UsageError where it cannot be written or another run writes to it."""
    return open_lines(path, (_SCHEMAS,), command="sharpv eval")


def item_key(item: Item) -> str:
    """A short digest of what is asked, about which file, and what counts as right; folders may move."""
    told: tuple[object, ...] = (
        item.video.name,
        item.prompt,
        item.answer,
        item.scoring,
        item.options,
        item.start_sec,
        item.end_sec,
    )
    if item.tolerance_sec is not None:
        told += (item.tolerance_sec,)
    return _digest(told)[:12]


def method_digest(*parts: object) -> str:
    """A digest of everything that decides a method's answers, apart from the question."""
    return _digest(parts)[:16]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def outcome_of(document: Mapping[str, Any]) -> Outcome:
    """Raises KeyError and ValidationError here, and not where its numbers are added up, for a line that was edited."""
    told = {name: document[name] for name in _FIELDS if name in document or name not in _LATER}
    return _outcomes().validate_python(told)


class ResultsFile:
    """Opened for one run: `done` is what earlier runs have answered; `add` appends. A context manager.

    `lines` are those of `open_results`, `digests` those of this run's methods, `keys` and `videos` those of its items.
    With `restart` nothing counts as done, and what is there goes when the first answer has come. Raises UsageError
    where the file is none of ours, or holds answers that a method of the same name gave with other settings.
    """

    def __init__(
        self,
        lines: Lines | Piped,
        digests: Mapping[str, str],
        keys: Mapping[str, str],
        videos: Mapping[str, str] | None = None,
        *,
        restart: bool = False,
    ) -> None:
        self.path = lines.path
        self.devices: dict[str, None] = {}
        self._digests, self._videos, self._restart, self._older = digests, videos or {}, restart, 0
        self._known: dict[str, str] = {}
        self._lines = lines
        with ExitStack() as on_failure:
            on_failure.push(self._lines)
            self.done = self._read(keys)
            on_failure.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.__exit__()

    @property
    def device(self) -> str:
        """The devices that gave the answers; "" where there are none."""
        return ", ".join(self.devices)

    def begin(self, device: str) -> None:
        """Say which methods answer from here on, and on which device."""
        new = {label: digest for label, digest in self._digests.items() if label not in self._known}
        self._lines.append({"schema": METHODS_SCHEMA, "methods": new, "device": device})
        self._known |= new
        self.devices[device] = None

    def add(self, outcome: Outcome | Missed) -> None:
        """Append one line; a crash of this process does not lose it any more."""
        schema = ANSWER_SCHEMA if isinstance(outcome, Outcome) else FAILURE_SCHEMA
        self._lines.append({"schema": schema, **asdict(outcome)})
        if isinstance(outcome, Outcome):
            self.done[outcome.item, outcome.method] = outcome
            self._forget_older()

    def _forget_older(self) -> None:
        if self._restart:
            self._lines.keep(lambda number, _: number >= self._older)
            self._restart = False

    def _read(self, keys: Mapping[str, str]) -> Done:
        """What is there and still counts."""
        done: Done = {}
        for number, document in enumerate(self._lines.documents(), start=1):
            self._older = number
            if self._restart:
                continue
            try:
                self._take(document, keys, done)
            except (KeyError, ValueError) as error:  # ValueError: pydantic's ValidationError
                raise self._of_another_version(number) from error
        return done

    def _take(self, document: Mapping[str, Any], keys: Mapping[str, str], done: Done) -> None:
        if document["schema"] == METHODS_SCHEMA:
            self._know(_digests().validate_python(document["methods"]))
            self.devices[str(document["device"])] = None
        elif document["schema"] == ANSWER_SCHEMA:
            outcome = outcome_of(document)
            seen = {self._videos.get(outcome.item, ""), outcome.video} - {""}
            if keys.get(outcome.item) == outcome.key and len(seen) < 2:
                done[outcome.item, outcome.method] = outcome

    def _of_another_version(self, number: int) -> UsageError:
        return UsageError(
            f"{shown(self.path)}:{number} was edited, or is a line of another version of sharpv",
            hint="fix or remove that line, choose another file with --out, or --restart to start over",
        )

    def _know(self, methods: Mapping[str, str]) -> None:
        for label, digest in methods.items():
            if self._digests.get(label, digest) != digest:
                raise UsageError(
                    f"{shown(self.path)} holds answers of {label} with other settings, another --match, model or "
                    "dataset",
                    hint="choose another file with --out, or --restart to start over",
                )
            self._known[label] = digest
