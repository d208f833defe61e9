"""Which engine runs a model: the fast one where it can, and the reason where it cannot."""

from __future__ import annotations

from typing import Literal, cast

from sharpv_cli.engine.engine import Engine
from sharpv_cli.engine.fast import FastEngine, why_not_fast
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.errors import ModelError
from sharpv_cli.models.loading import LoadedModel

Wanted = Literal["auto", "fast", "reference"]


def engine_for(loaded: LoadedModel, wanted: Wanted = "auto") -> Engine:
    """The engine of a loaded model, the same one at every call.

    Raises ModelError where `fast` is asked for by name and does not serve the model.
    """
    if wanted not in loaded.engines:
        # Kept, because it holds graphs and buffers that serve the next question as well.
        loaded.engines[wanted] = _make(loaded, wanted)
    engine: Engine = loaded.engines[wanted]
    return engine


def _make(loaded: LoadedModel, wanted: Wanted) -> Engine:
    if wanted == "reference":
        return ReferenceEngine(loaded.model, "asked for by name")
    obstacle = why_not_fast(loaded)
    if obstacle is None:
        made = next((engine for engine in loaded.engines.values() if engine.name == "fast"), None)
        if made is not None:  # under its other name
            return cast("FastEngine", made)
        reason = f"it serves {loaded.model.config.model_type}"
        return FastEngine(loaded.model, reason, flash=loaded.info.attention == "flash")
    if wanted == "fast":
        raise ModelError(
            f"{loaded.info.id}: the fast engine cannot run this model: {obstacle}",
            hint="use --engine auto or reference",
        )
    return ReferenceEngine(loaded.model, f"not the fast one: {obstacle}")
