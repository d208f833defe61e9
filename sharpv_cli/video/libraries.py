"""The library that reads video, and which FFmpeg came with it (`sharpv doctor`)."""

from __future__ import annotations

import av


def pyav_version() -> str:
    return av.__version__


def ffmpeg_version() -> str:
    """The version of the FFmpeg that PyAV runs: its release, or the libavcodec it has."""
    release: str = getattr(av, "ffmpeg_version_info", "")
    return release or "libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))
