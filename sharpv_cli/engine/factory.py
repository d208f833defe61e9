"""Which engine runs a model: the fast one where it can, and the reason where it cannot."""

from __future__ import annotations

from typing import Literal

from sharpv_cli.engine.engine import Engine
from sharpv_cli.engine.fast import FastEngine, why_not_fast
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.errors import ModelError
from sharpv_cli.models.loading import LoadedModel

Wanted = Literal["auto", "fast", "reference"]


def make_engine(loaded: LoadedModel, wanted: Wanted = "auto") -> Engine:
    """A new engine on the weights of a loaded model, which several may share.

    Raises ModelError where `fast` is asked for by name and does not serve the model.
    """
    if wanted == "reference":
        return ReferenceEngine(loaded.model, "asked for by name")
    obstacle = why_not_fast(loaded)
    if obstacle is None:
        reason = f"it serves {loaded.model.config.model_type}"
        return FastEngine(loaded.model, reason, flash=loaded.info.attention == "flash")
    if wanted == "fast":
        raise ModelError(
            f"{loaded.info.id}: the fast engine cannot run this model: {obstacle}",
            hint="use --engine auto or reference",
        )
    return ReferenceEngine(loaded.model, f"not the fast one: {obstacle}")
