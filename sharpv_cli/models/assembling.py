"""A long clip's prompt, put together of its wording and of the visual tokens that are held."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpv_cli.models.capture import VisualPrompt
from sharpv_cli.models.wording import Wording

if TYPE_CHECKING:
    from sharpv_cli.models.loading import LoadedModel


@torch.no_grad()
def assemble(
    loaded: LoadedModel, words: Wording, held: Tensor, rows: Iterable[Tensor], others: Tensor
) -> VisualPrompt:
    """The prompt `words` with the visual tokens `held`, bool [T, f].

    `rows` are their embeddings, in pieces of [n, D]; `others` [m, D] those of placeholders that are no slots.
    Positions are 0, 1, 2, ...: for families with 1-D ones.
    """
    ids, slots = words.ids.to(loaded.device), words.layout.slots.to(loaded.device)
    stays = torch.ones(ids.shape[1], dtype=torch.bool, device=ids.device)
    stays[slots] = held
    visual = torch.zeros_like(stays)
    visual[slots] = held
    present = stays.nonzero().flatten()
    embeds = loaded.model.get_input_embeddings()(ids[:, present])
    _fill(embeds, visual[present], rows)
    _fill(embeds, _others(words).to(ids.device)[present], [others])
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    return VisualPrompt(embeds, positions, ids, slots, words.layout.grid, present=present)


def reworded(loaded: LoadedModel, whole: VisualPrompt, old: Wording, new: Wording) -> VisualPrompt:
    """`whole`, assembled of the wording `old`, with another one for the same frames."""
    assert whole.present is not None
    stays = torch.zeros(len(whole), dtype=torch.bool, device=whole.present.device)
    stays[whole.present] = True
    held = stays[whole.slots]
    visual = torch.zeros_like(stays)
    visual[whole.slots] = True
    rows = whole.embeds[0, visual[whole.present]]
    others = whole.embeds[0, _others(old).to(stays.device)[whole.present]]
    return assemble(loaded, new, held, [rows], others)


def others_of(words: Wording) -> tuple[int, int]:
    """Placeholders that are no slots: how many each frame has, and how many stand behind the last frame."""
    last = int(words.layout.slots.max())
    inside = int(_others(words)[:last].sum())
    frames = len(words.layout.slots)
    assert inside % frames == 0, (inside, frames)
    return inside // frames, int(_others(words)[last:].sum())


def _others(words: Wording) -> Tensor:
    """bool [N]."""
    others = words.placeholders
    others[words.layout.slots] = False
    return others


def _fill(embeds: Tensor, places: Tensor, rows: Iterable[Tensor]) -> None:
    """Put `rows`, pieces of [n, D], where `places`, bool [P], is True in `embeds` [1, P, D]."""
    index, start = places.nonzero().flatten(), 0
    for piece in rows:
        embeds[0, index[start : start + len(piece)]] = piece
        start += len(piece)
    assert start == len(index), (start, len(index))
