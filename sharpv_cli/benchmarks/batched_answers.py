"""Whether answers in half precision stay the same when they are decoded together: the built-in model on its clips.

    python -m sharpv_cli.benchmarks.batched_answers --dtype bfloat16 --clips 200 --most 16

Every clip is asked for a description, one after the other by both engines, and many at once by the fast one. In half
precision sums of another order round to other numbers, so that a token may win that was about as likely.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from sharpv_cli.engine.together import Together
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.prompts import Prompts
from sharpv_cli.pipeline.question import answer
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.shapes.clips import sample_clip
from sharpv_cli.types import Event, Finished, FrameSample, VideoInfo, Waiting
from sharpv_cli.video.frames import Frames

QUESTION = "What happens in the video?"
_FRAMES = 8


def drawn(number: int) -> Frames:
    """A clip of the built-in model's world, before any encoding."""
    clip = sample_clip(random.Random(number))
    images = np.stack(list(clip.frames()))
    index = tuple(round(place) for place in np.linspace(0, len(images) - 1, _FRAMES))
    times = tuple(place / clip.fps for place in index)
    size = (clip.width, clip.height)
    info = VideoInfo("drawn", "none", "rawvideo", *size, 0, clip.fps, clip.duration_sec, len(images))
    return Frames(info, FrameSample("uniform", images[list(index)], index, times))


def told(session: Session, settings: Settings, clips: Sequence[Frames], most: int) -> list[tuple[int, ...]]:
    """The answers' tokens, at most so many answers at once."""
    engine = Together(session.engine, most=most)
    shared, found = Session(session.loaded, engine), dict[int, tuple[int, ...]]()
    coming, going = iter(enumerate(clips)), dict[int, Iterator[Event]]()
    while len(found) < len(clips):
        while engine.has_room and (new := next(coming, None)) is not None:
            going[new[0]] = answer(Prompts(Clip(shared, new[1], settings)), QUESTION)
            _advance(going, found, [new[0]])
        engine.step()
        _advance(going, found, list(going))
    return [found[number] for number in range(len(clips))]


def _advance(
    going: dict[int, Iterator[Event]], found: dict[int, tuple[int, ...]], numbers: Sequence[int]
) -> None:
    for number in numbers:
        for event in going[number]:
            if isinstance(event, Waiting):
                break
            if isinstance(event, Finished):
                found[number] = event.answer.token_ids
        else:
            del going[number]


def alike(got: Sequence[Sequence[int]], want: Sequence[Sequence[int]]) -> str:
    """How many answers are the same, and how many of their tokens come before a difference."""
    before = [_common(*pair) for pair in zip(got, want, strict=True)]
    same = sum(one == other for one, other in zip(got, want, strict=True))
    return f"{same} of {len(want)} | {sum(before) / sum(map(len, want)):.1%}"


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    shorter = min(len(one), len(other))
    return next((n for n in range(shorter) if one[n] != other[n]), shorter)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    settings = resolve({"device": options.device, "dtype": options.dtype}, {}, profile="tiny").settings
    loaded = open_session(settings).loaded
    fast, reference = Session.of(loaded, "fast"), Session.of(loaded, "reference")
    clips = [drawn(number) for number in range(options.clips)]
    want = told(fast, settings, clips, 1)
    print(
        f"{loaded.info.id}, {loaded.info.dtype} on {loaded.info.device}, {len(clips)} clips, beside fast alone"
    )
    print("| | the same | tokens before a difference |\n|---|--:|--:|")
    print(f"| reference engine, alone | {alike(told(reference, settings, clips, 1), want)} |")
    print(
        f"| fast engine, {options.most} at once | {alike(told(fast, settings, clips, options.most), want)} |"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--most", type=int, default=16, help="answers at once")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device")
    return parser


if __name__ == "__main__":
    sys.exit(main())
