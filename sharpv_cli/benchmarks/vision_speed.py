"""What it gains to send frames of several clips through the vision tower in one run, and what it changes.

    python -m sharpv_cli.benchmarks.vision_speed --profile llava-ov-7b --random
    python -m sharpv_cli.benchmarks.vision_speed --frames 2,32 --side 128 --device cpu

As many clips as have 32 frames together, in turns in one run and one after the other; the medians of `--turns`, after
two that are not counted. `kept otherwise` counts the visual tokens that a clip keeps in one way and not in the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch

from sharpv_cli.benchmarks.drawn_frames import QUESTION
from sharpv_cli.benchmarks.engine_speed import frames_of
from sharpv_cli.benchmarks.random_checkpoint import random_model
from sharpv_cli.engine.device import device_name, synchronize
from sharpv_cli.engine.vision import Vision
from sharpv_cli.models.capture import VisualPrompt
from sharpv_cli.models.joined import pixels
from sharpv_cli.models.wording import inputs_and_wordings
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.selecting import kept_by, scores_of
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.video.frames import Frames

_TOGETHER = 32  # frames
_WARM_UP = 2  # turns
_COLUMNS = ("frames a clip", "clips", "together ms", "alone ms", "times", "kept otherwise")


def clips_of(session: Session, settings: Settings, frames: int, side: int) -> list[dict[str, Any]]:
    """The model's inputs of as many clips as have 32 frames: one clip's, with its numbers shifted for each."""
    clip = Clip(session, Frames(*frames_of(frames, side)), settings, 1)
    inputs, _ = inputs_and_wordings(
        session.loaded, clip.info, clip.sample, QUESTION, clip.prompt, on_device=clip.on_device
    )

    def shifted(value: Any, steps: int) -> Any:
        floating = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.roll(steps, -1) if floating else value

    count = max(1, _TOGETHER // frames)
    return [{name: shifted(value, 37 * n) for name, value in inputs.items()} for n in range(count)]


def run(session: Session, full: int, clips: Sequence[Any]) -> tuple[list[VisualPrompt], float]:
    """What is captured of each with at most `full` numbers in a run, and the seconds of it."""
    vision, found = Vision(session.loaded.model, full), list[VisualPrompt]()
    works = [vision.encoded(inputs) for inputs in clips]
    for work in works:
        next(work)
    began = perf_counter()
    vision.step()
    seconds = perf_counter() - began
    assert vision.largest == (len(clips) if full else 1)
    for work in works:
        try:
            next(work)
        except StopIteration as end:
            found.append(end.value[0])
    return found, seconds


def compared(
    session: Session, settings: Settings, clips: Sequence[Any], turns: int
) -> tuple[float, float, int, int]:
    """Milliseconds together and alone, tokens that are kept in one way only, and tokens that are kept."""
    full = sum(pixels(inputs) for inputs in clips)
    ways: dict[int, list[float]] = {full: [], 0: []}
    kept = {}
    synchronize(session.loaded.model.device)
    for _ in range(_WARM_UP + turns):
        for most, seconds in ways.items():
            found, spent = run(session, most, clips)
            seconds.append(spent)
            kept[most] = [
                kept_by(scores_of(one, settings.visual), settings.visual, one.slots) for one in found
            ]
    together, alone = (1e3 * median(seconds[_WARM_UP:]) for seconds in ways.values())
    other = sum(int((a & ~b).sum()) for a, b in zip(kept[full], kept[0], strict=True))
    return together, alone, other, sum(int(one.sum()) for one in kept[0])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--random", action="store_true", help="its architecture with random weights")
    parser.add_argument("--frames", default="1,2,4,8,16,32", help="frames a clip")
    parser.add_argument("--side", type=int, default=384, help="pixels of a frame's side")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--device")
    options = parser.parse_args(arguments)
    flags = {"scale": 0.3} | ({} if options.device is None else {"device": options.device})
    settings = resolve(flags, {}, profile=options.profile).settings
    loaded = random_model(options.profile, settings) if options.random else open_session(settings).loaded
    session = Session.of(loaded, "fast")
    name = device_name(loaded.device)
    print(f"{options.profile}, {loaded.model.dtype}, {name}, torch {torch.__version__}\n")
    print(f"| {' | '.join(_COLUMNS)} |\n|{'--:|' * len(_COLUMNS)}")
    for frames in map(int, options.frames.split(",")):
        clips = clips_of(session, settings, frames, options.side)
        together, alone, other, all_kept = compared(session, settings, clips, options.turns)
        times = f"{alone / together:.2f} | {other} of {all_kept}"
        print(f"| {frames} | {len(clips)} | {together:.1f} | {alone:.1f} | {times} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
