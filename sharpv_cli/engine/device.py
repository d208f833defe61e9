"""What devices are asked: to be the current one, to finish, and how much memory was used."""

from __future__ import annotations

import torch

from sharpv_cli import metrics


def make_current(device: torch.device) -> None:
    """Have this thread launch on `device` where it is a GPU.

    Triton launches its kernels, and CUDA captures graphs, on the thread's current device: not on the tensors'.
    """
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def device_name(device: torch.device) -> str:
    """The card's, or `CPU`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def synchronize(device: torch.device) -> None:
    """Wait for what the device still has in its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak(device: torch.device) -> None:
    """Count the largest use of memory from here on, where the device counts it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """The largest use so far; on CPU the process's peak resident size."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return torch.mps.driver_allocated_memory() if device.type == "mps" else metrics.peak_rss_bytes()
