"""The loaded model and the decoded clips that all runs of a profile have in common."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace

import torch

from sharpv_cli.engine.engine import Engine
from sharpv_cli.engine.pick import Wanted, engine_for
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.pipeline.answering import answer
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.settings import SamplingSettings, Settings
from sharpv_cli.types import Answer, Finished, FrameSample, VideoInfo


@dataclass(frozen=True)
class Bench:
    """`clips` by how they were sampled, each with the seconds of decoding it; `new_tokens` of a timed run."""

    loaded: LoadedModel
    load_sec: float
    clips: Mapping[SamplingSettings, tuple[tuple[VideoInfo, FrameSample], float]]
    question: str
    new_tokens: int
    _own: dict[int, LoadedModel] = field(default_factory=dict)

    def clip(self, settings: Settings, *, lane: object = None) -> Clip:
        """What a run is asked about: a timed one of `lane`, or without a lane a natural one."""
        (info, sample), _ = self.clips[settings.sampling]
        if lane is None:
            return Clip(self.loaded, info, sample, settings)
        return Clip(self._owned(lane, settings.engine), info, sample, settings, self.new_tokens)

    def answer(self, settings: Settings, *, lane: object = None) -> Answer:
        """An answer as `sharpv ask` gives it, or one of exactly `new_tokens`.

        Raises KeyboardInterrupt also where the answer would only be cut short by it.
        """
        clip = self.clip(settings, lane=lane)
        events = answer(
            clip.loaded,
            clip.info,
            clip.sample,
            self.question,
            settings,
            load_sec=self.load_sec,
            decode_sec=self.clips[settings.sampling][1],
            new_tokens=clip.new_tokens,
        )
        result = next(event.answer for event in events if isinstance(event, Finished))
        if result.finish_reason == "interrupted":
            raise KeyboardInterrupt
        return result

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
            self._own[id(lane)] = replace(self.loaded, engines={wanted: copy(self._engine(wanted))})
        return self._own[id(lane)]

    def _engine(self, wanted: Wanted) -> Engine:
        """One fast engine for all: a second would lay out the weights once more."""
        made = (engine for engine in self.loaded.engines.values() if engine.name == "fast")
        found = None if wanted == "reference" else next(made, None)
        return found or engine_for(self.loaded, wanted)
