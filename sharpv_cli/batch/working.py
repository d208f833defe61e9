"""One job on a loaded model: the video's frames, and a document for each question about it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.batch.results import Document, Told, told_of_failure
from sharpv_cli.errors import SharpvError
from sharpv_cli.pipeline.frames import decode, decode_isolated, may_come_in_chunks, source
from sharpv_cli.report.document import ask_document
from sharpv_cli.session import Session
from sharpv_cli.shortage import Attempt
from sharpv_cli.text import shown
from sharpv_cli.types import Answer
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.local import name_of

if TYPE_CHECKING:
    from sharpv_cli.settings import Resolved
    from sharpv_cli.video.isolated import IsolatedReader


def read_frames(reader: IsolatedReader, job: Job) -> Frames | None:
    """The job's frames, decoded in the reader's child; None of a clip that has to come in chunks.

    Raises VideoError, ShortageError, and SharpvError for a bug while reading.
    """
    if may_come_in_chunks(job.settings):
        return None
    with source(job.video, job.settings) as video:
        return decode_isolated(reader, video, job.settings.sampling)


def outcome(coming: Future[Frames | None]) -> Frames | SharpvError | None:
    """What reading gave, or the error that its questions get; a bug costs this video and not the others."""
    with Attempt("reading a video") as attempt:
        return coming.result()
    return attempt.error


@dataclass(frozen=True, slots=True)
class Worker:
    """A session that does jobs; documents tell of the profile in `resolved`, with each job's own settings."""

    session: Session
    resolved: Resolved

    def documents(self, job: Job, read: Frames | SharpvError | None) -> Iterator[Told]:
        """A document for each question, in order, `read` being what `read_frames` gave or raised.

        What fails becomes a `sharpv.error/1`, whatever it is, or is Left. KeyboardInterrupt goes through, and no
        document is given for the answer that it cut short.
        """
        left = list(job.questions)
        with Attempt(f"answering {shown(name_of(job.video))}") as attempt:
            if isinstance(read, SharpvError):
                raise read
            for told in self._answered(job, read):
                asked = left.pop(0)
                yield (
                    told_of_failure(asked, told)
                    if isinstance(told, SharpvError)
                    else self._document(job, asked, told)
                )
        if attempt.error is not None:
            yield from (told_of_failure(asked, attempt.error) for asked in left)

    def _answered(self, job: Job, read: Frames | None) -> Iterator[Answer | SharpvError]:
        if read is not None:
            yield from self._asked(read, job)
            return
        with source(job.video, job.settings) as video, decode(video, job.settings) as frames:
            yield from self._asked(frames, job)

    def _asked(self, frames: Frames, job: Job) -> Iterator[Answer | SharpvError]:
        """Each question's answer, or why it has none. A single one is read as `sharpv ask` reads it."""
        from sharpv_cli.pipeline.clip import Clip
        from sharpv_cli.pipeline.prompts import SharedPrompts
        from sharpv_cli.pipeline.question import Spent, answer, whole_answer

        prompts = SharedPrompts(Clip(self.session, frames, job.settings))
        spent = Spent(decode_sec=frames.seconds)
        for number, asked in enumerate(job.questions, start=1):
            last = number == len(job.questions)
            with Attempt(f"answering {shown(name_of(job.video))}") as attempt:
                told = whole_answer(answer(prompts, asked.question, last=last, spent=spent))
            yield attempt.error or told
            spent = Spent()

    def _document(self, job: Job, asked: Asked, answer: Answer) -> Document:
        document = ask_document(answer, replace(self.resolved, settings=job.settings).told)
        return {"schema": document.pop("schema"), "id": asked.id, "digest": asked.digest, **document}
