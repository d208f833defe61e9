"""One job on a loaded model: the video's frames, and a document for each question about it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.batch.results import Document, Told, told_of_failure
from sharpv_cli.errors import SharpvError
from sharpv_cli.pipeline.conveyor import Conveyor, answer_of
from sharpv_cli.pipeline.frames import decode_isolated, may_come_in_chunks, returned, source
from sharpv_cli.pipeline.opening import open_clip
from sharpv_cli.report.document import ask_document
from sharpv_cli.seen.recall import Kept, Recall
from sharpv_cli.session import Session
from sharpv_cli.shortage import Attempt
from sharpv_cli.text import shown
from sharpv_cli.types import Answer, Waiting
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.local import name_of
from sharpv_cli.video.read_ahead import ReadAhead

if TYPE_CHECKING:
    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.pipeline.question import Spent
    from sharpv_cli.settings import Resolved
    from sharpv_cli.video.isolated import IsolatedReader


READ_AHEAD = 2  # videos beyond those that are being read


@dataclass(frozen=True, slots=True)
class Read:
    """What is there of a job's video before its turn: `frames`, None of a clip that is opened when it is its turn."""

    frames: Frames | None = None
    recall: Kept | None = None


def read_frames(reader: IsolatedReader, job: Job) -> Read:
    """The job's frames, decoded in the reader's child, unless they have to come in chunks, or were seen before.

    Raises VideoError, ShortageError, and SharpvError for a bug while reading.
    """
    if may_come_in_chunks(job.settings):
        return Read()
    with source(job.video, job.settings) as video:
        recall = Recall.at(video, job.settings)
        if recall is not None and recall.expected:
            return Read()
        frames = decode_isolated(reader, video, job.settings)
        if recall is not None:
            recall.read_whole()
        return Read(frames, recall)


def outcome(read: Callable[[], Read]) -> Read | SharpvError:
    """What reading gave, or the error that its questions get; a bug costs this video and not the others."""
    with Attempt("reading a video") as attempt:
        return read()
    assert attempt.error is not None
    return attempt.error


@dataclass(frozen=True, slots=True)
class Worker:
    """A session that does jobs; documents tell of the profile in `resolved`, with each job's own settings."""

    session: Session
    resolved: Resolved

    def documents(self, job: Job, read: Read | SharpvError) -> Generator[Told | Waiting]:
        """A document for each question, in order, `read` being what `read_frames` gave or raised: work on a conveyor.

        What fails becomes a `sharpv.error/1`, whatever it is, or is Left. KeyboardInterrupt goes through, and no
        document is given for the answer that it cut short.
        """
        left = list(job.questions)
        with Attempt(f"answering {shown(name_of(job.video))}") as attempt:
            if isinstance(read, SharpvError):
                raise read
            for told in self._answered(job, read):
                if isinstance(told, Waiting):
                    yield told
                    continue
                asked = left.pop(0)
                yield (
                    told_of_failure(asked, told)
                    if isinstance(told, SharpvError)
                    else self._document(job, asked, told)
                )
        if attempt.error is not None:
            yield from (told_of_failure(asked, attempt.error) for asked in left)

    def _answered(self, job: Job, read: Read) -> Iterator[Answer | SharpvError | Waiting]:
        """Each question's answer, or why it has none. A single one is read as `sharpv ask` reads it."""
        from sharpv_cli.pipeline.fitting import counted
        from sharpv_cli.pipeline.prompts import SharedPrompts
        from sharpv_cli.pipeline.question import Spent, answer
        from sharpv_cli.pipeline.recalling import keep_seen

        several = len(job.questions) > 1
        with self.opened(job, read) as (clip, spent, recall), counted(clip, for_more=several):
            prompts = SharedPrompts(clip)

            def keep() -> None:
                """When a prompt was read, so that it delays no token."""
                returned(keep_seen(recall, prompts.take_first()))

            for number, asked in enumerate(job.questions, start=1):
                last = number == len(job.questions)
                with Attempt(f"answering {shown(name_of(job.video))}") as attempt:
                    told = yield from answer_of(
                        answer(prompts, asked.question, last=last, spent=spent, form=asked.form), keep
                    )
                keep()  # what an answer that failed has seen
                yield attempt.error or told
                spent = Spent()

    @contextmanager
    def opened(self, job: Job, read: Read) -> Iterator[tuple[Clip, Spent, Kept | None]]:
        """The job's clip, what it took, and what may be kept of it."""
        from sharpv_cli.pipeline.clip import Clip
        from sharpv_cli.pipeline.question import Spent

        settings = job.settings
        if read.frames is not None:
            spent = Spent(decode_sec=read.frames.seconds)
            yield Clip(self.session, read.frames, settings), spent, read.recall
            return
        with source(job.video, settings) as video:
            recall = Recall.at(video, settings)
            clip, spent = returned(open_clip(video, settings, session=self.session, recall=recall))
            with clip.frames:
                yield clip, replace(spent, started=None), recall

    def _document(self, job: Job, asked: Asked, answer: Answer) -> Document:
        document = ask_document(answer, replace(self.resolved, settings=job.settings).told)
        return {"schema": document.pop("schema"), "id": asked.id, "digest": asked.digest, **document}


def answered(worker: Worker, jobs: Iterable[Job], *, readers: int = 1) -> Generator[tuple[Job, Told]]:
    """What is told of all jobs, in this process: videos are read a few ahead of those that are answered at once."""

    def begin(wait: bool) -> Generator[tuple[Job, Told] | Waiting] | None:
        read = ahead.first(wait=wait)
        if read is None:
            return None
        job, outcome_of = read
        return _named(job, worker.documents(job, outcome(outcome_of.result)))

    with ReadAhead(read_frames, readers=readers) as ahead:
        ahead.feed(jobs, ahead=readers + READ_AHEAD)
        conveyor: Conveyor[tuple[Job, Told]] = Conveyor(worker.session.several)
        yield from conveyor.told(begin)


def _named(job: Job, documents: Iterator[Told | Waiting]) -> Generator[tuple[Job, Told] | Waiting]:
    for told in documents:
        yield told if isinstance(told, Waiting) else (job, told)
