"""The session that stays between commands: another model takes the place of the one before."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sharpv_cli.models.checkpoint import locate
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.shelf import SHELF, give_memory_back
from sharpv_cli.units import memory_size, seconds_of


class Keeper:
    """Holds at most one session, so that no more is held than fitted before."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._key: object = None
        self._used = time.monotonic()
        self._told = False
        self._frozen = False
        self.keep_sec = 0.0  # until a model was loaded there is nothing to stay for

    def open(self, settings: Settings, make: Callable[[], Session]) -> Session:
        """The session of the settings: the one that is held, or a new one in its place."""
        key = (settings.model, settings.device, settings.engine, _files_of(settings))
        self.keep_sec = seconds_of(settings.keep_warm)
        if self._session is not None and key == self._key:
            return replace(self._session, warm=True)
        self._session = self._key = None
        gc.unfreeze()
        SHELF.give_up()
        give_memory_back()  # its memory first
        self._session, self._key = make(), key
        self._frozen = False
        return self._session

    def tidy(self) -> None:
        """Give back what one command took: nobody waits for it now."""
        self._used = time.monotonic()
        give_memory_back()
        if not self._frozen:
            gc.freeze()  # models and libraries are no garbage: looking through them takes a quarter of a second
            self._frozen = True

    def news(self) -> str | None:
        """What is said once, when a model has come to stay."""
        if self._session is None or self._told:
            return None
        self._told = True
        stays = "until" if self.keep_sec == float("inf") else f"for {self.keep_sec:g} s without use, or until"
        return (
            f"the model stays loaded ({memory_size(_resident_bytes())}) for your next question, {stays} "
            "`sharpv warm stop`; --keep-warm 0 does without"
        )

    def status(self) -> dict[str, object]:
        """For `sharpv warm`: the fields of `client.Status` that are known here."""
        info = None if self._session is None else self._session.loaded.info
        return {
            "model": info and info.id,
            "device": info and info.device,
            "dtype": info and info.dtype,
            "memory_bytes": _resident_bytes(),
            "device_bytes": 0 if self._session is None else _device_bytes(self._session),
            "clips": len(SHELF),
            "idle_sec": time.monotonic() - self._used,
            "keep_sec": None if self.keep_sec == float("inf") else self.keep_sec,
        }


def _files_of(settings: Settings) -> list[tuple[str, int, int, int]]:
    """What the system says of the checkpoint's files: one that was trained or downloaded anew is loaded anew."""
    folder = locate(settings.model, offline=settings.offline)
    files = sorted(folder.iterdir()) if folder is not None else []
    found = ((file.name, file.stat()) for file in files if file.is_file())
    return [(name, at.st_ino, at.st_size, at.st_ctime_ns) for name, at in found]


def _device_bytes(session: Session) -> int:
    """Of this process, in a GPU's memory."""
    if session.loaded.device.type != "cuda":
        return 0
    import torch

    return sum(torch.cuda.memory_reserved(number) for number in range(torch.cuda.device_count()))


def _resident_bytes() -> int:
    """Of this process, on the host; the peak where the system does not say what it is now."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()
