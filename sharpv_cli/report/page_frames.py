"""The frames of a clip for the report page: pictures and scores, in no more bytes than there is room for."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sharpv_cli.report.figures import clock_of
from sharpv_cli.types import Answer, TokenScores

# Longer side in pixels and quality of WebP, from the best to the smallest.
_LADDER = ((480, 80), (400, 76), (320, 74), (240, 70), (160, 62), (112, 52), (80, 44), (56, 36))
_LEAST_PICTURE = 420  # bytes: about what the smallest takes
_TRIED = 8  # pictures that are made to see which step fits
_STEP, _MOST_SCALE, _MOST_SCALES = 0.05, 10.0, 240
_OF_BASE64 = 3 / 4


def clip_frames(answer: Answer, room: int) -> dict[str, object]:
    """Times and counts of all frames; pictures and scores of as many as fit into `room` bytes, evenly spread."""
    clock = clock_of(answer)
    counts = {
        "times": [clock.format(frame.timestamp_sec) for frame in answer.retention],
        "kept": [frame.kept for frame in answer.retention],
    }
    room -= 24 * len(answer.retention)  # those, and the ratios
    plan = _Plan.of(answer, room // 2)
    shown = range(0, len(answer.retention), plan.every)
    pictures, size = _pictures(answer, shown, int(room // 2 * _OF_BASE64))
    return {
        **counts,
        "grid": answer.grid,
        "shown": list(shown),
        "pictures": [_text(picture) for picture in pictures],
        "size": size,
        "kept_bits": _text(np.packbits(answer.keep[:: plan.every]).tobytes()),
        "scores": None if answer.scores is None else _scores(answer.scores, plan),
        "note": _note(answer, plan, size),
    }


@dataclass(frozen=True, slots=True)
class _Plan:
    """Each frame that is a multiple of `every` is shown; of its scores, S and T have `levels` steps from 0 to 2."""

    every: int
    levels: int

    @classmethod
    def of(cls, answer: Answer, room: int) -> _Plan:
        frames, tokens = answer.keep.shape
        rank, room = _rank_type(tokens).itemsize, int(room * _OF_BASE64)
        levels = 65535 if frames * tokens * (rank + 4.2) <= room else 255
        of_frame = tokens * 0.2 if answer.scores is None else tokens * (rank + 2.2)
        most = max(1, int(room / max(of_frame, _LEAST_PICTURE)))
        return cls(math.ceil(frames / most), levels)


def _rank_type(tokens: int) -> np.dtype[np.unsignedinteger]:
    return np.dtype("u1" if tokens <= 256 else "<u2")


def _scores(scores: TokenScores, plan: _Plan) -> dict[str, object]:
    """Ratios and ranks are exact, so that the page keeps at any scale what sharpv would; S and T are rounded."""
    order = np.argsort(-scores.importance[:: plan.every], axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
    step = np.dtype("<u2" if plan.levels > 255 else "u1")

    def rounded(values: NDArray[np.float32]) -> str:
        return _text(
            np.rint(values[:: plan.every] * (plan.levels / 2)).clip(0, plan.levels).astype(step).tobytes()
        )

    return {
        "mode": scores.mode,
        "w": scores.w,
        "k": scores.k,
        "scale": scores.scale,
        "scales": _scales(scores) if scores.mode == "adaptive" else [],
        "min_tokens": scores.min_tokens,
        "levels": plan.levels,
        "ratio": _text(scores.ratio.astype("<f4").tobytes()),
        "rank": _text(rank.astype(_rank_type(order.shape[1])).tobytes()),
        "spatial": rounded(scores.spatial),
        "temporal": rounded(scores.temporal),
    }


def _scales(scores: TokenScores) -> list[float]:
    """What the slider offers: steps up to where nearly all is kept, and the scale that was used among them."""
    mean = float(scores.ratio.mean())
    most = max(2 * scores.scale, min(_MOST_SCALE, 1 / mean if mean else _MOST_SCALE))
    step = max(_STEP, most / _MOST_SCALES)
    steps = {round(step * index, 6) for index in range(1, math.ceil(most / step) + 1)}
    return sorted(steps | {scores.scale})


def _pictures(answer: Answer, shown: Sequence[int], room: int) -> tuple[list[bytes], tuple[int, int]]:
    """WebP pictures of the frames, and their (width, height), as large as fits."""
    merged = math.ceil(len(answer.sample) / len(answer.retention))  # frames for which the first stands
    places = [frame * merged for frame in shown]
    tried = places[:: math.ceil(len(places) / _TRIED)]
    for side, quality in _LADDER:
        size = _size(answer, side)
        few = sum(map(len, _encoded(answer, tried, size, quality))) * len(places) / len(tried)
        if few > room:
            continue
        pictures = list(_encoded(answer, places, size, quality))
        if sum(map(len, pictures)) <= room:
            return pictures, size
    # What is too large even at its smallest, such as noise, is left out: its patches are drawn on grey.
    most = room // len(places)
    smallest = _encoded(answer, places, size, quality)
    return [picture if len(picture) <= most else b"" for picture in smallest], size


def _size(answer: Answer, side: int) -> tuple[int, int]:
    height, width = answer.sample.images.shape[1:3]
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _encoded(answer: Answer, places: Sequence[int], size: tuple[int, int], quality: int) -> Iterator[bytes]:
    for place in places:
        out = io.BytesIO()
        picture = Image.fromarray(answer.sample.images[place]).resize(size, Image.Resampling.BILINEAR)
        picture.save(out, "WEBP", quality=quality, method=2)
        yield out.getvalue()


def _note(answer: Answer, plan: _Plan, size: tuple[int, int]) -> str:
    """How exact the page is, and what it leaves out to stay small."""
    parts = []
    if plan.every > 1:
        parts.append(
            f"To keep this page small, every {plan.every}th frame is shown; all counts are of all frames."
        )
    parts.append(f"Pictures are {size[0]} x {size[1]} pixels.")
    if answer.scores is not None:
        exact = "0.0005" if answer.seen else "0.00002"  # what is kept on disk is in half precision
        digits = exact if plan.levels > 255 else "0.004"
        parts.append(f"S and T are rounded to {digits}; ranks and counts are exact.")
    return " ".join(parts)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
