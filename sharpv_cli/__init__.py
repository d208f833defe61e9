"""Ask questions of video with a VideoLLM pruned by SharpV (arXiv 2511.08003)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpv_cli.api import Sharpv, Stream, Video
    from sharpv_cli.errors import ModelError, ResourceError, SharpvError, UsageError, VideoError
    from sharpv_cli.types import Answer

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "ModelError",
    "ResourceError",
    "Sharpv",
    "SharpvError",
    "Stream",
    "UsageError",
    "Video",
    "VideoError",
    "__version__",
]


def __getattr__(name: str) -> object:
    """The Python interface, imported where it is asked for: the command imports this package as well."""
    if name in __all__:
        for module in ("errors", "types", "api"):
            found: object = getattr(import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
