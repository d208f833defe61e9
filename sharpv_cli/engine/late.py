"""A number on its way from the device to the host, without stopping the device."""

from __future__ import annotations

import torch
from torch import Tensor


class Late:
    """One number of any dtype, from a tensor with one entry. `value` waits for as long as it is not there."""

    def __init__(self, number: Tensor) -> None:
        self._number = number
        self._arrived: torch.cuda.Event | None = None
        if number.is_cuda:
            self._number = torch.empty(number.shape, dtype=number.dtype, pin_memory=True)
            self._number.copy_(number, non_blocking=True)
            self._arrived = torch.cuda.current_stream(number.device).record_event()

    def value(self) -> float:
        if self._arrived is not None:
            self._arrived.synchronize()
        number: float = self._number.item()
        return number
