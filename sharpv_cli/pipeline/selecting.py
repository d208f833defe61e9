"""Which visual tokens are kept for a prompt, so that it fits the model's context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from sharpv_cli.errors import UsageError
from sharpv_cli.models.capture import VisualPrompt
from sharpv_cli.pruning.visual import Scores, keep_counts, score, select_adaptive, select_manual

if TYPE_CHECKING:
    from sharpv_cli.settings import VisualSettings


@dataclass(frozen=True, slots=True)
class Selection:
    """`keep` bool [T, f], on the device; `contiguous`: positions are closed up; `warnings`: sentences.

    `scale` is the one that was used, where the mode has one.
    """

    keep: Tensor
    contiguous: bool
    warnings: tuple[str, ...]
    scale: float


def select(
    prompt: VisualPrompt,
    visual: VisualSettings,
    *,
    positions: Literal["original", "contiguous"],
    context: int | None,
    max_new_tokens: int,
    scores: Scores | None = None,
    keep: Tensor | None = None,
) -> Selection:
    """Visual SharpV by the settings, or what another method wants to `keep`, then what the context asks for.

    `scores` are those of the prompt's visual tokens where they are known already. When the largest position would
    not fit, 1-D positions become contiguous, and M-RoPE ones stay; when even the kept tokens would not, `scale` is
    lowered. Raises UsageError when that is not enough, or the mode has no scale, and for contiguous positions of a
    model with M-RoPE.
    """
    if positions == "contiguous" and prompt.mrope:
        raise UsageError(
            "--positions contiguous: this model's positions are time, row and column (M-RoPE)",
            hint="use --positions original",
        )
    scale = visual.scale
    warnings: tuple[str, ...] = ()
    if keep is None:
        scores = scores or scores_of(prompt, visual)
        keep, scale, warnings = _select_to_fit(prompt, scores, visual, context, max_new_tokens)
    else:
        require_room(int(keep.sum()), prompt.text_tokens, context, max_new_tokens)
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
    return Selection(keep, contiguous, warnings, scale)


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
    if not prompt.mrope:  # positions count tokens: nothing has to come back from the device
        return len(prompt) - 1 + max(1, max_new_tokens)
    return max(int(prompt.position_ids.max()) + 1, int(prompt.position_ids[..., -1].max()) + max_new_tokens)


def _time_stands_still(prompt: VisualPrompt) -> bool:
    """Whether M-RoPE tells no frame from another: Qwen2.5-VL counts half seconds, old versions whole ones."""
    times = prompt.position_ids[0, 0, prompt.slots[:, 0]] if prompt.mrope else prompt.slots[:1, 0]
    return len(times) > 1 and bool((times == times[0]).all())


def scores_of(prompt: VisualPrompt, visual: VisualSettings) -> Scores | None:
    """The scores that the selection goes by; None where nothing is pruned."""
    return None if visual.mode == "off" else score(prompt.features, visual.w)


def _select_to_fit(
    prompt: VisualPrompt,
    scores: Scores | None,
    visual: VisualSettings,
    context: int | None,
    max_new_tokens: int,
) -> tuple[Tensor, float, tuple[str, ...]]:
    """What is kept, the scale that keeps it, and what there is to say of it."""
    room = room_for(prompt.text_tokens, context, max_new_tokens)
    keep, scale = kept_by(scores, visual, prompt.slots), visual.scale
    warnings: tuple[str, ...] = ()
    if room is None or int(keep.sum()) <= room:
        return keep, scale, ()
    if visual.mode == "adaptive":
        assert scores is not None
        scale = largest_scale(scores.ratio, prompt.slots.shape[1], visual, room)
        keep = kept_by(scores, visual, prompt.slots, scale)
        warnings = (
            f"scale was lowered from {visual.scale:g} to {scale:.3g}, "
            f"so that the kept tokens fit the model's context of {context}",
        )
    require_room(int(keep.sum()), prompt.text_tokens, context, max_new_tokens)
    return keep, scale, warnings


def kept_by(
    scores: Scores | None, visual: VisualSettings, slots: Tensor, scale: float | None = None
) -> Tensor:
    """What Visual SharpV keeps of frames with these scores, bool [T, f]; `slots` [T, f] are theirs."""
    if scores is None:
        return torch.ones_like(slots, dtype=torch.bool)
    if visual.mode == "manual":
        return select_manual(scores, k=visual.k, min_tokens=visual.min_tokens)
    scale = visual.scale if scale is None else scale
    return select_adaptive(scores, scale=scale, min_tokens=visual.min_tokens)


def room_for(text_tokens: int, context: int | None, max_new_tokens: int) -> int | None:
    """How many visual tokens the context leaves place for; None without a limit.

    The last answer token is never read, so it takes no place.
    """
    return None if context is None else context - text_tokens - (max_new_tokens - 1)


def require_room(
    kept: int, text_tokens: int, context: int | None, max_new_tokens: int, *, so_far: bool = False
) -> None:
    """Raise UsageError where the context has no place for `kept` visual tokens; `so_far`: there are more to come."""
    room = room_for(text_tokens, context, max_new_tokens)
    if room is not None and kept > room:
        less = "take fewer --frames, prune more" if room > 0 else "ask a shorter question"
        raise UsageError(
            f"{'more than ' if so_far else ''}{kept} visual tokens, {text_tokens} of text and up to "
            f"{max_new_tokens} of answer do not fit the model's context of {context}",
            hint=f"{less}, or lower --max-new-tokens",
        )


def scale_that_keeps(scores: Scores | None, visual: VisualSettings, most: int) -> float | None:
    """The largest scale that keeps at most `most` visual tokens; None where none does, or the mode has none."""
    if visual.mode != "adaptive" or scores is None:
        return None
    tokens = scores.importance.shape[-1]
    fewest = keep_counts(scores.ratio, tokens, scale=0.0, min_tokens=visual.min_tokens)
    return largest_scale(scores.ratio, tokens, visual, most) if int(fewest.sum()) <= most else None


def scale_for(scores: Scores | None, visual: VisualSettings, most: int) -> float | None:
    """The scale that keeps `most` visual tokens, or as many below as it can, wherever the set one lies.

    A frame without any difference is kept by no scale beyond its `min_tokens`. None where none keeps so few, or the
    mode has none.
    """
    if scores is None:
        return None
    smallest = scores.ratio[scores.ratio > 0]
    ceiling = 1.001 / float(smallest.min()) if len(smallest) else 1.0
    return scale_that_keeps(scores, visual.model_copy(update={"scale": ceiling}), most)


def largest_scale(ratio: Tensor, tokens: int, visual: VisualSettings, room: int) -> float:
    """The largest scale with which frames of these ratios, [T], keep at most `room` tokens; at most the set one.

    By bisection: the count rises with scale. With more frames it never comes out larger.
    """
    ratio = ratio.cpu()
    low, high = 0.0, visual.scale
    for _ in range(40):
        middle = (low + high) / 2
        kept = int(keep_counts(ratio, tokens, scale=middle, min_tokens=visual.min_tokens).sum())
        low, high = (middle, high) if kept <= room else (low, middle)
    return low
