"""The input of the language model: what the stock front end hands to it is captured there, pruned, and handed on.

No model code is copied: vision tower, projector, pooling and the scatter into the prompt are the stock
model's own, whatever the version of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.errors import ModelError
from sharpv_cli.models.blame import Using
from sharpv_cli.models.families import Family
from sharpv_cli.models.hooks import removed_after

MASK, DEEPSTACK = "visual_pos_masks", "deepstack_visual_embeds"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready for the language model, batch of one.

    `embeds` [1, P, D]; `position_ids` int64 [1, P], or [3, 1, P] with M-RoPE (time, row, column); `input_ids`
    int64 [1, P]; `visual` int64 [n], where in the P tokens the kept visual ones stand, rising. `extra` is what
    the decoder takes besides: nothing, or with DeepStack `visual_pos_masks` bool [1, P] and
    `deepstack_visual_embeds`, a list of [visual tokens, D], one for each of the first layers.
    """

    embeds: Tensor
    position_ids: Tensor
    input_ids: Tensor
    visual: Tensor
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.input_ids.shape[1]

    @property
    def told(self) -> Prompt:
        """Of one that was read what is still of use: all but what it was read by, which takes the most."""
        return replace(self, embeds=self.embeds.new_empty(1, 0, self.embeds.shape[-1]), extra={})

    def head(self, length: int) -> Prompt:
        """The first `length` tokens."""
        return self._part(0, length)

    def tail(self, start: int) -> Prompt:
        """The tokens from `start` on."""
        return self._part(start, len(self))

    def followed_by(self, ids: Tensor, embeds: Tensor) -> Prompt:
        """Text behind it, by itself: `ids` int64 [1, q], `embeds` [1, q, D]."""
        further = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        return Prompt(embeds, self.position_ids[..., -1:] + further, ids, self.visual[:0])

    def _part(self, start: int, end: int) -> Prompt:
        index = torch.arange(start, end, device=self.embeds.device)
        inside = (self.visual >= start) & (self.visual < end)
        return Prompt(
            embeds=self.embeds[:, start:end],
            position_ids=self.position_ids[..., start:end],
            input_ids=self.input_ids[:, start:end],
            visual=self.visual[inside] - start,
            extra=_pick(self.extra, index),
        )


@dataclass(frozen=True, slots=True)
class VisualPrompt:
    """The whole prompt as the stock model would give it to its language model, batch of one.

    `embeds` [1, N, D]; `position_ids` int64 [1, N], or [3, 1, N] with M-RoPE; `input_ids` int64 [1, N];
    `slots` int64 [T, f], the place in the N tokens of every visual token of every frame, in raster order of
    `grid` (rows, columns); `extra` as in Prompt.

    Of a long clip, or one that was seen before, only what pruning may keep is held: then `present` int64 [P], rising,
    says which of the N tokens the P `embeds` are, and `extra` is of; among them every one that is no slot. None: all.
    """

    embeds: Tensor
    position_ids: Tensor
    input_ids: Tensor
    slots: Tensor
    grid: tuple[int, int]
    extra: Mapping[str, Any] = field(default_factory=dict)
    present: Tensor | None = None

    def __len__(self) -> int:
        return self.input_ids.shape[1]

    @property
    def told(self) -> VisualPrompt:
        """As `Prompt.told`."""
        return replace(self, embeds=self.embeds.new_empty(1, 0, self.embeds.shape[-1]), extra={})

    @property
    def features(self) -> Tensor:
        """The visual tokens by frame, [T, f, D]; all of them have to be held."""
        assert self.present is None, "tokens that were not kept are gone"
        return self.embeds[0, self.slots]

    def with_features(self, features: Tensor) -> VisualPrompt:
        """With other visual tokens, [T, f, D], in their places."""
        assert self.present is None, "tokens that were not kept are gone"
        embeds = self.embeds.clone()
        embeds[0, self.slots] = features.to(embeds.dtype)
        return replace(self, embeds=embeds)

    @property
    def text_tokens(self) -> int:
        """Every token that is no frame-grid token: text, newline, CLS."""
        return len(self) - self.slots.numel()

    @property
    def mrope(self) -> bool:
        """Whether positions are those of M-RoPE: time, row and column."""
        return self.position_ids.ndim == 3

    def head(self, length: int) -> VisualPrompt:
        """The first `length` tokens, every visual one among them."""
        assert int(self.slots.max()) < length, (int(self.slots.max()), length)
        held = self.embeds.shape[1] - (len(self) - length)  # all that is left out is text
        return replace(
            self,
            embeds=self.embeds[:, :held],
            present=None if self.present is None else self.present[:held],
            position_ids=self.position_ids[..., :length],
            input_ids=self.input_ids[:, :length],
            extra=_pick(self.extra, torch.arange(held, device=self.embeds.device)),
        )

    def extend(self, ids: Tensor, embeds: Tensor, position_ids: Tensor) -> VisualPrompt:
        """With q tokens of text behind it: `ids` int64 [1, q], `embeds` [1, q, D], `position_ids` [(3,) 1, q]."""
        extra = dict(self.extra)
        if extra:
            extra[MASK] = torch.nn.functional.pad(extra[MASK], (0, ids.shape[1]))
        present = self.present
        if present is not None:
            behind = torch.arange(ids.shape[1], device=present.device) + len(self)
            present = torch.cat([present, behind])
        return replace(
            self,
            embeds=torch.cat([self.embeds, embeds], dim=1),
            present=present,
            position_ids=torch.cat([self.position_ids, position_ids], dim=-1),
            input_ids=torch.cat([self.input_ids, ids], dim=1),
            extra=extra,
        )

    def prune(self, keep: Tensor, *, contiguous: bool = False) -> Prompt:
        """Leave out the visual tokens where `keep`, bool [T, f], is False.

        The others keep their positions, gaps included, or get 0, 1, 2 ... when `contiguous` (not with M-RoPE).
        """
        assert keep.shape == self.slots.shape, (keep.shape, self.slots.shape)
        assert not (contiguous and self.mrope), "a ramp would lose rows and columns"
        stays = torch.ones(len(self), dtype=torch.bool, device=self.embeds.device)
        stays[self.slots] = keep
        visual = torch.zeros_like(stays)
        visual[self.slots] = True
        index = stays.nonzero().flatten()
        positions = self.position_ids[..., index]
        if contiguous:
            positions = torch.arange(len(index), device=index.device).expand_as(positions)
        rows = self._rows(index)
        return Prompt(
            embeds=self.embeds[:, rows],
            position_ids=positions,
            input_ids=self.input_ids[:, index],
            visual=visual[index].nonzero().flatten(),
            extra=_pick(self.extra, rows),
        )

    def _rows(self, index: Tensor) -> Tensor:
        """Where `embeds` hold the tokens at `index`, int64 [n] rising."""
        if self.present is None:
            return index
        rows = torch.searchsorted(self.present, index)
        assert torch.equal(self.present[rows.clamp(max=len(self.present) - 1)], index), "a token is not held"
        return rows


