"""Settings: a strict schema, the YAML profiles, and how flags, environment and files become one result."""

from sharpv_cli.settings.deciding import decisive, reading, visual_part
from sharpv_cli.settings.dotted import defaults
from sharpv_cli.settings.flags import Flags
from sharpv_cli.settings.moments import moments_in
from sharpv_cli.settings.profiles import profile_paths
from sharpv_cli.settings.resolve import (
    DEFAULT_PROFILE,
    FLAGS,
    NO_PROFILE,
    Resolved,
    as_yaml,
    in_place,
    resolve,
    variable,
)
from sharpv_cli.settings.schema import (
    BUILTIN_MODEL,
    GenerationSettings,
    MemorySettings,
    ModelSettings,
    PromptSettings,
    SamplingSettings,
    Settings,
    VideoSettings,
    VisualSettings,
)
