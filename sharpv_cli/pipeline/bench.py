"""The loaded model and the decoded clips that all runs of a profile have in common."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import partial

from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.pipeline.answering import answer_by, whole_answer
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import decode
from sharpv_cli.pipeline.opening import VideoPath
from sharpv_cli.pipeline.reading import read_once
from sharpv_cli.session import Session
from sharpv_cli.settings import SamplingSettings, Settings
from sharpv_cli.types import Answer
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.probe import Scan


@dataclass(frozen=True)
class Bench:
    """`clips` were decoded before, by how they were sampled; those of `streamed` are decoded anew in each run.

    `new_tokens` are those of a timed run.
    """

    loaded: LoadedModel
    load_sec: float
    video: VideoPath
    scan: Scan | None
    clips: Mapping[SamplingSettings, Frames]
    streamed: Set[SamplingSettings]
    question: str
    new_tokens: int

    def clip(self, session: Session, settings: Settings, *, timed: bool = False) -> Clip:
        """All frames at once, for a timed run or a natural one."""
        return self._clip(session, self.clips[settings.sampling], settings, timed)

    def answer(self, session: Session, settings: Settings, *, timed: bool = False) -> Answer:
        """An answer as `sharpv ask` gives it, or one of exactly `new_tokens`; a long clip comes while it is encoded.

        Raises KeyboardInterrupt also where the answer would only be cut short by it.
        """
        with self._frames(settings) as frames:
            clip = self._clip(session, frames, settings, timed)
            read = partial(read_once, clip)
            return whole_answer(
                answer_by(read, clip, self.question, load_sec=self.load_sec, decode_sec=frames.seconds)
            )

    def _frames(self, settings: Settings) -> Frames:
        if settings.sampling in self.streamed:
            return decode(self.video, settings, self.scan)
        return self.clips[settings.sampling]

    def _clip(self, session: Session, frames: Frames, settings: Settings, timed: bool) -> Clip:
        return Clip(session, frames, settings, self.new_tokens if timed else None)
