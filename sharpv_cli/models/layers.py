"""Which kind of attention each decoder layer has, and which of them our KV cache can hold."""

from __future__ import annotations

from typing import Any

from sharpv_cli.errors import ModelError

FULL, SLIDING = "full_attention", "sliding_attention"
# The engine's cache keeps every entry of a layer: a recurrent state would be silently wrong, and a window is full
# attention as long as everything fits into it, which the pipeline sees to.
SUPPORTED = frozenset({FULL, SLIDING})


def layer_kinds(text_config: Any) -> tuple[str, ...]:
    """The kind of every decoder layer, by transformers' names, from a language model's config.

    Where the config has no list, a set window or chunk holds for all layers, as transformers' own cache reads
    it (Mistral's default is a window).
    """
    count = int(text_config.num_hidden_layers)
    listed = getattr(text_config, "layer_types", None)
    if listed:
        return tuple(map(str, listed))
    if getattr(text_config, "sliding_window", None) is not None:
        return ("sliding_attention",) * count
    if getattr(text_config, "attention_chunk_size", None) is not None:
        return ("chunked_attention",) * count
    return (FULL,) * count


def window_of(text_config: Any) -> int | None:
    """How many tokens, itself among them, a token sees in the sliding-window layers; None without such layers."""
    return int(text_config.sliding_window) if SLIDING in layer_kinds(text_config) else None


def window_warning(text_config: Any) -> str | None:
    """What Memory SharpV leaves alone, in a sentence for the user; None where every layer is its to prune."""
    windowed = [str(index) for index, kind in enumerate(layer_kinds(text_config)) if kind == SLIDING]
    if not windowed:
        return None
    return (
        f"these layers attend to a window of {window_of(text_config)} tokens only: {', '.join(windowed)}; prompt and "
        "answer must fit into it, and Memory SharpV neither measures nor prunes them"
    )


def require_supported(text_config: Any, name: str) -> None:
    """Raise ModelError for a language model with layers that the engine's cache cannot hold."""
    if not hasattr(text_config, "num_hidden_layers"):
        raise ModelError(f"{name}: its language model has no decoder layers", hint="pick another checkpoint")
    other = sorted(set(layer_kinds(text_config)) - SUPPORTED)
    if other:
        raise ModelError(
            f"{name}: its language model has layers of other kinds ({', '.join(other)})",
            hint="pick a model with full attention, or sliding windows",
        )
    if SLIDING in layer_kinds(text_config) and not getattr(text_config, "sliding_window", None):
        raise ModelError(
            f"{name}: layers of its language model have a sliding window, but its config does not say how large",
            hint="give text_config.sliding_window in its config.json, or pick another checkpoint",
        )
    if shared := getattr(text_config, "num_kv_shared_layers", 0):
        raise ModelError(
            f"{name}: {shared} layers of its language model share their KV cache with others",
            hint="pick a model in which every layer has its own keys and values",
        )


def require_no_state(model: Any, name: str) -> None:
    """Raise ModelError for a recurrent language model that its config does not show as one."""
    if any(getattr(module, "_is_stateful", False) for module in (model, model.get_decoder())):
        raise ModelError(
            f"{name}: its language model keeps a recurrent state", hint="pick a model with full attention"
        )
