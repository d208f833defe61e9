"""Decoding only what is needed: from the keyframe before each chosen frame, with every landing checked.

Containers' seeks land late, on damaged indices, or on pictures that refer to ones before them, and nothing
says so.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from sharpv_cli.video.opening import decode, open_video, packets
from sharpv_cli.video.picture import canvas, render
from sharpv_cli.video.probe import Scan
from sharpv_cli.video.refusals import FilePath
from sharpv_cli.video.sampling import Selection
from sharpv_cli.video.timeline import Decoded

_SEEK_COST = 4  # frames that could have been decoded in the time of one seek
_STEPS_BACK = 2  # earlier keyframes to try when a seek lands after the one that it was sent to


def by_seeking(path: FilePath, plan: Scan, selection: Selection) -> Decoded | None:
    """Decodes only from the keyframe before each chosen frame.

    None where that would not be faster, or where any frame that comes out is not the one that the scan
    promises: then the file has to be read in order.
    """
    pts = plan.timeline.pts
    starts = _keyframes_before(plan.keys, selection)
    if pts is None or starts is None:
        return None
    images = canvas(plan.shape, len(selection.indices))
    try:
        with open_video(path) as opened:
            position = -1
            run: Iterator[tuple[int, VideoFrame]] = iter(())
            for slot, (index, key) in enumerate(zip(selection.indices, starts, strict=True)):
                if position < 0 or key > position + _SEEK_COST:
                    run = _frames_from(*opened, pts, plan.keys, key)
                position, frame = next(item for item in run if item[0] == index)
                images[slot] = render(frame, images.shape[2], images.shape[1])
    except _LostError:
        return None
    return Decoded(images, selection, plan.timeline)


def _keyframes_before(keys: NDArray[np.intp], selection: Selection) -> list[int] | None:
    """The keyframe to start from for each chosen frame; None where reading in order costs no more."""
    places = np.searchsorted(keys, selection.indices, side="right") - 1
    if len(keys) == 0 or places[0] < 0:
        return None
    starts: list[int] = keys[places].tolist()
    cost, position = 0, -1 - _SEEK_COST
    for index, key in zip(selection.indices, starts, strict=True):
        seeks = key > position + _SEEK_COST
        cost += index - key + 1 + _SEEK_COST if seeks else index - position
        position = index
    return starts if cost < 0.9 * (selection.indices[-1] + 1) else None


class _LostError(Exception):
    """A seek did not land where it should, or what came out is not what the scan promises."""


def _frames_from(
    container: InputContainer, stream: VideoStream, pts: NDArray[np.int64], keys: NDArray[np.intp], key: int
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames from keyframe `key` on, each with its index, every one of them there. Raises _LostError."""
    place = int(np.searchsorted(keys, key))
    for earlier in keys[max(0, place - _STEPS_BACK) : place + 1][::-1].tolist():
        container.seek(int(pts[earlier]), stream=stream)
        run = _sound_frames(container, stream)
        # Pictures before the keyframe in display order may refer to ones that were never read: they are
        # skipped.
        first = next((frame for frame in run if frame.pts is None or frame.pts >= pts[earlier]), None)
        if first is not None and first.pts == pts[earlier]:
            break
    else:
        raise _LostError
    yield earlier, first
    for index, frame in enumerate(run, earlier + 1):
        if index >= len(pts) or frame.pts != pts[index]:
            raise _LostError
        yield index, frame
    raise _LostError


def _sound_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The frames that come out from here on. Raises _LostError at the first sign of damage."""
    for packet in packets(container, stream):
        frames, damaged = decode(packet)
        if damaged or any(frame.is_corrupt for frame in frames):
            raise _LostError
        yield from frames
