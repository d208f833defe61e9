"""A clip that is ready for questions: the video is decoded while the model loads."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sharpv_cli import metrics
from sharpv_cli.pipeline.aside import read_aside
from sharpv_cli.pipeline.frames import decode, timed, with_subtitles
from sharpv_cli.seen.recall import Kept
from sharpv_cli.session import Session, open_session
from sharpv_cli.types import Loaded, StageStarted, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.pipeline.question import Spent
    from sharpv_cli.settings import Settings
    from sharpv_cli.video.frames import Frames
    from sharpv_cli.video.probe import Scan

VideoPath = str | os.PathLike[str]
T = TypeVar("T")


def open_clip(
    video: VideoPath,
    settings: Settings,
    scan: Scan | None = None,
    session: Session | None = None,
    recall: Kept | None = None,
) -> Generator[StageStarted | Loaded | Waiting, None, tuple[Clip, Spent]]:
    """The model and the video, decoded or still coming; with the seconds spent.

    A `scan` of the video or a `session` that is there already saves another one. Where `recall` says that something
    is kept of the video, the model is loaded first, and the video only decoded if it is of no use. The clip's frames
    are to be closed. Raises VideoError, ModelError, ResourceError, UsageError.
    """
    started = metrics.now()
    load_sec = 0.0
    if recall is not None and recall.expected:
        if session is None:
            yield StageStarted("load")
            session, load_sec = timed(lambda: open_session(settings))
        assert session is not None
        seen, recall_sec = timed(partial(_recalled, video, session, recall))
        if seen is not None:
            from sharpv_cli.pipeline.question import Spent

            yield Loaded(seen.info, seen.sample, session.loaded.info)
            return seen, Spent(load_sec, started=started, recall_sec=recall_sec)
    if session is None:
        yield StageStarted("load")
    yield StageStarted("decode")
    loading, decoding = yield from _load_and_decode(video, settings, scan, session)
    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.pipeline.question import Spent

    frames = decoding.value
    with ExitStack() as on_failure:
        on_failure.enter_context(frames)
        yield Loaded(frames.info, frames.sample, loading.value.loaded.info)
        on_failure.pop_all()
    waited = max(0.0, decoding.ended - loading.ended)
    return Clip(loading.value, frames, settings), Spent(
        load_sec + loading.seconds, frames.seconds, waited, started
    )


def _recalled(video: VideoPath, session: Session, recall: Kept) -> Clip | None:
    """The clip as an earlier look left it. Raises VideoError where nothing else may be used."""
    entry = recall.entry(session)
    if entry is None:
        return None
    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.pipeline.recalling import frames_seen

    frames = with_subtitles(video, recall.settings, frames_seen(video, entry))
    return Clip(session, frames, recall.settings, entry=entry)


@dataclass(frozen=True, slots=True)
class _Work(Generic[T]):
    """What a piece of work gave, its seconds, and when it ended."""

    value: T
    seconds: float
    ended: float


def _load_and_decode(
    video: VideoPath, settings: Settings, scan: Scan | None, session: Session | None
) -> Generator[Waiting, None, tuple[_Work[Session], _Work[Frames]]]:
    """Both at once. What fails first is raised at once: a bad video does not wait.

    The other thread is not left running: loading ends before its next step, and the process waits for it
    at exit. A long clip's frames go on coming.
    """
    if session is not None:
        decoded = yield from read_aside(
            lambda: _work(lambda: decode(video, settings, scan)), unwanted=lambda work: work.value.__exit__()
        )
        return _Work(session, 0.0, metrics.now()), decoded
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
