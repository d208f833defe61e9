"""What the store of seen videos saves: a long clip asked twice, a folder indexed and asked; and blows it has to bear.

`python -m sharpv_cli.benchmarks.seen` makes an hour at one frame a second and 200 short clips with the built-in model's
world, in a folder of its own, and asks about them with the store and without it. With `--kill 20` it kills, as often, a
process that writes into a store, and looks whether what is there is whole.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np

from sharpv_cli.api import Sharpv
from sharpv_cli.metrics import now
from sharpv_cli.pipeline.frames import decode
from sharpv_cli.seen.store import Store
from sharpv_cli.video.encoding import write_clip
from sharpv_cli.video.frames import Frames

_QUESTIONS = ("Which direction does the red circle move?", "What colour is the circle?")
_SIDE = (96, 128)
_NAME, _CONTENT = "a-b-c.seen", bytes(range(256)) * (1 << 14)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=3600, help="of the long clip, one a second")
    parser.add_argument("--clips", type=int, default=200, help="short clips of the folder")
    parser.add_argument("--kill", type=int, default=0, help="how often a writing process is killed")
    parser.add_argument(
        "--folder", type=Path, help="where clips and store lie; by default a temporary folder"
    )
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(XDG_CACHE_HOME=str(folder / "cache"), SHARPV_SEEN="auto", SHARPV_KEEP_WARM="0")
        if options.frames:
            _long(folder, options.frames)
        if options.clips:
            _many(folder, options.clips)
        if options.kill:
            _killed(folder / "killed", options.kill)


def _long(folder: Path, frames: int) -> None:
    """The answers' own times, from the video's name to the last token; the model is loaded before."""
    video = _moving(folder / "long.mp4", frames, rate=1.0)
    decoded: list[int] = []

    def counted(*given: Any) -> Frames:
        found = decode(*given)
        decoded.append(len(found.sample))
        return found

    print("| question | seconds | decoding | vision | frames decoded |\n|---|---|---|---|---|")
    spent = []
    with Sharpv(fps=1.0) as model, patch("sharpv_cli.pipeline.opening.decode", counted):
        model.ask(_moving(folder / "first.mp4", 4, rate=1.0), _QUESTIONS[0])
        for name, question in zip(("first", "second"), _QUESTIONS, strict=True):
            decoded.clear()
            timing = model.ask(video, question).timing
            spent.append(timing.total_sec)
            times = (timing.total_sec, timing.decode_sec, timing.vision_sec)
            print(f"| {name} | {' | '.join(f'{sec:.2f}' for sec in times)} | {sum(decoded)} |", flush=True)
    print(
        f"\nOf {frames} frames, the first question took {spent[0] / spent[1]:.1f} times as long as the second.\n"
    )


def _many(folder: Path, clips: int) -> None:
    videos = folder / "clips"
    videos.mkdir(exist_ok=True)
    for number in range(clips):
        _moving(videos / f"{number:04}.mp4", 30, rate=10.0, shade=number % 100)
    rows = [
        ("index", _run("index", str(videos), "--quiet")),
        ("batch with the store", _batch(folder, videos, "auto")),
        ("batch without it", _batch(folder, videos, "off")),
    ]
    print(f"| {clips} clips | seconds |\n|---|---|")
    for name, seconds in rows:
        print(f"| {name} | {seconds:.1f} |")
    print()


def _batch(folder: Path, videos: Path, seen: str) -> float:
    out = folder / f"{seen}.jsonl"
    out.unlink(missing_ok=True)
    return _run("batch", str(videos), "-q", _QUESTIONS[1], "-o", str(out), "--seen", seen, "--quiet")


def _run(*arguments: str) -> float:
    began = now()
    subprocess.run([sys.executable, "-m", "sharpv_cli", *arguments], check=True, stdout=subprocess.DEVNULL)
    return now() - began


def _killed(folder: Path, times: int) -> None:
    writes = f"from sharpv_cli.benchmarks.seen import write_for_ever; write_for_ever({os.fspath(folder)!r})"
    whole = 0
    for number in range(times):
        writer = subprocess.Popen([sys.executable, "-c", writes])
        while not (folder / _NAME).exists():
            time.sleep(0.01)
        time.sleep(0.2 + 0.013 * number)
        writer.kill()
        writer.wait()
        whole += (folder / _NAME).read_bytes() == _CONTENT
    print(f"killed {times} times while it wrote: {whole} times what was there was whole")


def write_for_ever(folder: str) -> None:
    """Into the store of that folder, the same file over and over."""
    store = Store(Path(folder), 1 << 40)
    while True:
        store.write(store.folder / _NAME, _CONTENT)


def _moving(path: Path, frames: int, *, rate: float, shade: int = 0) -> Path:
    """A red disc that crosses the picture again and again."""
    height, width = _SIDE
    rows, columns = np.ogrid[:height, :width]
    images = []
    for number in range(frames):
        image = np.full((height, width, 3), 20 + shade, np.uint8)
        centre = (10 + 3 * number) % width
        image[(rows - height // 2) ** 2 + (columns - centre) ** 2 < 150] = (230, 30, 30)
        images.append(image)
    write_clip(path, images, rate)
    return path


if __name__ == "__main__":
    main()
