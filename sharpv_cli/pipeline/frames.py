"""A frame's way, from top to bottom: source, scan, sample, decode. What needs no model runs while it is loaded.

FFmpeg runs in a child process only: a file that breaks it, or takes all memory, costs itself alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sharpv_cli import metrics
from sharpv_cli.pipeline import chunking
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.local import FilePath, Limits, LocalVideo

if TYPE_CHECKING:
    from sharpv_cli.settings import SamplingSettings, Settings
    from sharpv_cli.video.frames import Frames
    from sharpv_cli.video.probe import Scan
    from sharpv_cli.video.sampling import Sampling

T = TypeVar("T")


@contextmanager
def source(
    video: str, settings: Settings, progress: Callable[[int, int | None], None] | None = None
) -> Iterator[LocalVideo]:
    """1. Source: a regular file, copied where the video comes from stdin, a pipe or the web. Raises VideoError."""
    from sharpv_cli.video.sources import local_video

    with local_video(video, Limits(**settings.video.model_dump()), progress=progress) as local:
        yield local


def scan(video: FilePath, settings: Settings) -> Scan:
    """2. Scan: what the packets hold, once for all. Raises VideoError; UsageError for a range outside of the clip."""
    from sharpv_cli.video import probe
    from sharpv_cli.video.sampling import check_range

    with IsolatedReader() as reader:
        found = reader.read(video, probe.scan)
    check_range(settings.sampling.start, settings.sampling.end, found.timeline.end)
    return found


def sampling_of(settings: SamplingSettings) -> Sampling:
    """3. Sample: which frames, by their times (`Sampling.choose`)."""
    from sharpv_cli.video.sampling import Sampling

    return Sampling(**settings.model_dump())


def decode(video: FilePath, settings: Settings, scan: Scan | None = None) -> Frames:
    """4. Decode: the frames, or of a long clip the beginning of them; close them. Raises VideoError."""
    if not may_come_in_chunks(settings):
        return decode_whole(video, settings.sampling, scan)
    from sharpv_cli.video.coming import FramesOfChild

    whole, chunk = chunking.WHOLE_FRAMES, chunking.CHUNK_FRAMES
    with ExitStack() as on_failure:
        ahead = FramesOfChild(video, sampling_of(settings.sampling), scan, whole=whole, chunk=chunk)
        on_failure.enter_context(ahead)
        frames = ahead.first()
        on_failure.pop_all()
    return frames


def may_come_in_chunks(settings: Settings) -> bool:
    """Whether the clip is encoded in chunks if it is long; known without the model, which need not be here yet."""
    most = sampling_of(settings.sampling).most
    if most is not None and most <= chunking.WHOLE_FRAMES:
        return False
    return chunking.in_chunks(chunking.family_named(settings), settings.engine)


def decode_whole(video: FilePath, sampling: SamplingSettings, scan: Scan | None = None) -> Frames:
    """All frames, however many. Raises VideoError."""
    with IsolatedReader() as reader:
        return decode_isolated(reader, video, sampling, scan)


def decode_isolated(
    reader: IsolatedReader, video: FilePath, sampling: SamplingSettings, scan: Scan | None = None
) -> Frames:
    """All frames, decoded in the reader's child process. Raises VideoError, ShortageError."""
    from sharpv_cli.video.decoding import sample_frames
    from sharpv_cli.video.frames import Frames

    work = partial(sample_frames, sampling=sampling_of(sampling), scan=scan)
    found, seconds = timed(lambda: reader.read(video, work))
    return Frames(*found, seconds=seconds)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives, and its seconds."""
    start = metrics.now()
    return work(), metrics.now() - start
