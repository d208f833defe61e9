"""One job on a loaded model: the video's frames, and a document for each question about it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.batch.results import Document, Left, Told
from sharpv_cli.errors import SharpvError, ShortageError
from sharpv_cli.pipeline import chunking
from sharpv_cli.pipeline.asking import begin_decoding, clip_of, read_isolated, sampling_of, timed
from sharpv_cli.report.document import ask_document, error_document
from sharpv_cli.session import Session
from sharpv_cli.shortage import Attempt
from sharpv_cli.text import shown
from sharpv_cli.types import Answer, FrameSample, VideoInfo
from sharpv_cli.video.local import Limits
from sharpv_cli.video.sources import local_video

if TYPE_CHECKING:
    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.settings import Settings
    from sharpv_cli.video.isolated import IsolatedReader


@dataclass(frozen=True, slots=True)
class Frames:
    """A decoded video, and the seconds that it took."""

    info: VideoInfo
    sample: FrameSample
    seconds: float


def read_frames(reader: IsolatedReader, job: Job) -> Frames | None:
    """The job's frames, decoded in the reader's child; None of a clip that has to come in chunks.

    Raises VideoError, ShortageError, and SharpvError for a bug while reading.
    """
    if not _short(job.settings):
        return None
    with local_video(job.video, _limits(job.settings)) as video:
        (info, sample), seconds = timed(lambda: read_isolated(reader, video, job.settings.sampling))
    return Frames(info, sample, seconds)


def outcome(coming: Future[Frames | None]) -> Frames | SharpvError | None:
    """What reading gave, or the error that its questions get; a bug costs this video and not the others."""
    with Attempt("reading a video") as attempt:
        return coming.result()
    return attempt.error


@dataclass(frozen=True, slots=True)
class Worker:
    """A session that does jobs; `profile_name` and `profile_source` are told in the documents."""

    session: Session
    profile_name: str
    profile_source: str

    def documents(self, job: Job, read: Frames | SharpvError | None) -> Iterator[Told]:
        """A document for each question, in order, `read` being what `read_frames` gave or raised.

        What fails becomes a `sharpv.error/1`, whatever it is, or is Left. KeyboardInterrupt goes through, and no
        document is given for the answer that it cut short.
        """
        left = list(job.questions)
        with Attempt(f"answering {shown(job.video)}") as attempt:
            if isinstance(read, SharpvError):
                raise read
            for told in self._answered(job, read):
                asked = left.pop(0)
                yield (
                    _failed(asked, told)
                    if isinstance(told, SharpvError)
                    else self._document(job, asked, told)
                )
        if attempt.error is not None:
            yield from (_failed(asked, attempt.error) for asked in left)

    def _answered(self, job: Job, read: Frames | None) -> Iterator[Answer | SharpvError]:
        if read is not None:
            from sharpv_cli.pipeline.clip import Clip

            clip = Clip(self.session, read.info, read.sample, job.settings)
            yield from _asked(clip, job, read.seconds)
            return
        with local_video(job.video, _limits(job.settings)) as video:
            decoded, seconds = timed(lambda: begin_decoding(video, job.settings))
            clip = clip_of(self.session, decoded, job.settings)
            with closing(clip.frames) if clip.frames is not None else nullcontext():
                yield from _asked(clip, job, 0.0 if clip.frames else seconds)

    def _document(self, job: Job, asked: Asked, answer: Answer) -> Document:
        document = ask_document(
            answer,
            profile_name=self.profile_name,
            profile_source=self.profile_source,
            settings=job.settings.model_dump(),
        )
        return {"schema": document.pop("schema"), "id": asked.id, "digest": asked.digest, **document}


def _failed(asked: Asked, error: SharpvError) -> Told:
    if isinstance(error, ShortageError):
        return Left(asked.line, asked.id, error)
    return error_document(error, line=asked.line, id=asked.id)


def _asked(clip: Clip, job: Job, decode_sec: float) -> Iterator[Answer | SharpvError]:
    """Each question's answer, or why it has none. A single one is read as `sharpv ask` reads it."""
    from sharpv_cli.pipeline.answering import answer_by, whole_answer
    from sharpv_cli.pipeline.reading import read_once
    from sharpv_cli.pipeline.sharing import SharedVideo

    shared, count = SharedVideo(clip), len(job.questions)
    for number, asked in enumerate(job.questions, start=1):
        read = partial(shared.read, last=number == count) if count > 1 else partial(read_once, clip)
        with Attempt(f"answering {shown(job.video)}") as attempt:
            answer = whole_answer(answer_by(read, clip, asked.question, decode_sec=decode_sec))
        yield attempt.error or answer
        decode_sec = 0.0


def _short(settings: Settings) -> bool:
    """Whether no more frames can be taken than are encoded together: then they are held whole."""
    most = sampling_of(settings.sampling).most
    return (most is not None and most <= chunking.WHOLE_FRAMES) or not chunking.may_come_in_chunks(settings)


def _limits(settings: Settings) -> Limits:
    return Limits(**settings.video.model_dump())