def _pick(extra: Mapping[str, Any], index: Tensor) -> dict[str, Any]:
    """`extra` for the tokens at `index`, int64 [n] rising: DeepStack has one row a visual token."""
    if not extra:
        return {}
    mask = extra[MASK][:, index]
    if not mask.any():
        return {}
    rows = (extra[MASK][0].cumsum(0) - 1)[index][mask[0]]
    # The tensors of several layers may lie on several devices.
    return {MASK: mask, DEEPSTACK: [layer[rows.to(layer.device)] for layer in extra[DEEPSTACK]]}


class _AtTheDoor(Exception):  # noqa: N818 - not an error: it ends the forward pass where we want to be
    pass


@torch.no_grad()
def capture(model: Any, inputs: Mapping[str, Tensor], family: Family) -> VisualPrompt:
    """Run the front end on the processor's output and stop where the language model would begin.

    Raises ModelError when processor and model do not fit each other.
    """
    with using_front_end(model):
        layout = family.layout(model.config, inputs)
        _, arrived = reached(model, model.get_decoder(), inputs)
    return VisualPrompt(
        embeds=arrived["inputs_embeds"],
        position_ids=_positions(arrived),
        input_ids=inputs["input_ids"],
        slots=layout.slots,
        grid=layout.grid,
        extra=_extra(arrived),
    )


def using_front_end(model: Any) -> Using:
    """What its code raises is told as a fault of the files that it was made by."""
    return Using("config.json or processor", model.name_or_path)


def reached(model: Any, door: Any, inputs: Mapping[str, Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Run the model up to a part of it, and no further: what that is called with."""
    arrived: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def stop(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arrived.append((args, kwargs))
        raise _AtTheDoor

    with removed_after([door.register_forward_pre_hook(stop, with_kwargs=True)]), suppress(_AtTheDoor):
        model.base_model(**inputs, use_cache=True)
    return arrived[0]


def _positions(arrived: Mapping[str, Any]) -> Tensor:
    positions: Tensor | None = arrived.get("position_ids")
    embeds = arrived["inputs_embeds"]
    if positions is None:
        return torch.arange(embeds.shape[1], device=embeds.device)[None]
    # A fourth row, for text, would have its gaps read as borders of packed sequences.
    return positions[-3:] if positions.ndim == 3 else positions


def _extra(arrived: Mapping[str, Any]) -> dict[str, Any]:
    """What else the decoder takes. ModelError for a tensor that we would not know how to prune."""
    unknown = [name for name, value in arrived.items() if name not in _KNOWN and isinstance(value, _HOLDERS)]
    if unknown:
        raise ModelError(
            f"its language model takes {', '.join(unknown)}, which sharpv cannot prune with the tokens",
            hint="use a supported version of transformers, or report the model",
        )
    return {name: arrived[name] for name in (MASK, DEEPSTACK) if arrived.get(name) is not None}


_KNOWN = {"input_ids", "inputs_embeds", "position_ids", "attention_mask", "cache_position", MASK, DEEPSTACK}
_HOLDERS = (Tensor, list, tuple, dict)
