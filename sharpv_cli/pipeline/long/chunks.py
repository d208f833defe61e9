"""Which clips are encoded a chunk of frames at a time, so that memory grows with kept tokens and not with frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpv_cli.errors import ModelError
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.jsonfile import CONFIG, read_json

if TYPE_CHECKING:
    from sharpv_cli.models.families import Family
    from sharpv_cli.settings import Settings

WHOLE_FRAMES = 64  # up to here a clip is encoded whole, as the stock model would
CHUNK_FRAMES = 32


def in_chunks(family: Family | None, engine: str) -> bool:
    """Whether a long clip is encoded in chunks: its frames are encoded apart, and its positions are arithmetic.

    The reference engine does everything as the stock model does it, which encodes all frames together.
    """
    return engine != "reference" and family is not None and family.positions == "1d"


def family_named(settings: Settings) -> Family | None:
    """The family of the model, by its folder or else by its profile; None where neither says it."""
    from sharpv_cli.models.checkpoint import locate
    from sharpv_cli.models.inspecting import said

    try:
        folder = locate(settings.model, offline=settings.offline)
        named = (
            settings.model.family
            if folder is None
            else read_json(folder, CONFIG, said(settings.model)).get("model_type")
        )
    except ModelError:  # loading will say it
        return None
    return FAMILIES.get(str(named))
