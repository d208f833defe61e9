"""A loaded model and the engine that runs it: whoever answers questions holds one, for as long as there are any.

Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from sharpv_cli import shortage
from sharpv_cli.models import templates

if TYPE_CHECKING:
    from sharpv_cli.engine.engine import Engine
    from sharpv_cli.engine.factory import Wanted
    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.settings import Settings


@dataclass(frozen=True, slots=True)
class Session:
    """`engine` runs the language model of `loaded`, and keeps graphs and buffers from one answer for the next.

    One answer at a time. Several sessions may share a model, each with an engine of its own.
    """

    loaded: LoadedModel
    engine: Engine

    @classmethod
    def of(cls, loaded: LoadedModel, wanted: Wanted = "auto") -> Session:
        """With a new engine. Raises ModelError where it is asked for by name and does not serve the model."""
        from sharpv_cli.engine.factory import make_engine

        return cls(loaded, make_engine(loaded, wanted))

    def release(self) -> None:
        """Give back what the engine keeps for a next answer."""
        import torch

        self.engine.release()
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()


def open_session(settings: Settings, *, between_steps: Callable[[], None] = lambda: None) -> Session:
    """The model of the settings, ready to answer. Raises ModelError, ResourceError.

    `between_steps` is called before each step that takes long; what it raises ends the loading.
    """
    templates.start()
    shortage.make_do_with_one_thread()
    for library in ("torch", "transformers"):  # importing them takes seconds: each is a step
        import_module(library)
        between_steps()
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
