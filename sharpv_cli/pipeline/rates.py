"""What this machine's device reaches in a copy and in a matmul: the scale that measured times are set against."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch

from sharpv_cli.engine.device import synchronize
from sharpv_cli.models.blame import out_of_memory
from sharpv_cli.types import DeviceRates

# Larger than the caches.
_COPY_BYTES = {"cpu": 128 << 20, "cuda": 512 << 20, "mps": 512 << 20}
_LARGEST_SIDE = 8192
_LONG_ENOUGH_SEC = (
    0.01  # one matmul: launching it no longer matters, and the next size would take 8 times as long
)
_BUDGET_SEC = 0.3


def measure_rates(device: torch.device, dtype: torch.dtype) -> DeviceRates | None:
    """Best of several, as STREAM and GEMM benchmarks report it; None where the device has no room left.

    Takes about a second and up to 1 GiB of device memory, which is given back.
    """
    try:
        rates = DeviceRates(
            copy_bytes_per_sec=_copy_rate(device),
            matmul_flops_per_sec=_matmul_rate(device, dtype),
            dtype=str(dtype).removeprefix("torch."),
        )
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        rates = None
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return rates


def best_rates(one: DeviceRates | None, other: DeviceRates | None) -> DeviceRates | None:
    """The better of two measurements, each rate for itself: what disturbs a machine only makes it slower."""
    if one is None or other is None:
        return one or other
    return DeviceRates(
        max(one.copy_bytes_per_sec, other.copy_bytes_per_sec),
        max(one.matmul_flops_per_sec, other.matmul_flops_per_sec),
        one.dtype,
    )


def _copy_rate(device: torch.device) -> float:
    """Bytes read and bytes written, a second."""
    source = torch.zeros(_COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), device, _BUDGET_SEC)


def _matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second of the smallest square product that takes long enough."""
    side = 256
    while True:
        factor = torch.full((side, side), 0.5, dtype=dtype, device=device)
        product = partial(torch.matmul, factor, factor, out=torch.empty_like(factor))
        if side >= _LARGEST_SIDE or _best(product, device) > _LONG_ENOUGH_SEC:
            return 2 * side**3 / _best(product, device, _BUDGET_SEC)
        side *= 2


def _best(work: Callable[[], object], device: torch.device, budget_sec: float = 0.0) -> float:
    """Seconds of the fastest run within the budget, three at least, after one that also chooses a kernel."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < budget_sec:
        times.append(_seconds(work, device))
    return min(times)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    with torch.no_grad():
        work()
    synchronize(device)
    return time.perf_counter() - start
