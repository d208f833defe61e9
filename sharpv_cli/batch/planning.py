"""From rows to jobs: settings resolved, what is done left out, the questions about one video together."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from sharpv_cli.batch.manifest import Failure, Manifest, Row
from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.settings import decisive
from sharpv_cli.tables.shard import Shard
from sharpv_cli.video.names import existing
from sharpv_cli.video.stamp import stamp

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings

_Stamp = tuple[str, int, int, str]
SettingsFor = Callable[[Mapping[str, object]], "Settings"]
"""The settings of the run with a row's own in place of some; raises UsageError."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `digest` changes with whatever may change its answer."""

    id: str
    line: int
    question: str
    digest: str


@dataclass(frozen=True, slots=True)
class Job:
    """One look at one video, and the questions that share it."""

    video: str
    settings: Settings
    questions: tuple[Asked, ...]

    def failures(self, error: SharpvError) -> list[Failure]:
        """All its questions, none of which has an answer."""
        return [Failure(asked.line, asked.id, error) for asked in self.questions]


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs in the order of the manifest, and the rows of this part that cannot be used."""

    jobs: tuple[Job, ...]
    failures: tuple[Failure, ...]

    @property
    def asked(self) -> list[Asked]:
        return [asked for job in self.jobs for asked in job.questions]

    def without(self, done: Mapping[str, str]) -> Plan:
        """What is left where `done` holds the digests of answers by id."""
        left = [
            replace(job, questions=tuple(q for q in job.questions if done.get(q.id) != q.digest))
            for job in self.jobs
        ]
        return replace(self, jobs=tuple(job for job in left if job.questions))

    def retried_last(self, failed: Collection[str]) -> Plan:
        """The jobs with questions that `failed` before behind all others: what ended a run ends the next one last."""
        jobs = sorted(self.jobs, key=lambda job: any(asked.id in failed for asked in job.questions))
        return replace(self, jobs=tuple(jobs))


def plan(
    manifest: Manifest, settings_for: SettingsFor, weights: str, shard: Shard, limit: int | None = None
) -> Plan:
    """The part that `shard` is, of which `limit` takes the first questions; `weights` tells the model's from others.

    The questions about one video are always in one part, and a row that cannot be used is in one as well.
    """
    failures = [failure for failure in manifest.failures if shard.has(failure.line)]
    looks: dict[tuple[str, str], Job] = {}
    stamp_of = cache(_stamp)  # a video may stand in many rows
    for row in shard.of(manifest.rows, key=lambda row: row.video):
        try:
            settings = settings_for(row.settings)
        except UsageError as error:
            failures.append(Failure(row.line, row.id, UsageError(f"{row.place}: {error}", hint=error.hint)))
            continue
        _add(looks, row, settings, (weights, *stamp_of(row.video)))
    return Plan(_limited(list(looks.values()), limit), tuple(sorted(failures, key=lambda one: one.line)))


def _add(looks: dict[tuple[str, str], Job], row: Row, settings: Settings, seen: Sequence[object]) -> None:
    deciding = json.dumps(decisive(settings), sort_keys=True)
    asked = tuple(
        Asked(id, row.line, question, _digest(seen, deciding, question)) for id, question in row.asked()
    )
    key = row.video, settings.model_dump_json()
    before = looks.get(key)
    looks[key] = Job(row.video, settings, (before.questions if before else ()) + asked)


def _limited(jobs: Sequence[Job], limit: int | None) -> tuple[Job, ...]:
    """The first `limit` questions, in the order in which they will be asked."""
    if limit is None:
        return tuple(jobs)
    taken, left = [], limit
    for job in jobs:
        if left > 0:
            taken.append(replace(job, questions=job.questions[:left]))
        left -= len(job.questions)
    return tuple(taken)


def _digest(seen: Sequence[object], settings: str, question: str) -> str:
    return hashlib.sha256(json.dumps([*seen, settings, question]).encode()).hexdigest()[:16]


def _stamp(video: str) -> _Stamp:
    """The path, the time of modification (nanoseconds, 0 where there is no such file) and what is in it."""
    path = os.path.abspath(video)  # noqa: PTH100 - an address is left readable enough
    found = existing(video)
    try:
        modified = os.stat(found).st_mtime_ns  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a NUL in the name
        modified = 0
    return path, modified, *stamp(found)
