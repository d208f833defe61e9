"""From rows to jobs: settings resolved, what is done left out, the questions about one video together."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from sharpv_cli.batch.manifest import Failure, Manifest, Row
from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.forms import form_of
from sharpv_cli.settings import decisive
from sharpv_cli.shortage import has_threads
from sharpv_cli.tables.shard import Shard
from sharpv_cli.types import ANY_TEXT, Form
from sharpv_cli.video.download import version_of
from sharpv_cli.video.names import existing, is_web_address
from sharpv_cli.video.stamp import stamp
from sharpv_cli.video.subtitle_files import stamps

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings

_Stamp = tuple[str, int, int, str, str]
_AT_A_TIME = 8
SettingsFor = Callable[[Mapping[str, object]], "Settings"]
"""The settings of the run with a row's own in place of some; raises UsageError."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, and the form of its answer. `digest` changes with whatever may change its answer.

    Of an address it ends in `-` and what the server says of its version, where that could be learnt.
    """

    id: str
    line: int
    question: str
    digest: str = ""
    form: Form = ANY_TEXT

    def is_done(self, digest: str | None) -> bool:
        """Whether an answer with this digest is this question's. One that cannot be asked for again stays as it is."""
        if digest is None or digest == self.digest:
            return digest is not None
        return "-" not in self.digest and digest.partition("-")[0] == self.digest


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
            replace(job, questions=tuple(q for q in job.questions if not q.is_done(done.get(q.id))))
            for job in self.jobs
        ]
        return replace(self, jobs=tuple(job for job in left if job.questions))

    def retried_last(self, failed: Collection[str]) -> Plan:
        """The jobs with questions that `failed` before behind all others: what ended a run ends the next one last."""
        jobs = sorted(self.jobs, key=lambda job: any(asked.id in failed for asked in job.questions))
        return replace(self, jobs=tuple(jobs))


def plan(
    manifest: Manifest,
    settings_for: SettingsFor,
    weights: str,
    shard: Shard,
    limit: int | None = None,
    form: Form = ANY_TEXT,
) -> Plan:
    """The part that `shard` is, of which `limit` takes the first questions; `weights` tells the model's from others.

    The questions about one video are always in one part, and a row that cannot be used is in one as well. Answers have
    the `form`, unless a row has choices of its own.
    """
    failures = [failure for failure in manifest.failures if shard.has(failure.line)]
    looks: dict[tuple[str, str], Job] = {}
    for row in shard.of(manifest.rows, key=lambda row: row.video):
        try:
            settings, wanted = settings_for(row.settings), _form_for(row, form)
        except UsageError as error:
            failures.append(Failure(row.line, row.id, UsageError(f"{row.place}: {error}", hint=error.hint)))
            continue
        _add(looks, row, settings, wanted)
    jobs = _with_digests(_limited(list(looks.values()), limit), weights)
    return Plan(jobs, tuple(sorted(failures, key=lambda one: one.line)))


def _form_for(row: Row, form: Form) -> Form:
    return form_of(choices=row.choices, logprobs=form.logprobs) if row.choices else form


def _add(looks: dict[tuple[str, str], Job], row: Row, settings: Settings, form: Form) -> None:
    asked = tuple(Asked(id, row.line, question, form=form) for id, question in row.asked())
    key = row.video, settings.model_dump_json()
    before = looks.get(key)
    looks[key] = Job(row.video, settings, (before.questions if before else ()) + asked)


def _with_digests(jobs: Sequence[Job], weights: str) -> tuple[Job, ...]:
    """Each video is looked at once, several at a time: disks far away and servers let one wait."""
    videos = list(dict.fromkeys((job.video, _is_fetched(job)) for job in jobs))
    with ExitStack() as until_done:
        each: Callable[..., Iterable[_Stamp]] = map
        if len(videos) > 1 and has_threads(_AT_A_TIME):
            each = until_done.enter_context(ThreadPoolExecutor(_AT_A_TIME)).map
        stamps = dict(zip(videos, each(lambda video: _stamp(*video), videos), strict=True))
    return tuple(_with_digest(job, weights, stamps[job.video, _is_fetched(job)]) for job in jobs)


def _with_digest(job: Job, weights: str, stamp: _Stamp) -> Job:
    *seen, version = stamp
    words = stamps(job.video, job.settings.prompt.subtitles)
    deciding = json.dumps(decisive(job.settings), sort_keys=True)
    asked = (
        replace(
            one, digest=_digest((weights, *seen, *words, *_told(one.form)), deciding, one.question, version)
        )
        for one in job.questions
    )
    return replace(job, questions=tuple(asked))


def _is_fetched(job: Job) -> bool:
    return job.settings.video.allow_url and is_web_address(job.video)


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


def _digest(seen: Sequence[object], settings: str, question: str, version: str) -> str:
    digest = hashlib.sha256(json.dumps([*seen, settings, question]).encode()).hexdigest()[:16]
    return f"{digest}-{version}" if version else digest


def _told(form: Form) -> list[object]:
    return [] if form == ANY_TEXT else [asdict(form)]


def _stamp(video: str, fetched: bool) -> _Stamp:
    """The path, the time of modification (nanoseconds, 0 where there is no such file), what is in it, and of what has
    to be fetched the version.
    """
    if fetched:
        return video, 0, 0, "", version_of(video)
    path = os.path.abspath(video)  # noqa: PTH100 - an address is left readable enough
    found = existing(video)
    try:
        modified = os.stat(found).st_mtime_ns  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a NUL in the name
        modified = 0
    return path, modified, *stamp(found), ""
