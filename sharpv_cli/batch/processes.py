"""What a batch takes of this machine: which model, and on which devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpv_cli.batch.working import Worker
from sharpv_cli.cores import cores
from sharpv_cli.models.available import host_bytes
from sharpv_cli.models.known import parameters
from sharpv_cli.models.target import no_gpu
from sharpv_cli.session import open_session

if TYPE_CHECKING:
    from sharpv_cli.session import Session
    from sharpv_cli.settings import Resolved, Settings


_SMALL = 50_000_000  # parameters
_PROCESS_BYTES = 1 << 30  # of a process with PyTorch and such a model
_MOST_PROCESSES = 8
_JOBS_OF_A_PROCESS = 16  # that are worth its start


@dataclass(frozen=True, slots=True)
class Model:
    """Which model answers, as the settings say, and what documents tell of the profile.

    At most `batch_size` answers at once; None is as many as there is memory for, which `sharing` processes share.
    """

    resolved: Resolved
    batch_size: int | None = None
    sharing: int = 1

    def load(self, device: str | None = None) -> Worker:
        """Raises ModelError, ResourceError."""
        return Worker(self.opened(device), self.resolved)

    def opened(self, device: str | None) -> Session:
        changes = {} if device is None else {"device": device}
        session = open_session(self.resolved.settings.model_copy(update=changes))
        if self.batch_size == 1:
            return session
        return session.together(self.batch_size, sharing=self.sharing)


def devices_of(settings: Settings, processes: int | None, jobs: int) -> list[str | None]:
    """The device of each model process: one a GPU where none is named; None is the one of the settings.

    Imports torch where a GPU may be meant.
    """
    gpus = _gpus() if settings.device in ("auto", "cuda") else 0
    count = processes or gpus or _on_cpu(settings, jobs)
    if count == 1:
        return [None]
    return [f"cuda:{number % gpus}" if gpus > 1 else None for number in range(count)]


def _on_cpu(settings: Settings, jobs: int) -> int:
    """A small model's products are too short to be shared by threads: several processes keep all cores busy."""
    size = parameters(settings.model) if settings.device in ("auto", "cpu") else None
    if size is None or size > _SMALL:
        return 1
    room = (host_bytes() or 0) // (2 * _PROCESS_BYTES)
    return max(1, min(cores(), _MOST_PROCESSES, room, jobs // _JOBS_OF_A_PROCESS))


def _gpus() -> int:
    """torch, which takes seconds to import, is asked only where the system has such a device."""
    if no_gpu():
        return 0
    import torch

    return torch.cuda.device_count()
