"""The loaded model and the decoded clips that all runs of a profile have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from sharpv_cli.engine.pick import Wanted, engine_for
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.pipeline.answering import answer_by
from sharpv_cli.pipeline.asking import VideoPath, frames_ahead
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.reading import read_once
from sharpv_cli.pipeline.thumbnails import blank_sample
from sharpv_cli.settings import SamplingSettings, Settings
from sharpv_cli.types import Answer, Finished, FrameSample, VideoInfo

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
    clips: Mapping[SamplingSettings, Decoded]
    streamed: Set[SamplingSettings]
    question: str
    new_tokens: int
    _own: dict[int, LoadedModel] = field(default_factory=dict)

    def clip(self, settings: Settings, *, lane: object = None) -> Clip:
        """All frames at once, for a timed run of `lane`, or without a lane a natural one."""
        (info, sample), _ = self.clips[settings.sampling]
        if lane is None:
            return Clip(self.loaded, info, sample, settings)
        return Clip(self._owned(lane, settings.engine), info, sample, settings, self.new_tokens)

    def answer(self, settings: Settings, *, lane: object = None) -> Answer:
        """An answer as `sharpv ask` gives it, or one of exactly `new_tokens`; a long clip comes while it is encoded.

        Raises KeyboardInterrupt also where the answer would only be cut short by it.
        """
        with self._as_asked(settings, lane) as (clip, decode_sec):
            read = partial(read_once, clip)
            events = answer_by(read, clip, self.question, load_sec=self.load_sec, decode_sec=decode_sec)
            result = next(event.answer for event in events if isinstance(event, Finished))
        if result.finish_reason == "interrupted":
            raise KeyboardInterrupt
        return result

    @contextmanager
    def _as_asked(self, settings: Settings, lane: object) -> Iterator[tuple[Clip, float]]:
        """The clip, and the seconds of decoding that are behind it."""
        if settings.sampling not in self.streamed:
            yield self.clip(settings, lane=lane), self.clips[settings.sampling][1]
            return
        loaded = self.loaded if lane is None else self._owned(lane, settings.engine)
        new_tokens = None if lane is None else self.new_tokens
        with frames_ahead(self.video, settings.sampling) as frames:
            take = frames.first()
            assert not isinstance(take, tuple), "the file is as it was"
            yield Clip(loaded, take.info, blank_sample(take), settings, new_tokens, frames), 0.0

    def release(self) -> None:
        """Give back what engines hold for a next answer, so that it does not count in another's peak memory."""
        self._own.clear()
        if self.loaded.device.type == "cuda":
            self.loaded.engines.clear()
            torch.cuda.empty_cache()

    def _owned(self, lane: object, wanted: Wanted) -> LoadedModel:
        """The model with an engine of the lane's own.

        What an engine keeps for a next answer is made for one length of prompt, and lanes of other lengths take
        turns: with a common engine each would make it anew.
        """
        if id(lane) not in self._own:
            self._own[id(lane)] = replace(
                self.loaded, engines={wanted: copy(engine_for(self.loaded, wanted))}
            )
        return self._own[id(lane)]
