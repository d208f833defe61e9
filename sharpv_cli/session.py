"""A loaded model and the engine that runs it: whoever answers questions holds one, for as long as there are any.

Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from sharpv_cli import shortage, signals
from sharpv_cli.cores import cores
from sharpv_cli.models import templates
from sharpv_cli.models.available import available_bytes, host_bytes
from sharpv_cli.models.refusal import import_framework

if TYPE_CHECKING:
    from sharpv_cli.engine.engine import Engine
    from sharpv_cli.engine.factory import Wanted
    from sharpv_cli.engine.together import Together
    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.settings import Settings
    from sharpv_cli.types import Waiting

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[], Generator[T, None, R]]


_CLIPS_PART = 8  # of the free memory is for open clips: a host may have as many GPUs, with a process each


@dataclass(frozen=True, slots=True)
class Session:
    """`engine` runs the language model of `loaded`, and keeps graphs and buffers from one answer for the next.

    One answer at a time. Several sessions may share a model, each with an engine of its own. `warm`: it was there
    already, from an earlier command.
    """

    loaded: LoadedModel
    engine: Engine
    warm: bool = False

    @classmethod
    def of(cls, loaded: LoadedModel, wanted: Wanted = "auto") -> Session:
        """With a new engine. Raises ModelError where it is asked for by name and does not serve the model."""
        from sharpv_cli.engine.factory import make_engine

        return cls(loaded, make_engine(loaded, wanted))

    def together(self, most: int | None = None, *, sharing: int = 1) -> Session:
        """With an engine for at most so many answers at once, by default as many as there is memory for.

        As many processes share the memory as `sharing` says.
        """
        from sharpv_cli.engine.together import MOST, Together

        free, clips = available_bytes(self.loaded.device), _CLIPS_PART * sharing
        bound = None if free is None else free // (2 * sharing)
        host, device = (None if nbytes is None else nbytes // clips for nbytes in (host_bytes(), free))
        engine = Together(self.engine, most=most or MOST, bound=bound, host=host, device=device)
        return replace(self, engine=engine)

    @property
    def several(self) -> Together | None:
        """The engine, where it is one for several answers at once."""
        from sharpv_cli.engine.together import Together

        return self.engine if isinstance(self.engine, Together) else None

    def release(self) -> None:
        """Give back what the engine keeps for a next answer, unless the process stays for it."""
        if signals.stays():
            return
        import torch

        self.engine.release()
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()


class Elsewhere(Exception):  # noqa: N818 - not an error: a command that a process of its own has to run
    """Raised where a command runs for a client of a resident process, before anything was printed."""


class Resident(Protocol):
    """The process that stays, as a command sees it that is run for one of its clients."""

    @property
    def has_loaded(self) -> bool:
        """Whether this command has a model there."""

    def done(self, work: Work[T, R], *, pictures: bool) -> Generator[T, None, R]:
        """As `session.done`."""


_resident: Resident | None = None


def ask(resident: Resident) -> None:
    """From now on `resident` does the work of the command that this process runs."""
    global _resident
    _resident = resident


def done(work: Work[T, R], *, pictures: bool = True) -> Generator[T, None, R]:
    """What `work` tells and gives, here or where the model is loaded: then all of it is pickled.

    Without `pictures` the frames need not come along.
    """
    return (yield from (work() if _resident is None else _resident.done(work, pictures=pictures)))


def has_loaded_there() -> bool:
    """Whether another process has loaded a model for the command that this one runs."""
    return _resident is not None and _resident.has_loaded


class Keeper(Protocol):
    """Gives the sessions of a process that stays."""

    def turn(self, settings: Settings) -> Generator[Waiting, None, Session | None]:
        """Wait until the model of the settings is the one that is held, or nobody needs that; the session, if held."""

    def open(self, settings: Settings, make: Callable[[], Session]) -> Session:
        """The one that is held, or a new one."""


_keeper: Keeper | None = None


def keep_with(keeper: Keeper) -> None:
    """From now on this process stays, and `keeper` gives sessions."""
    global _keeper
    _keeper = keeper


def held_session(settings: Settings) -> Generator[Waiting, None, Session | None]:
    """The session of the settings that this process holds, None where it has to be opened: then it is our turn to."""
    return None if _keeper is None else (yield from _keeper.turn(settings))


def hold(settings: Settings) -> Generator[Waiting]:
    """Have the model of the settings loaded."""
    if (yield from held_session(settings)) is None:
        open_session(settings)


def require_own_process() -> None:
    """Raise Elsewhere for a client of a resident process: for downloads, and where somebody still has to think."""
    if signals.stays():
        raise Elsewhere


def open_session(settings: Settings, *, between_steps: Callable[[], None] = lambda: None) -> Session:
    """The model of the settings, ready to answer. Raises ModelError, ResourceError.

    `between_steps` is called before each step that takes long; what it raises ends the loading.
    """
    if _keeper is None:
        return _open(settings, between_steps)
    return _keeper.open(settings, lambda: _open(settings, between_steps))


def _open(settings: Settings, between_steps: Callable[[], None]) -> Session:
    templates.start()
    shortage.make_do_with_one_thread()
    for library in ("torch", "transformers"):  # importing them takes seconds: each is a step
        import_framework(library)
        between_steps()
    _use_own_cores()
    from sharpv_cli.models.loading import load

    loaded = load(
        settings.model,
        settings.device,
        offline=settings.offline,
        memory_check=settings.memory_check,
        between_steps=between_steps,
    )
    session = Session.of(loaded, settings.engine)
    session.engine.warm_up()
    return session


def _use_own_cores() -> None:
    """PyTorch counts the cores of our affinity, not those of a container's quota: more threads wait for each other."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ and cores() < torch.get_num_threads():
        torch.set_num_threads(cores())
