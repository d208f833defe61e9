"""From a question to a prompt that the language model has read: preprocess, vision, prune, prefill."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch

from sharpv_cli.engine.engine import Prefill
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.door import Prompt, VisualPrompt
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.encoding import Encoded, encode
from sharpv_cli.pipeline.fitting import require_reading
from sharpv_cli.pipeline.selecting import Selection, require_window, scores_of, select
from sharpv_cli.types import StageStarted


@dataclass(frozen=True, slots=True)
class Reading:
    """A question about `clip` that was read.

    `shared_bytes`: the KV that is held for other questions, None for a single one.
    """

    clip: Clip
    whole: VisualPrompt
    selection: Selection
    prefill: Prefill
    shared_bytes: int | None = None


Steps = Generator[StageStarted, None, Reading]
"""The stages as they begin; what they give is returned at the end."""


def prune(encoded: Encoded, clock: StageClock) -> tuple[Selection, Prompt]:
    """What Visual SharpV keeps of a prompt. Raises UsageError where that does not fit the context, or a window."""
    clip, whole = encoded.clip, encoded.whole
    with clock.stage("prune"), torch.no_grad():
        scores = encoded.scores
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
    prompt = whole.prune(selection.keep, contiguous=selection.contiguous)
    require_window(clip.loaded.window, len(prompt), clip.limit)
    with clock.stage("prefill"):
        require_reading(clip, whole, selection, scores)
    return selection, prompt


def read_once(clip: Clip, question: str, clock: StageClock) -> Steps:
    """Read one question by itself: with everything off this is what stock `generate` does, bit for bit."""
    encoded = yield from encode(clip, question, clock)
    return (yield from read_encoded(encoded, clock))


def read_encoded(encoded: Encoded, clock: StageClock) -> Steps:
    """Read a prompt whose frames are encoded."""
    clip = encoded.clip
    selection, prompt = prune(encoded, clock)
    yield StageStarted("prefill")
    with clock.stage("prefill"):
        done = clip.engine.prefill(prompt, m=clip.threshold)
    return Reading(clip, encoded.whole, selection, done)
