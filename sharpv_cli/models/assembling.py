"""A prompt put together of its wording and of what frames put into it, as far as that is held: without the frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sharpv_cli.models.capture import DEEPSTACK, MASK, VisualPrompt
from sharpv_cli.models.wording import Wording

if TYPE_CHECKING:
    from sharpv_cli.models.loading import LoadedModel


@dataclass(frozen=True, slots=True)
class MropePositions:
    """Positions of M-RoPE, as if the first placeholder were at 0.

    `within` int64 [3, R] are those of the tokens from the first placeholder to the last; text goes on at `after`.
    """

    within: Tensor
    after: int


@dataclass(frozen=True, slots=True)
class VisualPart:
    """What frames put into a prompt, whatever its words.

    `held` bool [T, f] are the slots of which there is something; `rows` [n, D] the embeddings of every placeholder that
    is held, a slot or not, in the prompt's order, and `deepstack` the same of each layer that has features added.
    `positions` are None where they count 0, 1, 2, ...
    """

    held: Tensor
    rows: Tensor
    deepstack: tuple[Tensor, ...] = ()
    positions: MropePositions | None = None


def visual_part(whole: VisualPrompt, placeholder: int, held: Tensor) -> VisualPart | None:
    """What frames put into the prompt `whole`, of their slots those that are `held`, bool [T, f].

    None where the positions are of a kind that is not known here.
    """
    places = whole.input_ids[0] == placeholder
    known, positions = _positions_of(whole, places)
    if not known:
        return None
    places[whole.slots] = held
    rows = places if whole.present is None else places[whole.present]
    deepstack = tuple(layer[rows[whole.extra[MASK][0]]] for layer in whole.extra.get(DEEPSTACK, ()))
    return VisualPart(held, whole.embeds[0, rows], deepstack, positions)


@torch.no_grad()
def placed(loaded: LoadedModel, words: Wording, part: VisualPart) -> VisualPrompt:
    """The prompt `words` with what frames put into it: what the stock front end makes of them, and of pictures."""
    places = words.placeholders.to(loaded.device)
    positions = None if part.positions is None else _placed(part.positions, places)
    whole = _without_frames(loaded, words, part.held, positions)
    assert whole.present is not None
    filled = places[whole.present]
    _fill(whole.embeds, filled, [part.rows])
    extra: dict[str, Any] = {MASK: filled[None], DEEPSTACK: list(part.deepstack)} if part.deepstack else {}
    return VisualPrompt(
        whole.embeds, whole.position_ids, whole.input_ids, whole.slots, whole.grid, extra, whole.present
    )


@torch.no_grad()
def assemble(
    loaded: LoadedModel, words: Wording, held: Tensor, rows: Iterable[Tensor], others: Tensor
) -> VisualPrompt:
    """As `placed`, for 1-D positions: `rows` are the embeddings of slots that are held, in pieces of [n, D]; `others`
    [m, D] those of placeholders that are no slots.
    """
    whole = _without_frames(loaded, words, held)
    assert whole.present is not None
    other = _others(words).to(loaded.device)
    _fill(whole.embeds, (words.placeholders.to(loaded.device) & ~other)[whole.present], rows)
    _fill(whole.embeds, other[whole.present], [others])
    return whole


def reworded(loaded: LoadedModel, whole: VisualPrompt, old: Wording, new: Wording) -> VisualPrompt:
    """`whole`, assembled of the wording `old`, with another one for the same frames."""
    part = visual_part(whole, old.placeholder, held_of(whole))
    assert part is not None, "whatever is assembled has such positions"
    return placed(loaded, new, part)


def held_of(whole: VisualPrompt) -> Tensor:
    """Of which slots something is held, bool [T, f]."""
    if whole.present is None:
        return torch.ones_like(whole.slots, dtype=torch.bool)
    stays = torch.zeros(len(whole), dtype=torch.bool, device=whole.present.device)
    stays[whole.present] = True
    return stays[whole.slots]


def others_of(words: Wording) -> tuple[int, int]:
    """Placeholders that are no slots: how many each frame has, and how many stand behind the last frame."""
    last = int(words.layout.slots.max())
    inside = int(_others(words)[:last].sum())
    frames = len(words.layout.slots)
    assert inside % frames == 0, (inside, frames)
    return inside // frames, int(_others(words)[last:].sum())


def _without_frames(
    loaded: LoadedModel, words: Wording, held: Tensor, positions: Tensor | None = None
) -> VisualPrompt:
    """The prompt with the placeholders' own embeddings; positions are 0, 1, 2, ... where there are no others."""
    ids, slots = words.ids.to(loaded.device), words.layout.slots.to(loaded.device)
    stays = torch.ones(ids.shape[1], dtype=torch.bool, device=ids.device)
    stays[slots] = held
    present = stays.nonzero().flatten()
    embeds = loaded.model.get_input_embeddings()(ids[:, present])
    if positions is None:
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
    return VisualPrompt(embeds, positions, ids, slots, words.layout.grid, present=present)


def _positions_of(whole: VisualPrompt, places: Tensor) -> tuple[bool, MropePositions | None]:
    """Whether the positions are 0, 1, 2, ... or else those of M-RoPE; and these."""
    if not whole.mrope:
        ramp = torch.arange(len(whole), device=places.device)
        return torch.equal(whole.position_ids[0], ramp), None
    first, last = (int(places.nonzero()[end]) for end in (0, -1))
    if last + 1 == len(whole):
        return False, None
    after = int(whole.position_ids[0, 0, last + 1]) - first
    positions = MropePositions(whole.position_ids[:, 0, first : last + 1] - first, after)
    return torch.equal(_placed(positions, places), whole.position_ids), positions


def _placed(positions: MropePositions, places: Tensor) -> Tensor:
    """The positions, int64 [3, 1, N], of a prompt whose placeholders stand at `places`, bool [N]."""
    first, last = (int(places.nonzero()[end]) for end in (0, -1))
    text = torch.arange(len(places), device=places.device).expand(3, -1)
    behind = text[:, : len(places) - last - 1] + first + positions.after
    return torch.cat([text[:, :first], positions.within + first, behind], dim=1)[:, None]


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
