"""From a question to a prompt that the language model has read: preprocess, vision, prune, prefill."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from sharpv_cli.engine.engine import Prefill
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.door import Prompt, VisualPrompt, capture
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.models.tower import quick_tower
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.fitting import require_encoding, require_reading
from sharpv_cli.pipeline.selecting import Selection, require_window, select
from sharpv_cli.types import StageStarted


@dataclass(frozen=True, slots=True)
class Reading:
    """A question that was read. `shared_bytes`: the KV that is held for other questions, None for a single one."""

    whole: VisualPrompt
    selection: Selection
    prefill: Prefill
    shared_bytes: int | None = None


Steps = Generator[StageStarted, None, Reading]
"""The stages as they begin; what they give is returned at the end."""


def encode(clip: Clip, question: str, clock: StageClock) -> Generator[StageStarted, None, VisualPrompt]:
    """The whole prompt as the stock model would read it. Raises UsageError for what no prompt may hold."""
    yield StageStarted("preprocess")
    with clock.stage("preprocess"):
        require_encoding(clip)
        inputs = build_inputs(
            clip.loaded, clip.info, clip.sample, question, clip.settings.prompt, on_device=clip.on_device
        )
    yield StageStarted("vision")
    with clock.stage("vision"), quick_tower(clip.loaded.model) if clip.on_device else nullcontext():
        return capture(clip.loaded.model, inputs, clip.loaded.family)


def prune(clip: Clip, whole: VisualPrompt, clock: StageClock) -> tuple[Selection, Prompt]:
    """What Visual SharpV keeps of a prompt. Raises UsageError where that does not fit the context, or a window."""
    with clock.stage("prune"), torch.no_grad():
        selection = select(
            whole,
            clip.settings.visual,
            positions=clip.settings.positions,
            context=clip.loaded.context,
            max_new_tokens=clip.limit,
        )
    prompt = whole.prune(selection.keep, contiguous=selection.contiguous)
    require_window(clip.loaded.window, len(prompt), clip.limit)
    with clock.stage("prefill"):
        require_reading(clip, whole, selection)
    return selection, prompt


def read_once(clip: Clip, question: str, clock: StageClock) -> Steps:
    """Read one question by itself: with everything off this is what stock `generate` does, bit for bit."""
    whole = yield from encode(clip, question, clock)
    selection, prompt = prune(clip, whole, clock)
    yield StageStarted("prefill")
    with clock.stage("prefill"):
        done = clip.engine.prefill(prompt, m=clip.threshold)
    return Reading(whole, selection, done)
