"""The session that stays between commands, for all of them at once: another model waits until nobody needs this one."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli.models.checkpoint import locate
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.shelf import SHELF, give_memory_back
from sharpv_cli.types import Waiting
from sharpv_cli.units import memory_size, seconds_of

if TYPE_CHECKING:
    from sharpv_cli.engine.together import Together


class Keeper:
    """Holds at most one session, so that no more is held than fitted before, with an engine for several answers.

    `now` is for whom there is work at the moment.
    """

    def __init__(self) -> None:
        self.now: object = None
        self._session: Session | None = None
        self._key: object = None
        self._loaded_by: object = None
        self._users: set[object] = set()
        self._line: list[object] = []  # those that wait for their turn
        self._used = time.monotonic()
        self._told = False
        self._together = 0  # answers of one step at most, so far
        self._frozen = False
        self.keep_sec = 0.0  # until a model was loaded there is nothing to stay for

    def turn(self, settings: Settings) -> Generator[Waiting, None, Session | None]:
        """As `session.Keeper.turn`, first come, first served: nobody passes by who waits for another model."""
        who, key = self.now, _key_of(settings)
        self._line.append(who)
        try:
            while self._line[0] is not who or (key != self._key and self._users):
                yield Waiting()
        finally:
            self._line.remove(who)
        self._users.add(who)
        self.keep_sec = seconds_of(settings.keep_warm)
        return self._held(key)

    def open(self, settings: Settings, make: Callable[[], Session]) -> Session:
        """The session of the settings: the one that is held, or a new one, after a `turn`."""
        if (held := self._held(_key_of(settings))) is not None:
            return held
        self._session, self._loaded_by = make().together(), self.now
        self._frozen = False
        return self._session

    def waits(self, who: object) -> bool:
        """Whether it is somebody else's turn."""
        return who in self._line

    def over(self, who: object) -> None:
        """There is no more work for them, for now."""
        self._users.discard(who)

    @property
    def engine(self) -> Together | None:
        """The one of the session that is held."""
        return None if self._session is None else self._session.several

    def tidy(self) -> None:
        """Give back what commands took: nobody waits for it now."""
        self._used = time.monotonic()
        if self._session is not None and self.engine is not None:
            self.engine.rest()
            self._together = max(self._together, self.engine.largest)
            self._session = self._session.together()  # by the memory that is free now
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

    def _held(self, key: object) -> Session | None:
        """The session of this key, if there is one, and from now on none of another key: its memory first."""
        if key != self._key:
            self._key, self._session = key, None
            gc.unfreeze()
            SHELF.give_up()
            give_memory_back()
        if self._session is None:
            return None
        return replace(self._session, warm=self.now is not self._loaded_by)

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
            "together": max(self._together, 0 if self.engine is None else self.engine.largest),
            "idle_sec": time.monotonic() - self._used,
            "keep_sec": None if self.keep_sec == float("inf") else self.keep_sec,
        }


def _key_of(settings: Settings) -> object:
    return settings.model, settings.device, settings.engine, _files_of(settings)


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
