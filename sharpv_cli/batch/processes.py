"""What a batch takes of this machine: which model, and on which devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpv_cli.batch.working import Worker
from sharpv_cli.models.target import no_gpu
from sharpv_cli.session import open_session

if TYPE_CHECKING:
    from sharpv_cli.settings import Resolved, Settings


@dataclass(frozen=True, slots=True)
class Model:
    """Which model answers, as the settings say, and what documents tell of the profile."""

    resolved: Resolved

    def load(self, device: str | None = None) -> Worker:
        """Raises ModelError, ResourceError."""
        changes = {} if device is None else {"device": device}
        session = open_session(self.resolved.settings.model_copy(update=changes))
        return Worker(session, self.resolved)


def devices_of(settings: Settings, processes: int | None) -> list[str | None]:
    """The device of each model process: one a GPU where none is named; None is the one of the settings.

    Imports torch where a GPU may be meant.
    """
    gpus = _gpus() if settings.device in ("auto", "cuda") else 0
    count = processes or max(gpus, 1)
    if count == 1:
        return [None]
    return [f"cuda:{number % gpus}" if gpus > 1 else None for number in range(count)]


def _gpus() -> int:
    """torch, which takes seconds to import, is asked only where the system has such a device."""
    if no_gpu():
        return 0
    import torch

    return torch.cuda.device_count()
