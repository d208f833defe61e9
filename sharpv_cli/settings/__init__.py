"""Settings: a strict schema, the YAML profiles, and how flags, environment and files become one result."""

from sharpv_cli.settings.profiles import profile_paths
from sharpv_cli.settings.resolve import (
    DEFAULT_PROFILE,
    FLAGS,
    NO_PROFILE,
    Resolved,
    as_yaml,
    resolve,
    variable,
)
from sharpv_cli.settings.schema import (
    BUILTIN_MODEL,
    NOT_DECISIVE,
    GenerationSettings,
    MemorySettings,
    ModelSettings,
    PromptSettings,
    SamplingSettings,
    Settings,
    VideoSettings,
    VisualSettings,
    defaults,
)

__all__ = [
    "BUILTIN_MODEL",
    "DEFAULT_PROFILE",
    "FLAGS",
    "NOT_DECISIVE",
    "NO_PROFILE",
    "GenerationSettings",
    "MemorySettings",
    "ModelSettings",
    "PromptSettings",
    "Resolved",
    "SamplingSettings",
    "Settings",
    "VideoSettings",
    "VisualSettings",
    "as_yaml",
    "defaults",
    "profile_paths",
    "resolve",
    "variable",
]
