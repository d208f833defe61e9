"""Questions about one video, from the file to the answers: the clip is decoded while the model loads."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Iterator, Sized
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sharpv_cli import metrics
from sharpv_cli.errors import ResourceError, UsageError
from sharpv_cli.pipeline import chunking
from sharpv_cli.session import Session, open_session
from sharpv_cli.types import (
    Event,
    FrameSample,
    Loaded,
    QuestionFailed,
    QuestionStarted,
    StageStarted,
    VideoInfo,
)
from sharpv_cli.video.patience import in_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.settings import SamplingSettings, Settings
    from sharpv_cli.video.ahead import FramesAhead
    from sharpv_cli.video.isolated import IsolatedReader
    from sharpv_cli.video.local import LocalVideo
    from sharpv_cli.video.probe import Scan
    from sharpv_cli.video.sampling import Sampling
    from sharpv_cli.video.sinks import Take

    Decoded = tuple[VideoInfo, FrameSample]
    Coming = tuple[Take, FramesAhead]

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

    with _closing(clip.frames):
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
    with _closing(clip.frames):
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

    with ExitStack() as on_failure:
        info, sample, frames = _opened(decoding.value, on_failure)
        yield Loaded(info, sample, loading.value.loaded.info)
        on_failure.pop_all()
    spent = {
        "load_sec": loading.seconds,
        "decode_sec": 0.0 if frames else decoding.seconds,
        "decode_wait_sec": max(0.0, decoding.ended - loading.ended),
    }
    return Clip(loading.value, info, sample, settings, frames=frames), spent


@dataclass(frozen=True, slots=True)
class _Work(Generic[T]):
    """What a piece of work gave, its seconds, and when it ended."""

    value: T
    seconds: float
    ended: float


def _load_and_decode(
    video: VideoPath, settings: Settings, scan: Scan | None
) -> tuple[_Work[Session], _Work[Decoded | Coming]]:
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
            decoding = pool.submit(_work, lambda: begin_decoding(video, settings, scan))
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


def begin_decoding(video: VideoPath, settings: Settings, scan: Scan | None = None) -> Decoded | Coming:
    """The frames that the settings ask for, or of a long clip the beginning of them. Raises VideoError."""
    if not chunking.may_come_in_chunks(settings):
        return decode_video(video, settings.sampling, scan)
    frames = frames_ahead(video, settings.sampling, scan)
    with ExitStack() as on_failure:
        on_failure.callback(frames.close)
        first = frames.first()
        on_failure.pop_all()
    return first if isinstance(first, tuple) else (first, frames)


def clip_of(session: Session, decoded: Decoded | Coming, settings: Settings) -> Clip:
    """What `begin_decoding` gave, for a session; the clip's `frames` are the caller's to close."""
    from sharpv_cli.pipeline.clip import Clip

    with ExitStack() as on_failure:
        info, sample, frames = _opened(decoded, on_failure)
        on_failure.pop_all()
    return Clip(session, info, sample, settings, frames=frames)


def frames_ahead(video: VideoPath, sampling: SamplingSettings, scan: Scan | None = None) -> FramesAhead:
    """The frames that the settings ask for, of a long clip in chunks; close it."""
    from sharpv_cli.video.ahead import FramesAhead

    whole, chunk = chunking.WHOLE_FRAMES, chunking.CHUNK_FRAMES
    return FramesAhead(video, sampling_of(sampling), scan, whole=whole, chunk=chunk)


def decode_video(
    video: VideoPath, sampling: SamplingSettings, scan: Scan | None = None
) -> tuple[VideoInfo, FrameSample]:
    """The frames that the settings ask for. Raises VideoError."""
    from sharpv_cli.video.decoding import sample_frames

    return in_time(video, "decoding", partial(sample_frames, video, sampling_of(sampling), scan))


def read_isolated(
    reader: IsolatedReader, video: LocalVideo, sampling: SamplingSettings
) -> tuple[VideoInfo, FrameSample]:
    """The frames that the settings ask for, decoded in the reader's child process. Raises VideoError."""
    from sharpv_cli.video.decoding import sample_frames

    return reader.read(video, partial(sample_frames, sampling=sampling_of(sampling)))


def sampling_of(settings: SamplingSettings) -> Sampling:
    """The settings as whoever decodes takes them."""
    from sharpv_cli.video.sampling import Sampling

    return Sampling(**settings.model_dump())


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives, and its seconds."""
    start = metrics.now()
    return work(), metrics.now() - start


def _work(work: Callable[[], T]) -> _Work[T]:
    value, seconds = timed(work)
    return _Work(value, seconds, metrics.now())


def _raise_of(future: Future[Any]) -> None:
    """Raise what a finished future ended with, if anything: of two failures the video's is told."""
    if future.done():
        future.result()


def _close(decoding: Future[_Work[Decoded | Coming]]) -> None:
    """Let the threads of a clip end that nobody waits for any longer."""
    if not decoding.cancelled() and decoding.exception() is None:
        _, rest = decoding.result().value
        if not isinstance(rest, FrameSample):
            rest.close()


def _opened(
    decoded: Decoded | Coming, on_failure: ExitStack
) -> tuple[VideoInfo, FrameSample, FramesAhead | None]:
    first, rest = decoded
    if isinstance(rest, FrameSample):
        assert isinstance(first, VideoInfo)
        return first, rest, None
    from sharpv_cli.pipeline.thumbnails import blank_sample

    assert not isinstance(first, VideoInfo)
    on_failure.enter_context(rest)
    return first.info, blank_sample(first), rest


def _closing(frames: FramesAhead | None) -> AbstractContextManager[object]:
    return nullcontext() if frames is None else frames
