"""Clips before the vision tower: those that wait there at the same time go through it in one run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch

from sharpv_cli.engine.device import synchronize
from sharpv_cli.errors import SharpvError
from sharpv_cli.metrics import now
from sharpv_cli.models.blame import out_of_memory
from sharpv_cli.models.capture import VisualPrompt, capture
from sharpv_cli.models.families import Family, family_of
from sharpv_cli.models.joined import Inputs, TowerCall, at_tower, capture_behind, pixels, run_tower
from sharpv_cli.models.tower import quick_tower
from sharpv_cli.types import Waiting

T = TypeVar("T")

FULL = 32 * 3 * 384 * 384
"""Numbers of pixels that fill a GPU: 32 frames of 384x384, a usual clip. On a CPU company gains nothing."""


@dataclass(eq=False)
class _Clip:
    inputs: Inputs
    size: int
    call: TowerCall | None = None
    found: VisualPrompt | Exception | None = None
    seconds: float = 0.0

    @property
    def kind(self) -> object | None:
        return None if self.call is None else self.call.kind


class Vision:
    """Encodes clips for `model` with each `step`, at most `full` numbers of pixels in a run; 0: no clip has company.

    Each gets what it gets alone. Where a run of several fails, each is run alone: so an error is the clip's own.
    """

    def __init__(self, model: Any, full: int) -> None:
        self.full = full
        self.largest = 0  # clips of one run, so far
        self._model = model
        self._waiting: list[_Clip] = []  # in the order in which they came

    def has_room_beside(self, inputs: Inputs) -> bool:
        """Whether a clip does not fill the device by itself."""
        return pixels(inputs) < self.full

    def encoded(self, inputs: Inputs) -> Generator[Waiting, None, tuple[VisualPrompt, float]]:
        """What is captured of a clip, when a step was made, and the seconds of its run."""
        one = _Clip(inputs, pixels(inputs))
        self._waiting.append(one)
        try:
            while one.found is None:
                yield Waiting(company=_size(self._waiting) < self.full)
        finally:
            if one in self._waiting:
                self._waiting.remove(one)
        if isinstance(one.found, Exception):
            raise one.found
        return one.found, one.seconds

    @torch.no_grad()
    def step(self) -> int:
        """Encode all that wait; how many."""
        waiting, self._waiting = self._waiting, []
        for group in self._groups(waiting):
            if not self._found_together(group):
                for one in group:
                    self._found_alone(one)
        return len(waiting)

    @property
    def _family(self) -> Family:
        return family_of(self._model.config.model_type, self._model.name_or_path)

    def _groups(self, waiting: Sequence[_Clip]) -> list[list[_Clip]]:
        """Each of one kind, as many as there is room for; first come, first served."""
        groups: list[list[_Clip]] = []
        for one in waiting:
            if len(waiting) > 1:
                call = _tried(partial(at_tower, self._model, one.inputs, self._family))
                one.call = None if isinstance(call, Exception) else call
            group = next((each for each in groups if self._has_room_for(one, each)), None)
            if group is None:
                groups.append([one])
            else:
                group.append(one)
        return groups

    def _has_room_for(self, one: _Clip, group: Sequence[_Clip]) -> bool:
        alike = one.kind is not None and one.kind == group[0].kind
        return alike and one.size + _size(group) <= self.full

    def _found_together(self, group: Sequence[_Clip]) -> bool:
        """Whether one run of the tower was for all of them. Where there is no memory for so many, fewer go together."""
        calls = [one.call for one in group if one.call is not None]
        if len(calls) < 2:
            return False
        began = now()
        with quick_tower(self._model):
            outputs = _tried(partial(run_tower, self._model, calls, self._family))
            if isinstance(outputs, Exception):
                self.full = _size(group) // 2 if out_of_memory(outputs) else self.full
                return False
            for one, output in zip(group, outputs, strict=True):
                one.found = _tried(partial(capture_behind, self._model, one.inputs, self._family, output))
        self._finish(group, began)
        return True

    def _found_alone(self, one: _Clip) -> None:
        began = now()
        with quick_tower(self._model):
            one.found = _tried(partial(capture, self._model, one.inputs, self._family))
        self._finish([one], began)

    def _finish(self, group: Sequence[_Clip], began: float) -> None:
        synchronize(self._model.device)
        seconds = now() - began
        self.largest = max(self.largest, len(group))
        for one in group:
            one.seconds = seconds


def _size(clips: Sequence[_Clip]) -> int:
    return sum(one.size for one in clips)


def _tried(work: Callable[[], T]) -> T | Exception:
    """What `work` gives, or its error; a device that fails does nothing more in this process."""
    try:
        return work()
    except (SharpvError, RuntimeError, MemoryError) as error:
        if isinstance(error, torch.AcceleratorError) and not out_of_memory(error):
            raise
        return error.with_traceback(None)  # which holds on to tensors
