"""Which settings decide what: an answer, what a language model reads of a video, what is kept of one on disk.

Each is all settings but some: one that is new decides everything until somebody says that it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharpv_cli.settings.schema import GenerationSettings, Settings

Left = Mapping[str, set[str] | bool]
"""What pydantic leaves out: whole groups, or settings of a group."""

# Where the model and the answer come from and go to.
_MANNERS: Left = dict.fromkeys(
    ("offline", "memory_check", "keep_warm", "stream", "seen", "seen_max_bytes"), True
)
# Under which limits and on what machine: a run may move to another one.
_PLACE: Left = dict.fromkeys(("device", "engine", "video"), True)
# What comes after a video was read. How long an answer may be does not: it leaves the context that decides how many
# visual tokens are kept.
_AFTER_READING: Left = {"memory": True, "generation": {*GenerationSettings.model_fields} - {"max_new_tokens"}}
# What comes after it was encoded, and `scale`, a smaller one of which keeps a part of what a larger one does. What a
# checkpoint, its number format, its attention, the device and the engine are is known once the model is loaded.
_AFTER_ENCODING: Left = {
    **dict.fromkeys(("model", "generation", "memory", "prompt", "positions", "device", "engine"), True),
    "video": {"allow_url", "max_bytes", "timeout"},
    "visual": {"scale"},
}


def decisive(settings: Settings) -> dict[str, object]:
    """The settings that decide an answer; those of a part that is off do not."""
    told = _without(settings, _MANNERS, _PLACE)
    if settings.sampling.strategy != "at":
        del told["sampling"]["at"]
    if settings.prompt.subtitles == "off":
        del told["prompt"]["subtitles"], told["prompt"]["max_subtitle_tokens"]
    if settings.prompt.prefix is None:
        del told["prompt"]["prefix"]
    if settings.visual.mode == "off":
        told["visual"] = "off"
    if not settings.memory.enabled:
        told["memory"] = "off"
    return told


def reading(settings: Settings) -> dict[str, object]:
    """The settings that decide what of a video the language model gets to read."""
    return _without(settings, _MANNERS, _AFTER_READING)


def visual_part(settings: Settings) -> dict[str, object]:
    """The settings that decide what an encoded video is, before some of it is chosen for a question."""
    return _without(settings, _MANNERS, _AFTER_ENCODING)


def _without(settings: Settings, *left: Left) -> dict[str, Any]:
    return settings.model_dump(exclude={name: part for some in left for name, part in some.items()})
