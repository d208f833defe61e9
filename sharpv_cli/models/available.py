"""How much memory is free: on a GPU, or on the host within the limit that its container sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def available_bytes(device: torch.device) -> int | None:
    """Bytes that a model could take on `device` now, None where the system does not say.

    What PyTorch holds of a GPU without using it counts as free. The CPU's is the smaller of what the kernel
    could give without swapping and what the control groups of this process leave.
    """
    if device.type == "cpu":
        return host_bytes()
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return host_bytes()


def host_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Free memory of the host or the container, None outside of Linux."""
    bounds = [*_meminfo(proc), *_control_groups(proc, cgroups)]
    return max(0, min(bounds)) if bounds else None


def _meminfo(proc: Path) -> Iterator[int]:
    for line in _text(proc / "meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            yield int(rest.split()[0]) * 1024


def _control_groups(proc: Path, root: Path) -> Iterator[int]:
    """What is left in each group from ours up to the root: any of them may have a limit (v1 and v2)."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names, mount = ("memory.max", "memory.current", "inactive_file"), root
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            mount = root / "memory"
        else:
            continue
        parts = PurePosixPath(path).parts[1:]
        for depth in range(len(parts), -1, -1):  # in a container, the path may be the host's
            yield from _left(mount.joinpath(*parts[:depth]), *names)


def _left(group: Path, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    """The limit less what is used; the file cache that nobody has touched lately is given back on demand."""
    most, used = _text(group / limit).strip(), _text(group / usage).strip()
    if most.isdigit() and used.isdigit():
        rows = (line.partition(" ") for line in _text(group / "memory.stat").splitlines())
        yield int(most) - int(used) + sum(int(count) for name, _, count in rows if name == reclaimable)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
