"""How many processor cores are ours: of the machine's, those that affinity and the container's quota leave.

Everything that plans threads asks here. A process that works beside others of ours is told its `share` of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_share: int | None = None


def cores() -> int:
    """At least 1."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([present, *quotas(_CGROUPS, _OWN_CGROUP), *([_share] if _share else [])]))


def share(count: int) -> None:
    """From now on `cores` says at most `count`: the others are for processes beside this one."""
    global _share
    _share = count


def quotas(root: Path, own: Path) -> Iterator[int]:
    """The cores that each control group around this process may use, rounded up; nothing where no limit is set.

    `root` is where control groups are mounted, and `own` names this process's, a line for each hierarchy.
    """
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers == "" or "cpu" in controllers.split(","):
                yield from _quotas_above(root / controllers, place.strip("/"))


def _quotas_above(root: Path, place: str) -> Iterator[int]:
    """Those of the group and of the groups that it lies in. A container may see only its own, as the root."""
    folder = root / place
    for group in (folder, *folder.parents):
        if group.is_relative_to(root):
            yield from _quota(group)


def _quota(group: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        yield _whole(quota, period)
    with suppress(OSError, ValueError):
        yield _whole(*((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")))


def _whole(quota: str, period: str) -> int:
    """Raises ValueError where there is no limit: `max` in version 2, -1 in version 1."""
    if int(quota) <= 0 or int(period) <= 0:
        raise ValueError(quota)
    return math.ceil(int(quota) / int(period))
