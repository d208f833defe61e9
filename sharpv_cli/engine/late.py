"""Numbers on their way from the device to the host, without stopping the device."""

from __future__ import annotations

import torch
from torch import Tensor


class Late:
    """The numbers of a tensor of any dtype, often a single one. `value` waits for as long as they are not there."""

    def __init__(self, numbers: Tensor) -> None:
        self._numbers = numbers
        self._arrived: torch.cuda.Event | None = None
        if numbers.is_cuda:
            self._numbers = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._arrived = torch.cuda.current_stream(numbers.device).record_event()

    def value(self, place: int = 0) -> float:
        if self._arrived is not None:
            self._arrived.synchronize()
        number: float = self._numbers.view(-1)[place].item()
        return number
