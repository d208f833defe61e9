"""How many positions a language model can tell apart, by its config: its training length, stretched or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def usable_context(text_config: Any) -> int | None:
    """Positions, None where the config does not say.

    transformers' convention (modeling_rope_utils): `max_position_embeddings` stays what the model was first
    trained with where rope is stretched by "linear", and by "yarn" unless `original_max_position_embeddings` is
    smaller; other kinds have it stretched already. "dynamic" counts as not stretched: past that length every
    token turns all others anew, but not the keys in the cache, and a question behind a shared video would
    no longer be read as it is alone.
    """
    limit: int | None = getattr(text_config, "max_position_embeddings", None)
    return stretched(limit, getattr(text_config, "rope_parameters", None) or {})


def stretched(limit: int | None, rope: Mapping[str, Any]) -> int | None:
    """`limit` positions, by the rope parameters of a config; files from before transformers 5 say "type"."""
    kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
    if limit is None or factor is None or kind not in ("linear", "yarn"):
        return limit
    original = rope.get("original_max_position_embeddings") or limit
    return int(limit * factor) if original >= limit else limit
