"""The vision tower's part of several prompts, in one run: what it is called with, joined, and its output shared out.

Towers treat clips apart, whose rows (frames, or patches) stand one behind the other in the first dimension of all that
they take and give. Only the tower is run for all: what leads to it, and the way from it into the prompt, are the stock
model's own, for each clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.models.capture import VisualPrompt, capture, reached, using_front_end
from sharpv_cli.models.families import Family

Inputs = Mapping[str, Tensor]
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, slots=True, eq=False)
class TowerCall:
    """What a clip has the tower called with."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Of pixels, which are the largest of all."""
        tensors = [value for value in self.values if isinstance(value, Tensor)]
        return max(tensors, key=Tensor.numel).shape[0]

    @property
    def kind(self) -> object | None:
        """Equal for those that can be joined; None where it is not known how to."""
        kinds = [_kind(value) for value in self.values]
        return None if None in kinds else (len(self.args), tuple(self.kwargs), tuple(kinds))

    @property
    def values(self) -> list[Any]:
        return [*self.args, *self.kwargs.values()]


def pixels(inputs: Inputs) -> int:
    """How much a clip's frames are for a tower: their numbers, however they are laid out."""
    return sum(value.numel() for value in inputs.values() if torch.is_floating_point(value))


@torch.no_grad()
def at_tower(model: Any, inputs: Inputs, family: Family) -> TowerCall:
    """Run the front end up to the tower. Raises ModelError."""
    with using_front_end(model):
        return TowerCall(*reached(model, _tower(model, family), inputs))


@torch.no_grad()
def run_tower(model: Any, calls: Sequence[TowerCall], family: Family) -> list[Any]:
    """The output of each call, which are of one kind. Raises ModelError where they cannot be told apart."""
    first, rows = calls[0], [call.rows for call in calls]
    values = [
        torch.cat(column) if isinstance(column[0], Tensor) else column[0]
        for column in zip(*(call.values for call in calls), strict=True)
    ]
    count = len(first.args)
    with using_front_end(model):
        output = _tower(model, family)(
            *values[:count], **dict(zip(first.kwargs, values[count:], strict=True))
        )
        return [_part(output, sum(rows[:number]), rows[number], sum(rows)) for number in range(len(rows))]


def capture_behind(model: Any, inputs: Inputs, family: Family, output: Any) -> VisualPrompt:
    """As `capture`, with the `output` that the tower has given."""
    with _given(_tower(model, family), output):
        return capture(model, inputs, family)


def _tower(model: Any, family: Family) -> Any:
    return getattr(model.base_model, family.tower)


@contextmanager
def _given(tower: Any, output: Any) -> Iterator[None]:
    """While open, the tower gives `output`, once."""
    outputs, own = [output], tower.__dict__.get("forward")
    tower.forward = lambda *_, **__: outputs.pop()
    try:
        yield
    finally:
        del tower.forward
        if own is not None:
            tower.forward = own


def _kind(value: Any) -> object | None:
    if isinstance(value, Tensor):
        return (value.dtype, value.shape[1:]) if value.ndim else None
    if isinstance(value, tuple | list):
        kinds = [_kind(one) for one in value if isinstance(one, _PLAIN)]
        return (type(value), *kinds) if len(kinds) == len(value) else None
    return (type(value), value) if isinstance(value, _PLAIN) else None


def _part(output: Any, before: int, rows: int, total: int) -> Any:
    """What belongs to `rows` of `total` behind those `before`; there may be fewer than went in, in proportion."""
    if isinstance(output, Tensor):
        size = output.shape[0]
        if size * before % total or size * rows % total:
            raise ValueError(f"{size} rows come of {total}: not so many a clip")
        return output[size * before // total : size * (before + rows) // total]
    if isinstance(output, Mapping):  # transformers' kind of output
        return type(output)(**{name: _part(value, before, rows, total) for name, value in output.items()})
    if isinstance(output, tuple | list):
        return type(output)(_part(value, before, rows, total) for value in output)
    if output is None:
        return None
    raise ValueError(f"it is not known how to share out {type(output).__name__}")
