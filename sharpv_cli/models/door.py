"""The language model's door: what the stock front end hands to it is captured there, pruned, and handed on.

No model code is copied: vision tower, projector, pooling and the scatter into the prompt are the stock
model's own, whatever the version of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.models.families import Family


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready for the language model, batch of one.

    `embeds` [1, P, D]; `position_ids` int64 [1, P]; `input_ids` int64 [1, P]; `visual` int64 [n], where
    in the P tokens the kept visual ones stand, rising.
    """

    embeds: Tensor
    position_ids: Tensor
    input_ids: Tensor
    visual: Tensor

    def __len__(self) -> int:
        return self.embeds.shape[1]

    def head(self, length: int) -> Prompt:
        """The first `length` tokens, every visual one among them."""
        return Prompt(
            self.embeds[:, :length], self.position_ids[..., :length], self.input_ids[:, :length], self.visual
        )

    def tail(self, length: int) -> Prompt:
        """What comes after the first `length` tokens: text only."""
        return Prompt(
            self.embeds[:, length:],
            self.position_ids[..., length:],
            self.input_ids[:, length:],
            self.visual[:0],
        )


@dataclass(frozen=True, slots=True)
class VisualPrompt:
    """The whole prompt as the stock model would give it to its language model, batch of one.

    `embeds` [1, N, D]; `position_ids` int64 [1, N]; `input_ids` int64 [1, N]; `slots` int64 [T, f], the
    place in the N tokens of every visual token of every frame.
    """

    embeds: Tensor
    position_ids: Tensor
    input_ids: Tensor
    slots: Tensor

    def __len__(self) -> int:
        return self.embeds.shape[1]

    @property
    def features(self) -> Tensor:
        """The visual tokens by frame, [T, f, D]."""
        return self.embeds[0, self.slots]

    @property
    def text_tokens(self) -> int:
        """Every token that is no frame-grid token: text, newline, CLS."""
        return len(self) - self.slots.numel()

    def head(self, length: int) -> VisualPrompt:
        """The first `length` tokens, every visual one among them."""
        return VisualPrompt(
            self.embeds[:, :length], self.position_ids[..., :length], self.input_ids[:, :length], self.slots
        )

    def extend(self, input_ids: Tensor, embeds: Tensor, position_ids: Tensor) -> VisualPrompt:
        """This prompt with text behind it: int64 [1, q], [1, q, D] and int64 [1, q] or [3, 1, q]."""
        return VisualPrompt(
            torch.cat([self.embeds, embeds], dim=1),
            torch.cat([self.position_ids, position_ids], dim=-1),
            torch.cat([self.input_ids, input_ids], dim=1),
            self.slots,
        )

    def prune(self, keep: Tensor, *, contiguous: bool = False) -> Prompt:
        """Leave out the visual tokens where `keep`, bool [T, f], is False.

        The others keep their positions, gaps included, or get 0, 1, 2 ... when `contiguous`.
        """
        assert keep.shape == self.slots.shape, (keep.shape, self.slots.shape)
        stays = torch.ones(len(self), dtype=torch.bool, device=self.embeds.device)
        stays[self.slots] = keep
        visual = torch.zeros_like(stays)
        visual[self.slots] = True
        index = stays.nonzero().flatten()
        positions = self.position_ids[..., index]
        if contiguous:
            positions = torch.arange(len(index), device=index.device).expand_as(positions)
        return Prompt(
            embeds=self.embeds[:, index],
            position_ids=positions,
            input_ids=self.input_ids[:, index],
            visual=visual[index].nonzero().flatten(),
        )


class _AtTheDoor(Exception):  # noqa: N818 - not an error: it ends the forward pass where we want to be
    pass


@torch.no_grad()
def capture(model: Any, inputs: Mapping[str, Tensor], family: Family) -> VisualPrompt:
    """Run the front end on the processor's output and stop where the language model would begin."""
    arrived: dict[str, Any] = {}

    def stop(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        arrived.update(kwargs)
        raise _AtTheDoor

    hook = model.get_decoder().register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model.base_model(**inputs, use_cache=True)
    except _AtTheDoor:
        pass
    finally:
        hook.remove()
    embeds = arrived["inputs_embeds"]
    positions = arrived.get("position_ids")
    if positions is None:
        positions = torch.arange(embeds.shape[1], device=embeds.device)[None]
    layout = family.layout(model.config, inputs)
    return VisualPrompt(embeds, positions, inputs["input_ids"], layout.slots)
