"""Which visual tokens are kept for a prompt, so that it fits the model's context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from sharpv_cli.errors import UsageError
from sharpv_cli.models.door import VisualPrompt
from sharpv_cli.pruning.visual import Scores, keep_counts, score, select_adaptive, select_manual

if TYPE_CHECKING:
    from sharpv_cli.settings import VisualSettings


@dataclass(frozen=True, slots=True)
class Selection:
    """`keep` bool [T, f], on the device; `contiguous`: positions are closed up; `warnings`: sentences."""

    keep: Tensor
    contiguous: bool
    warnings: tuple[str, ...]


def select(
    prompt: VisualPrompt,
    visual: VisualSettings,
    *,
    positions: Literal["original", "contiguous"],
    context: int | None,
    max_new_tokens: int,
) -> Selection:
    """Visual SharpV by the settings, then what the context asks for.

    When the largest position would not fit, 1-D positions become contiguous, and M-RoPE ones stay; when even
    the kept tokens would not, `scale` is lowered. Raises UsageError when that is not enough, or the mode has
    no scale, and for contiguous positions of a model with M-RoPE.
    """
    if positions == "contiguous" and prompt.mrope:
        raise UsageError(
            "--positions contiguous: this model's positions are time, row and column (M-RoPE)",
            hint="use --positions original",
        )
    keep, warnings = _select_to_fit(prompt, visual, context, max_new_tokens)
    contiguous = positions == "contiguous"
    end = _end(prompt, max_new_tokens)
    if context is not None and end > context and not contiguous:
        contiguous = not prompt.mrope
        outcome = (
            "M-RoPE has no contiguous ones, so they stay"
            if prompt.mrope
            else "the kept tokens got contiguous positions"
        )
        warnings += (
            f"original positions would reach {end}, past the model's context of {context}: {outcome}",
        )
    if _time_stands_still(prompt):
        warnings += (
            "all frames got the same position in time: take fewer --fps, or update transformers "
            "(old ones, such as 5.17, drop fractions of a second)",
        )
    return Selection(keep, contiguous, warnings)


def require_window(window: int | None, length: int, max_new_tokens: int) -> None:
    """Raise UsageError where a prompt of `length` tokens and its answer are more than a sliding window shows.

    Up to there a window is full attention, which the engine's cache is for. The last answer token is never read.
    """
    if window is not None and length + max_new_tokens - 1 > window:
        raise UsageError(
            f"{length} tokens of prompt and up to {max_new_tokens} of answer do not fit the sliding window of "
            f"{window} tokens that layers of this model have",
            hint="take fewer --frames, keep less with a lower --scale, or lower --max-new-tokens",
        )


def _end(prompt: VisualPrompt, max_new_tokens: int) -> int:
    """One more than the largest original position of prompt and answer.

    With M-RoPE a long clip's last frames may stand past its text, behind which the answer goes on.
    """
    return max(int(prompt.position_ids.max()) + 1, int(prompt.position_ids[..., -1].max()) + max_new_tokens)


def _time_stands_still(prompt: VisualPrompt) -> bool:
    """Whether M-RoPE tells no frame from another: Qwen2.5-VL counts half seconds, old versions whole ones."""
    times = prompt.position_ids[0, 0, prompt.slots[:, 0]] if prompt.mrope else prompt.slots[:1, 0]
    return len(times) > 1 and bool((times == times[0]).all())


def _select_to_fit(
    prompt: VisualPrompt, visual: VisualSettings, context: int | None, max_new_tokens: int
) -> tuple[Tensor, tuple[str, ...]]:
    if visual.mode == "off":
        keep = torch.ones_like(prompt.slots, dtype=torch.bool)
        _require_room(keep, prompt, context, max_new_tokens)
        return keep, ()
    scores = score(prompt.features, visual.w)
    if visual.mode == "manual":
        keep = select_manual(scores, k=visual.k, min_tokens=visual.min_tokens)
        _require_room(keep, prompt, context, max_new_tokens)
        return keep, ()
    keep = select_adaptive(scores, scale=visual.scale, min_tokens=visual.min_tokens)
    room = _room(prompt, context, max_new_tokens)
    if room is None or int(keep.sum()) <= room:
        return keep, ()
    scale = _largest_scale(scores, visual, room)
    keep = select_adaptive(scores, scale=scale, min_tokens=visual.min_tokens)
    _require_room(keep, prompt, context, max_new_tokens)
    return keep, (
        f"scale was lowered from {visual.scale:g} to {scale:.3g}, "
        f"so that the kept tokens fit the model's context of {context}",
    )


def _room(prompt: VisualPrompt, context: int | None, max_new_tokens: int) -> int | None:
    """How many visual tokens the context leaves place for; None without a limit.

    The last answer token is never read, so it takes no place.
    """
    return None if context is None else context - prompt.text_tokens - (max_new_tokens - 1)


def _require_room(keep: Tensor, prompt: VisualPrompt, context: int | None, max_new_tokens: int) -> None:
    room = _room(prompt, context, max_new_tokens)
    if room is not None and (kept := int(keep.sum())) > room:
        less = "take fewer --frames, prune more" if room > 0 else "ask a shorter question"
        raise UsageError(
            f"{kept} visual tokens, {prompt.text_tokens} of text and up to {max_new_tokens} of answer "
            f"do not fit the model's context of {context}",
            hint=f"{less}, or lower --max-new-tokens",
        )


def scale_that_keeps(prompt: VisualPrompt, visual: VisualSettings, most: int) -> float | None:
    """The largest scale that keeps at most `most` visual tokens; None where none does, or the mode has none."""
    if visual.mode != "adaptive":
        return None
    scores = score(prompt.features, visual.w)
    fewest = keep_counts(scores.ratio, scores.importance.shape[-1], scale=0.0, min_tokens=visual.min_tokens)
    return _largest_scale(scores, visual, most) if int(fewest.sum()) <= most else None


def _largest_scale(scores: Scores, visual: VisualSettings, room: int) -> float:
    """The largest scale that keeps at most `room` tokens, by bisection: the count rises with scale."""
    ratio, tokens = scores.ratio.cpu(), scores.importance.shape[-1]
    low, high = 0.0, visual.scale
    for _ in range(40):
        middle = (low + high) / 2
        kept = int(keep_counts(ratio, tokens, scale=middle, min_tokens=visual.min_tokens).sum())
        low, high = (middle, high) if kept <= room else (low, middle)
    return low
