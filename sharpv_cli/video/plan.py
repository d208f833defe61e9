"""What a scan of a file finds, for all who read it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.types import VideoInfo
from sharpv_cli.video.picture import Shape
from sharpv_cli.video.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Scan:
    """All that a reader needs: the info, the timeline that the packets promise, and how to get there.

    `keys` are the indices of keyframes in the timeline, ascending; empty where seeking cannot be checked.
    `skips` tells whether the decoder can be trusted to leave out what no other picture refers to.
    `rate` is frames a second, for frames whose times are missing. `as_written` tells that the timeline is made of the
    times that the file writes, not of those that are derived from them. `warnings` are sentences for the user.
    """

    info: VideoInfo
    timeline: Timeline
    keys: NDArray[np.intp]
    skips: bool
    time_base: Fraction
    rate: Fraction
    shape: Shape
    warnings: tuple[str, ...]
    as_written: bool = False
