"""What the store of seen videos saves: a long clip asked twice, a folder indexed and asked; and blows it has to bear.

`python -m sharpv_cli.benchmarks.seen` makes an hour at one frame a second and 200 clips of the built-in model's world,
in a folder of its own, and asks about them with the store and without it. What stands after `--` goes to `index` and
`batch`. With `--kill 20` it kills, as often, a process that writes into a store, and looks whether what is there is
whole. Exit 1 where an answer from the store differs.
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

from sharpv_cli.api import Sharpv
from sharpv_cli.benchmarks.batch_check import COMMAND, drawn, run_batch
from sharpv_cli.benchmarks.drawn_frames import drawn_scenes
from sharpv_cli.pipeline.frames import decode
from sharpv_cli.seen.store import Store
from sharpv_cli.settings import Flags
from sharpv_cli.video.encoding import write_clip
from sharpv_cli.video.frames import Frames

_QUESTIONS = ("Describe the video.", "What moves?")
_NAME, _CONTENT = "a-b-c.seen", bytes(range(256)) * (1 << 14)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=3600, help="of the long clip, one a second")
    parser.add_argument("--side", type=int, default=128, help="its width and height")
    parser.add_argument("--profile", help="asks about the long clip")
    parser.add_argument("--model", help="asks about the long clip")
    parser.add_argument("--max-new-tokens", type=int, help="of its answers")
    parser.add_argument("--clips", type=int, default=200, help="of the folder")
    parser.add_argument("--kill", type=int, default=0, help="how often a writing process is killed")
    parser.add_argument(
        "--folder", type=Path, help="where clips and store lie; by default a temporary folder"
    )
    parser.add_argument("others", nargs="*", help="for index and batch")
    options = parser.parse_args(arguments)
    same = True
    with TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        own = {"XDG_CACHE_HOME": str(folder / "cache"), "SHARPV_SEEN": "auto", "SHARPV_KEEP_WARM": "0"}
        with patch.dict(os.environ, own):
            if options.frames:
                same &= _long(folder, options)
            if options.clips:
                same &= _many(folder, options.clips, options.others)
        if options.kill:
            _killed(folder / "killed", options.kill)
    if not same:
        raise SystemExit("an answer from the store differs")


def _long(folder: Path, options: argparse.Namespace) -> bool:
    """The answers' own times, from the video's name to the last token; the model is loaded before."""
    short, video = folder / "short.mp4", folder / "long.mp4"
    for path, frames in ((short, 4), (video, options.frames)):
        write_clip(path, drawn_scenes(frames, options.side), 1.0)
    decoded: list[int] = []

    def counted(*given: Any) -> Frames:
        found = decode(*given)
        decoded.append(len(found.sample))
        return found

    first, second = _QUESTIONS
    asked: tuple[tuple[str, str, Flags], ...] = (
        ("first", first, {"seen": "refresh"}),
        ("second", second, {}),
        ("second, looked anew", second, {"seen": "off"}),
    )
    answers, new_tokens = [], options.max_new_tokens
    print("| question | answer (s) | TTFT | vision | prefill | frames decoded | tokens kept |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    with (
        Sharpv(options.profile, model=options.model, fps=1.0, max_new_tokens=new_tokens) as model,
        patch("sharpv_cli.pipeline.opening.decode", counted),
    ):
        model.ask(short, first, seen="off")
        for name, question, flags in asked:
            decoded.clear()
            answers.append(answer := model.ask(video, question, **flags))
            timing = answer.timing
            times = (timing.total_sec, timing.ttft_sec, timing.vision_sec, timing.prefill_sec)
            cells = (*(f"{sec:.2f}" for sec in times), sum(decoded), answer.visual_kept)
            print(f"| {name} | {' | '.join(map(str, cells))} |", flush=True)
    fresh, kept, anew = answers
    same = kept.seen and (kept.token_ids, kept.layers) == (anew.token_ids, anew.layers)
    times_as_long = fresh.timing.total_sec / kept.timing.total_sec
    print(f"\nThe first question took {times_as_long:.1f} times as long as the second, whose answer, looked anew, is "
          f"{'the same' if same else 'ANOTHER'} ({len(kept.token_ids)} tokens).\n")  # fmt: skip
    return same


def _many(folder: Path, clips: int, options: Sequence[str]) -> bool:
    """Each clip has its own question; nothing was asked about it before."""
    videos = drawn(clips, 1, folder / "clips")
    without, took = run_batch(videos, folder, ["--seen", "off", *options])
    began = time.monotonic()
    subprocess.run([*COMMAND, "index", str(folder / "clips"), "--quiet", *options], check=True)
    indexed = time.monotonic() - began
    kept, took_kept = run_batch(videos, folder, options)
    rows = (("batch without the store", took.seconds), ("index", indexed), ("batch", took_kept.seconds))
    print(f"| {clips} clips | seconds | a clip |\n|---|--:|--:|")
    for name, seconds in rows:
        print(f"| {name} | {seconds:.1f} | {seconds / clips:.3f} |")
    same = sum(bool(kept[name]["answer"] == document["answer"]) for name, document in without.items())
    seen = sum(bool(document["video"]["seen"]) for document in kept.values())
    print(f"\n{same} of {clips} answers the same, {seen} from the store: "
          f"{took.seconds / took_kept.seconds:.1f} times as fast.\n")  # fmt: skip
    return same == seen == clips


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


if __name__ == "__main__":
    main()
