"""Questions about one video, from the file to the answers: the clip is decoded while the model loads."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Iterator, Sized
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from sharpv_cli import metrics
from sharpv_cli.errors import ResourceError, UsageError
from sharpv_cli.types import (
    Event,
    FrameSample,
    Loaded,
    QuestionFailed,
    QuestionStarted,
    StageStarted,
    VideoInfo,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.settings import SamplingSettings, Settings

VideoPath = str | os.PathLike[str]
T = TypeVar("T")


def ask(video: VideoPath, question: str, settings: Settings) -> Iterator[Event]:
    """Answer `question` about `video`: stages, pieces of text, and last of all Finished.

    KeyboardInterrupt while tokens come ends the answer where it is, with finish_reason "interrupted"; a
    caller that is interrupted itself, between two events, gets the same Finished from
    `events.throw(KeyboardInterrupt())`. Closing the generator at any time cleans up. Raises VideoError,
    ModelError, ResourceError, UsageError.
    """
    started = metrics.now()
    clip, load_sec, decode_sec = yield from _clip(video, settings)
    from sharpv_cli.pipeline.answering import answer_by
    from sharpv_cli.pipeline.reading import read_once

    yield from answer_by(
        partial(read_once, clip), clip, question, load_sec=load_sec, decode_sec=decode_sec, started=started
    )


def ask_all(video: VideoPath, questions: Iterable[str], settings: Settings) -> Iterator[Event]:
    """Answer several questions about `video`, which is decoded, encoded and read once.

    For each: QuestionStarted, events as of `ask`, and Finished or, where this question cannot be answered,
    QuestionFailed. Each gets the answer that it would get alone. What all share counts in the timings of the first.
    `questions` is asked for the next one when the answer before it is complete, so they may come as the user
    thinks of them; where its length is known, the last one uses up the memory that is shared. Interrupted and
    closed like `ask`; a question may follow an interrupted one. Raises VideoError, ModelError, ResourceError.
    """
    started = metrics.now()
    clip, load_sec, decode_sec = yield from _clip(video, settings)
    from sharpv_cli.pipeline.answering import answer_by
    from sharpv_cli.pipeline.sharing import SharedVideo

    shared = SharedVideo(clip)
    count = len(questions) if isinstance(questions, Sized) else None
    spent = {"load_sec": load_sec, "decode_sec": decode_sec, "started": started}
    for number, question in enumerate(questions, start=1):
        yield QuestionStarted(number, question)
        read = partial(shared.read, last=number == count)
        try:
            yield from answer_by(read, clip, question, **spent)
        except (UsageError, ResourceError) as error:
            yield QuestionFailed(number, question, error)
        spent = {}


def _clip(
    video: VideoPath, settings: Settings
) -> Generator[StageStarted | Loaded, None, tuple[Clip, float, float]]:
    """The decoded video and the loaded model, with the seconds of loading and of decoding."""
    yield StageStarted("load")
    yield StageStarted("decode")
    (loaded, load_sec), ((info, sample), decode_sec) = _load_and_decode(video, settings)
    from sharpv_cli.pipeline.clip import Clip

    yield Loaded(info, sample, loaded.info)
    return Clip(loaded, info, sample, settings), load_sec, decode_sec


def load_model(settings: Settings, *, between_steps: Callable[[], None] = lambda: None) -> LoadedModel:
    """The model of the settings, ready for `answering.answer`. Raises ModelError, ResourceError."""
    for library in ("torch", "transformers"):  # importing them takes seconds: each is a step
        import_module(library)
        between_steps()
    from sharpv_cli.models.loading import load

    return load(
        settings.model,
        settings.device,
        offline=settings.offline,
        memory_check=settings.memory_check,
        between_steps=between_steps,
    )


def _load_and_decode(
    video: VideoPath, settings: Settings
) -> tuple[tuple[LoadedModel, float], tuple[tuple[VideoInfo, FrameSample], float]]:
    """Both at once, each with its seconds. What fails first is raised at once: a bad video does not wait.

    The other thread is not left running: loading ends before its next step, and the process waits for it
    at exit.
    """
    given_up = threading.Event()

    def between_steps() -> None:
        if given_up.is_set():
            raise CancelledError

    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="sharpv")
    try:
        decoding = pool.submit(timed, lambda: decode_video(video, settings.sampling))
        loading = pool.submit(timed, lambda: load_model(settings, between_steps=between_steps))
        both: tuple[Future[Any], ...] = (decoding, loading)
        wait(both, return_when=FIRST_EXCEPTION)
        _raise_of(decoding)
        return loading.result(), decoding.result()
    finally:
        given_up.set()
        pool.shutdown(wait=False, cancel_futures=True)


def decode_video(video: VideoPath, sampling: SamplingSettings) -> tuple[VideoInfo, FrameSample]:
    """The frames that the settings ask for. Raises VideoError."""
    from sharpv_cli.video.decoding import sample_frames
    from sharpv_cli.video.patience import in_time

    by_rate = sampling.strategy == "fps"
    work = partial(
        sample_frames,
        video,
        strategy=sampling.strategy,
        frames=None if by_rate else sampling.frames,
        fps=sampling.fps if by_rate else None,
        max_frames=sampling.max_frames if by_rate else None,
        start_sec=sampling.start,
        end_sec=sampling.end,
    )
    return in_time(video, "decoding", work)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives, and its seconds."""
    start = metrics.now()
    return work(), metrics.now() - start


def _raise_of(future: Future[tuple[tuple[VideoInfo, FrameSample], float]]) -> None:
    """Raise what a finished future ended with, if anything: of two failures the video's is told."""
    if future.done():
        future.result()
