"""A loaded model and the engine that runs it: whoever answers questions holds one, for as long as there are any.

Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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


_CLIPS_PART = 8  # of the host's free memory is for open clips: there may be as many GPUs, with a process each


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

        free = available_bytes(self.loaded.device)
        bound = None if free is None else free // (2 * sharing)
        host = host_bytes()
        held = None if host is None else host // (_CLIPS_PART * sharing)
        return replace(self, engine=Together(self.engine, most=most or MOST, bound=bound, host=held))

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
    """Raised in a resident process, before anything was printed, where it should not do this itself."""


_keeper: Callable[[Settings, Callable[[], Session]], Session] | None = None


def keep_with(keeper: Callable[[Settings, Callable[[], Session]], Session]) -> None:
    """From now on this process stays, and `keeper` gives sessions: the one it holds, or a new one."""
    global _keeper
    _keeper = keeper


def require_own_process() -> None:
    """Raise Elsewhere in a resident process: for downloads, and for what would keep other commands waiting."""
    if signals.stays():
        raise Elsewhere


def open_session(settings: Settings, *, between_steps: Callable[[], None] = lambda: None) -> Session:
    """The model of the settings, ready to answer. Raises ModelError, ResourceError.

    `between_steps` is called before each step that takes long; what it raises ends the loading.
    """
    if _keeper is None:
        return _open(settings, between_steps)
    return _keeper(settings, lambda: _open(settings, between_steps))


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
