"""The results file of `sharpv eval`: a line an answer, appended as it comes; a rerun goes on where it ends.

JSON lines. A `sharpv.eval.methods/1` line names each method with a digest of all that decides its answers, and the
device; after it come `sharpv.eval.answer/1` and `sharpv.eval.failure/1` lines. A line that a crash cut off is dropped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.text import shown

_OURS = b'{"schema": "sharpv.eval.'
METHODS_SCHEMA = "sharpv.eval.methods/1"
ANSWER_SCHEMA = "sharpv.eval.answer/1"
FAILURE_SCHEMA = "sharpv.eval.failure/1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question answered with one method. `key` is the question's digest, so that a changed one is asked again.

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


@dataclass(frozen=True, slots=True)
class Missed:
    """One question that a method has no answer to, why, and what can be done about it."""

    item: str
    method: str
    key: str
    error: str
    hint: str | None
    exit_code: int


Done = dict[tuple[str, str], Outcome]
"""Outcomes by item and method."""


def item_key(item: Item) -> str:
    """A short digest of what is asked, about which file, and what counts as right; folders may move."""
    told = (
        item.video.name,
        item.prompt,
        item.answer,
        item.scoring,
        item.options,
        item.start_sec,
        item.end_sec,
    )
    return _digest(told)[:12]


def method_digest(*parts: object) -> str:
    """A digest of everything that decides a method's answers, apart from the question."""
    return _digest(parts)[:16]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def outcomes_in(path: Path) -> Iterator[Outcome]:
    """The answers of a complete results file, in the order in which they came."""
    for line in path.read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        if document["schema"] == ANSWER_SCHEMA:
            yield _outcome(document)


def _outcome(document: Mapping[str, Any]) -> Outcome:
    return Outcome(**{field.name: document[field.name] for field in fields(Outcome)})


class ResultsFile:
    """Opened for one run: `done` is what earlier runs have answered; `add` appends. A context manager.

    `digests` are those of this run's methods. With `restart` nothing counts as done, and what is there goes when the
    first answer comes. Raises UsageError where the file cannot be written, is none of ours, is written by another run,
    or holds answers that a method of the same name gave with other settings.
    """

    def __init__(
        self, path: Path, digests: Mapping[str, str], keys: Mapping[str, str], *, restart: bool = False
    ) -> None:
        self.path = path
        self.devices: dict[str, None] = {}
        self._digests, self._restart = digests, restart
        self._known: dict[str, str] = {}
        try:
            # Unbuffered: what `add` has written is with the operating system, and nothing is left to flush.
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise UsageError(
                f"cannot write {shown(path)}: {error.strerror}", hint="choose another place with --out"
            ) from error
        try:
            self._lock()
            self.done = self._read(keys)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def device(self) -> str:
        """The devices that gave the answers; "" where there are none."""
        return ", ".join(self.devices)

    def begin(self, device: str) -> None:
        """Say which methods answer from here on, and on which device."""
        if self._restart:
            self._file.truncate(0)
            self._restart = False
        new = {label: digest for label, digest in self._digests.items() if label not in self._known}
        self._append({"schema": METHODS_SCHEMA, "methods": new, "device": device})
        self._known |= new
        self.devices[device] = None

    def add(self, outcome: Outcome | Missed) -> None:
        """Append one line; a crash of this process does not lose it any more."""
        schema = ANSWER_SCHEMA if isinstance(outcome, Outcome) else FAILURE_SCHEMA
        self._append({"schema": schema, **asdict(outcome)})
        if isinstance(outcome, Outcome):
            self.done[outcome.item, outcome.method] = outcome

    def _lock(self) -> None:
        """Two runs that append to one file would both ask what the other has answered."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run writes to {shown(self.path)}",
                hint="wait for it, or choose another file with --out",
            ) from None
        except OSError:
            return  # some network file systems know no locks: there nothing warns of a second run

    def _append(self, document: Mapping[str, object]) -> None:
        line = memoryview(json.dumps(document, allow_nan=False).encode() + b"\n")
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise UsageError(
                f"cannot write {shown(self.path)}: {error.strerror}",
                hint="what is in it is kept; run it again",
            ) from error

    def _read(self, keys: Mapping[str, str]) -> Done:
        """What is there and still counts."""
        done: Done = {}
        for number, line in enumerate(self._lines(), start=1):
            document = self._document(line, number)
            if self._restart:
                continue
            try:
                self._take(document, keys, done)
            except (KeyError, AttributeError, TypeError) as error:
                raise self._no_line(number) from error
        return done

    def _take(self, document: Mapping[str, Any], keys: Mapping[str, str], done: Done) -> None:
        if document["schema"] == METHODS_SCHEMA:
            self._know(document["methods"])
            self.devices[document["device"]] = None
        elif document["schema"] == ANSWER_SCHEMA:
            outcome = _outcome(document)
            if keys.get(outcome.item) == outcome.key:
                done[outcome.item, outcome.method] = outcome

    def _lines(self) -> Iterator[bytes]:
        """The whole lines; a torn last one of ours is cut off, for the next one to begin where it began."""
        self._file.seek(0)
        data = self._file.read()
        whole, newline, torn = data.rpartition(b"\n")
        yield from (whole + newline).splitlines(keepends=True)
        if torn:
            if not (torn.startswith(_OURS) or _OURS.startswith(torn)):
                raise self._no_line(whole.count(b"\n") + 2 if newline else 1)
            self._file.truncate(len(data) - len(torn))

    def _document(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict) or not str(document.get("schema")).startswith("sharpv.eval."):
            raise self._no_line(number)
        return document

    def _no_line(self, number: int) -> UsageError:
        return UsageError(
            f"{shown(self.path)}:{number} is no line of `sharpv eval`, or one of another version",
            hint="choose another file with --out",
        )

    def _know(self, methods: Mapping[str, str]) -> None:
        for label, digest in methods.items():
            if self._digests.get(label, digest) != digest:
                raise UsageError(
                    f"{shown(self.path)} holds answers of {label} with other settings, another --match, model or "
                    "dataset",
                    hint="choose another file with --out, or --restart to begin anew",
                )
            self._known[label] = digest
