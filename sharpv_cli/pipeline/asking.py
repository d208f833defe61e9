"""Questions about one video, from the file to the answers: the clip is decoded while the model loads."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Iterator, Sized
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sharpv_cli import metrics
from sharpv_cli.errors import ResourceError, UsageError
from sharpv_cli.pipeline.frames import decode, timed
from sharpv_cli.session import Session, open_session
from sharpv_cli.types import (
    Event,
    Loaded,
    QuestionFailed,
    QuestionStarted,
    StageStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.settings import Settings
    from sharpv_cli.video.frames import Frames
    from sharpv_cli.video.probe import Scan

VideoPath = str | os.PathLike[str]
T = TypeVar("T")


def ask(video: VideoPath, question: str, settings: Settings, scan: Scan | None = None) -> Iterator[Event]:
    """Answer `question` about `video`: stages, pieces of text, and last of all Finished.

    A `scan` of the video that was made before saves another one.
    KeyboardInterrupt while tokens come ends the answer where it is, with finish_reason "interrupted"; a
    caller that is interrupted itself, between two events, gets the same Finished from
    `events.throw(KeyboardInterrupt())`. Closing the generator at any time cleans up. Raises VideoError,
    ModelError, ResourceError, UsageError.
    """
    started = metrics.now()
    clip, spent = yield from _clip(video, settings, scan)
    from sharpv_cli.pipeline.answering import answer_by
    from sharpv_cli.pipeline.reading import read_once

    with clip.video:
        yield from answer_by(partial(read_once, clip), clip, question, started=started, **spent)


def ask_all(
    video: VideoPath, questions: Iterable[str], settings: Settings, scan: Scan | None = None
) -> Iterator[Event]:
    """Answer several questions about `video`, which is decoded, encoded and read once.

    For each: QuestionStarted, events as of `ask`, and Finished or, where this question cannot be answered,
    QuestionFailed. Each gets the answer that it would get alone. What all share counts in the timings of the first.
    `questions` is asked for the next one when the answer before it is complete, so they may come as the user
    thinks of them; where its length is known, the last one uses up the memory that is shared. Interrupted and
    closed like `ask`; a question may follow an interrupted one. Raises VideoError, ModelError, ResourceError.
    """
    started = metrics.now()
    clip, spent = yield from _clip(video, settings, scan)
    from sharpv_cli.pipeline.answering import answer_by
    from sharpv_cli.pipeline.sharing import SharedVideo

    shared = SharedVideo(clip)
    count = len(questions) if isinstance(questions, Sized) else None
    spent["started"] = started
    with clip.video:
        for number, question in enumerate(questions, start=1):
            yield QuestionStarted(number, question)
            read = partial(shared.read, last=number == count)
            try:
                yield from answer_by(read, clip, question, **spent)
            except (UsageError, ResourceError) as error:
                yield QuestionFailed(number, question, error)
            spent = {}


def _clip(
    video: VideoPath, settings: Settings, scan: Scan | None
) -> Generator[StageStarted | Loaded, None, tuple[Clip, dict[str, float]]]:
    """The loaded model and the video, decoded or still coming; with the seconds spent, by their names in Timings."""
    yield StageStarted("load")
    yield StageStarted("decode")
    loading, decoding = _load_and_decode(video, settings, scan)
    from sharpv_cli.pipeline.clip import Clip

    frames = decoding.value
    with ExitStack() as on_failure:
        on_failure.enter_context(frames)
        yield Loaded(frames.info, frames.sample, loading.value.loaded.info)
        on_failure.pop_all()
    spent = {
        "load_sec": loading.seconds,
        "decode_sec": frames.seconds,
        "decode_wait_sec": max(0.0, decoding.ended - loading.ended),
    }
    return Clip(loading.value, frames, settings), spent


@dataclass(frozen=True, slots=True)
class _Work(Generic[T]):
    """What a piece of work gave, its seconds, and when it ended."""

    value: T
    seconds: float
    ended: float


def _load_and_decode(
    video: VideoPath, settings: Settings, scan: Scan | None
) -> tuple[_Work[Session], _Work[Frames]]:
    """Both at once. What fails first is raised at once: a bad video does not wait.

    The other thread is not left running: loading ends before its next step, and the process waits for it
    at exit. A long clip's frames go on coming.
    """
    given_up = threading.Event()

    def between_steps() -> None:
        if given_up.is_set():
            raise CancelledError

    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="sharpv")
    try:
        with ExitStack() as on_failure:
            decoding = pool.submit(_work, lambda: decode(video, settings, scan))
            on_failure.callback(decoding.add_done_callback, _close)
            loading = pool.submit(_work, lambda: open_session(settings, between_steps=between_steps))
            both: tuple[Future[Any], ...] = (decoding, loading)
            wait(both, return_when=FIRST_EXCEPTION)
            _raise_of(decoding)
            ready = loading.result(), decoding.result()
            on_failure.pop_all()
        return ready
    finally:
        given_up.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _work(work: Callable[[], T]) -> _Work[T]:
    value, seconds = timed(work)
    return _Work(value, seconds, metrics.now())


def _raise_of(future: Future[Any]) -> None:
    """Raise what a finished future ended with, if anything: of two failures the video's is told."""
    if future.done():
        future.result()


def _close(decoding: Future[_Work[Frames]]) -> None:
    """Let the threads of a clip end that nobody waits for any longer."""
    if not decoding.cancelled() and decoding.exception() is None:
        decoding.result().value.__exit__()
