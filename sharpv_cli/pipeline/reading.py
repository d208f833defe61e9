"""From a question to a prompt that the language model has read: preprocess, vision, prune, prefill."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sharpv_cli.engine.decode import Prefill, prefill
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.door import Prompt, VisualPrompt, capture
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.pipeline.fitting import require_encoding, require_reading
from sharpv_cli.pipeline.selecting import Selection, require_window, select
from sharpv_cli.types import FrameSample, StageStarted, VideoInfo

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings


@dataclass(frozen=True, slots=True)
class Reading:
    """A question that was read. `shared_bytes`: the KV that is held for other questions, None for a single one."""

    whole: VisualPrompt
    selection: Selection
    prefill: Prefill
    shared_bytes: int | None = None


Steps = Generator[StageStarted, None, Reading]
"""The stages as they begin; what they give is returned at the end."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A decoded video, the model that answers about it, and the settings.

    With `new_tokens` an answer has exactly so many, whatever the settings.
    """

    loaded: LoadedModel
    info: VideoInfo
    sample: FrameSample
    settings: Settings
    new_tokens: int | None = None

    @property
    def limit(self) -> int:
        """Most tokens of an answer."""
        return self.settings.generation.max_new_tokens if self.new_tokens is None else self.new_tokens

    @property
    def threshold(self) -> float | None:
        """Memory SharpV's M, None where it is off."""
        return self.settings.memory.m if self.settings.memory.enabled else None

    def encode(self, question: str, clock: StageClock) -> Generator[StageStarted, None, VisualPrompt]:
        """The whole prompt as the stock model would read it. Raises UsageError for what no prompt may hold."""
        require_encoding(self)
        yield StageStarted("preprocess")
        with clock.stage("preprocess"):
            inputs = build_inputs(self.loaded, self.info, self.sample, question, self.settings.prompt)
        yield StageStarted("vision")
        with clock.stage("vision"):
            return capture(self.loaded.model, inputs, self.loaded.family)

    def prune(self, whole: VisualPrompt, clock: StageClock) -> tuple[Selection, Prompt]:
        """What Visual SharpV keeps of a prompt. Raises UsageError where that does not fit the context, or a window."""
        with clock.stage("prune"), torch.no_grad():
            selection = select(
                whole,
                self.settings.visual,
                positions=self.settings.positions,
                context=self.loaded.context,
                max_new_tokens=self.limit,
            )
        prompt = whole.prune(selection.keep, contiguous=selection.contiguous)
        require_window(self.loaded.window, len(prompt), self.limit)
        require_reading(self, whole, selection)
        return selection, prompt


def read_once(clip: Clip, question: str, clock: StageClock) -> Steps:
    """Read one question by itself: with everything off this is what stock `generate` does, bit for bit."""
    whole = yield from clip.encode(question, clock)
    selection, prompt = clip.prune(whole, clock)
    yield StageStarted("prefill")
    with clock.stage("prefill"):
        done = prefill(clip.loaded.model, prompt, m=clip.threshold)
    return Reading(whole, selection, done)
