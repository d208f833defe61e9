"""The loaded model and the decoded clips that all runs of a profile have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.pipeline.answering import answer_by, whole_answer
from sharpv_cli.pipeline.asking import VideoPath, frames_ahead
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.reading import read_once
from sharpv_cli.pipeline.thumbnails import blank_sample
from sharpv_cli.session import Session
from sharpv_cli.settings import SamplingSettings, Settings
from sharpv_cli.types import Answer, FrameSample, VideoInfo
from sharpv_cli.video.probe import Scan

Decoded = tuple[tuple[VideoInfo, FrameSample], float]
"""A clip, and the seconds of decoding it."""


@dataclass(frozen=True)
class Bench:
    """`clips` were decoded before, by how they were sampled; those of `streamed` are decoded anew in each run.

    `new_tokens` are those of a timed run.
    """

    loaded: LoadedModel
    load_sec: float
    video: VideoPath
    scan: Scan | None
    clips: Mapping[SamplingSettings, Decoded]
    streamed: Set[SamplingSettings]
    question: str
    new_tokens: int

    def clip(self, session: Session, settings: Settings, *, timed: bool = False) -> Clip:
        """All frames at once, for a timed run or a natural one."""
        (info, sample), _ = self.clips[settings.sampling]
        return Clip(session, info, sample, settings, self.new_tokens if timed else None)

    def answer(self, session: Session, settings: Settings, *, timed: bool = False) -> Answer:
        """An answer as `sharpv ask` gives it, or one of exactly `new_tokens`; a long clip comes while it is encoded.

        Raises KeyboardInterrupt also where the answer would only be cut short by it.
        """
        with self._as_asked(session, settings, timed) as (clip, decode_sec):
            read = partial(read_once, clip)
            return whole_answer(
                answer_by(read, clip, self.question, load_sec=self.load_sec, decode_sec=decode_sec)
            )

    @contextmanager
    def _as_asked(self, session: Session, settings: Settings, timed: bool) -> Iterator[tuple[Clip, float]]:
        """The clip, and the seconds of decoding that are behind it."""
        if settings.sampling not in self.streamed:
            yield self.clip(session, settings, timed=timed), self.clips[settings.sampling][1]
            return
        new_tokens = self.new_tokens if timed else None
        with frames_ahead(self.video, settings.sampling, self.scan) as frames:
            take = frames.first()
            assert not isinstance(take, tuple), "the file is as it was"
            yield Clip(session, take.info, blank_sample(take), settings, new_tokens, frames), 0.0
