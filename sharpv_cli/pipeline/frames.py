"""A frame's way, from top to bottom: source, scan, sample, decode, preprocess, encode, score, keep.

The first four need no model and run while it is loaded: importing this imports no torch. FFmpeg runs in a child process
only: a file that breaks it, or takes all memory, costs itself alone. The way goes on in `question`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sharpv_cli import metrics
from sharpv_cli.pipeline.long import chunks
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.local import FilePath, Limits, LocalVideo

if TYPE_CHECKING:
    from sharpv_cli.metrics import StageClock
    from sharpv_cli.pipeline.clip import Clip, Encoded, Encoding, Kept
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

    with IsolatedReader() as reader:
        found = reader.read(video, probe.scan)
        _check_subtitles(reader, video, settings)
    sampling_of(settings.sampling).check(found.timeline.end)
    return found


def sampling_of(settings: SamplingSettings) -> Sampling:
    """3. Sample: which frames, by their times (`Sampling.choose`)."""
    from sharpv_cli.settings import moments_in
    from sharpv_cli.video.sampling import Sampling

    at = () if settings.at is None else moments_in(settings.at)
    return Sampling(**{**settings.model_dump(), "at": at})


def decode(video: FilePath, settings: Settings, scan: Scan | None = None) -> Frames:
    """4. Decode: the frames, or of a long clip the beginning of them; close them. Raises VideoError."""
    if not may_come_in_chunks(settings):
        return decode_whole(video, settings, scan)
    from sharpv_cli.video.coming import FramesOfChild

    whole, chunk = chunks.WHOLE_FRAMES, chunks.CHUNK_FRAMES
    with ExitStack() as on_failure:
        ahead = FramesOfChild(video, sampling_of(settings.sampling), scan, whole=whole, chunk=chunk)
        on_failure.enter_context(ahead)
        frames = with_subtitles(video, settings, ahead.first())
        on_failure.pop_all()
    return frames


def may_come_in_chunks(settings: Settings) -> bool:
    """Whether the clip is encoded in chunks if it is long; known without the model, which need not be here yet."""
    most = sampling_of(settings.sampling).most
    if most is not None and most <= chunks.WHOLE_FRAMES:
        return False
    return chunks.in_chunks(chunks.family_named(settings), settings.engine)


def decode_whole(video: FilePath, settings: Settings, scan: Scan | None = None) -> Frames:
    """All frames, however many. Raises VideoError."""
    with IsolatedReader() as reader:
        return decode_isolated(reader, video, settings, scan)


def decode_isolated(
    reader: IsolatedReader, video: FilePath, settings: Settings, scan: Scan | None = None
) -> Frames:
    """All frames, decoded in the reader's child process. Raises VideoError, ShortageError."""
    from sharpv_cli.video.decoding import sample_frames
    from sharpv_cli.video.frames import Frames

    work = partial(sample_frames, sampling=sampling_of(settings.sampling), scan=scan)
    reader.prepare()
    found, seconds = timed(lambda: reader.read(video, work))
    return with_subtitles(video, settings, Frames(*found, seconds=seconds), reader)


def with_subtitles(
    video: FilePath, settings: Settings, frames: Frames, reader: IsolatedReader | None = None
) -> Frames:
    """With the words of the stretch that the frames are from, where any are wanted. Raises UsageError, VideoError."""
    if settings.prompt.subtitles == "off":
        return frames
    if reader is None:
        with IsolatedReader() as own:
            return with_subtitles(video, settings, frames, own)
    from sharpv_cli.video.subtitles import read_subtitles

    stretch = sampling_of(settings.sampling).stretch(frames.info.duration_sec or 0.0)
    work = partial(read_subtitles, wanted=settings.prompt.subtitles, stretch=stretch)
    return replace(frames, subtitles=reader.read(video, work))


def _check_subtitles(reader: IsolatedReader, video: FilePath, settings: Settings) -> None:
    """Whether those that are wanted are there, before anything is loaded. Raises UsageError."""
    if settings.prompt.subtitles != "off":
        from sharpv_cli.video.subtitles import read_subtitles

        reader.read(video, partial(read_subtitles, wanted=settings.prompt.subtitles, stretch=(0.0, 0.0)))


def encode(clip: Clip, question: str, clock: StageClock) -> Encoding:
    """5. Preprocess, and 6. encode: the whole prompt as the stock model would read it.

    Of a clip that was seen before it is put together of what was kept. Frames that come in chunks are taken, once for
    all. Raises UsageError for what no prompt may hold, ResourceError before anything is begun that would not fit into
    memory, VideoError where what was kept is of no use, and what taking frames raises.
    """
    from sharpv_cli.models.wording import inputs_and_wordings
    from sharpv_cli.pipeline.clip import Encoded
    from sharpv_cli.pipeline.fitting import require_encoding
    from sharpv_cli.pipeline.long.encoding import encode_chunks
    from sharpv_cli.pipeline.recalling import encode_seen
    from sharpv_cli.types import StageStarted

    yield StageStarted("preprocess")
    if clip.entry is not None:
        return encode_seen(clip, clip.entry, question, clock)
    with clock.stage("preprocess"):
        require_encoding(clip)
    if clip.frames.coming is not None:
        return (yield from encode_chunks(clip, clip.frames.coming, question, clock))
    with clock.stage("preprocess"):
        inputs, wordings = inputs_and_wordings(
            clip.loaded, clip.info, clip.sample, question, clip.prompt, on_device=clip.on_device
        )
    yield StageStarted("vision")
    whole = yield from clip.captured(inputs, clock)
    return Encoded(clip, whole, wordings)


def keep(encoded: Encoded, clock: StageClock) -> Kept:
    """7. Score, and 8. keep. Raises UsageError where what is kept does not fit the context, or a sliding window."""
    import torch

    from sharpv_cli.pipeline.clip import Kept
    from sharpv_cli.pipeline.selecting import require_window, scores_of, select

    clip, whole, scores = encoded.clip, encoded.whole, encoded.scores
    with clock.stage("prune"), torch.no_grad():
        if scores is None and encoded.keep is None:
            scores = scores_of(whole, clip.settings.visual)
        selection = select(
            whole,
            clip.settings.visual,
            positions=clip.settings.positions,
            context=clip.loaded.context,
            max_new_tokens=clip.limit,
            scores=scores,
            keep=encoded.keep,
        )
    if clip.entry is not None:
        from sharpv_cli.pipeline.recalling import require_held

        require_held(encoded, selection.keep)
    prompt = whole.prune(selection.keep, contiguous=selection.contiguous)
    require_window(clip.loaded.window, len(prompt), clip.limit)
    return Kept(encoded, selection, prompt, scores)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives, and its seconds."""
    start = metrics.now()
    return work(), metrics.now() - start


def returned(steps: Generator[object, None, T]) -> T:
    """What a generator returns, whatever it yields before."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
