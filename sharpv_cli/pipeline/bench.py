"""The loaded model and the decoded clips that all runs of a profile have in common."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import decode
from sharpv_cli.pipeline.opening import VideoPath
from sharpv_cli.pipeline.prompts import Prompts
from sharpv_cli.pipeline.question import Spent, answer, whole_answer
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

    def answer(
        self, session: Session, settings: Settings, *, timed: bool = False, whole: bool = False
    ) -> Answer:
        """An answer as `sharpv ask` gives it, or one of exactly `new_tokens`; a long clip comes while it is encoded,
        or `whole`.

        Raises KeyboardInterrupt also where the answer would only be cut short by it.
        """
        with self._frames(settings, whole) as frames:
            prompts = Prompts(self._clip(session, frames, settings, timed))
            spent = Spent(self.load_sec, frames.seconds)
            return whole_answer(answer(prompts, self.question, spent=spent))

    def _frames(self, settings: Settings, whole: bool) -> Frames:
        if settings.sampling in self.streamed and not whole:
            return decode(self.video, settings, self.scan)
        return self.clips[settings.sampling]

    def _clip(self, session: Session, frames: Frames, settings: Settings, timed: bool) -> Clip:
        return Clip(session, frames, settings, self.new_tokens if timed else None)
