"""Memory and time against the number of frames: dense until it fails, SharpV throughout.

The clip is an hour at 1 fps, encoded once; it is read as `sharpv ask` reads it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sharpv_cli.benchmarks.drawn_frames import QUESTION, drawn_scenes
from sharpv_cli.errors import ResourceError, UsageError
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import decode
from sharpv_cli.pipeline.prompts import Prompts
from sharpv_cli.pipeline.question import answer, whole_answer
from sharpv_cli.session import Session
from sharpv_cli.settings import SamplingSettings, Settings
from sharpv_cli.types import Answer
from sharpv_cli.video.encoding import write_clip

_NEW_TOKENS = 16


def curve_lines(session: Session, settings: Settings, counts: Sequence[int], side: int) -> Iterator[str]:
    """A Markdown table, a row a number of frames and method."""
    yield "| frames | method | kept | KV | above weights | decode | waited for | vision | prefill | TTFT | TPOT |"
    yield "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    with tempfile.TemporaryDirectory(prefix="sharpv-curve-") as folder:
        video = Path(folder) / "hour.mp4"
        write_clip(video, drawn_scenes(max(counts), side), 1.0)
        failed = False
        for count in counts:
            for method in ("dense", "sharpv"):
                if method == "dense" and failed:
                    continue
                try:
                    yield _row(count, method, _answer(session, video, _settings(settings, method, count)))
                except (UsageError, ResourceError) as error:
                    yield f"| {count} | {method} | fails: {error} | | | | | | | | |"
                    failed = failed or method == "dense"


def _settings(settings: Settings, method: str, count: int) -> Settings:
    changes: dict[str, object] = {"sampling": SamplingSettings(strategy="uniform", frames=count)}
    if method == "dense":
        changes["visual"] = settings.visual.model_copy(update={"mode": "off"})
        changes["memory"] = settings.memory.model_copy(update={"enabled": False})
    return settings.model_copy(update=changes)


def _answer(session: Session, video: Path, settings: Settings) -> Answer:
    session.release()  # what it keeps for a next answer would count in this one's memory
    with decode(video, settings) as frames:
        return whole_answer(answer(Prompts(Clip(session, frames, settings, _NEW_TOKENS)), QUESTION))


def _row(count: int, method: str, result: Answer) -> str:
    memory, timing = result.memory, result.timing
    seconds = (
        timing.decode_sec,
        timing.decode_wait_sec,
        timing.vision_sec,
        timing.prefill_sec,
        timing.ttft_sec,
    )
    cells = [f"{value:.2f} s" for value in seconds]
    tpot = "" if timing.tpot_sec is None else f"{timing.tpot_sec * 1e3:.2f} ms"
    return (
        f"| {count} | {method} | {result.visual_kept} of {result.visual_total} | {memory.kv_bytes / 2**20:.1f} MiB | "
        f"{(memory.peak_bytes - memory.weights_bytes) / 2**30:.2f} GiB | {' | '.join(cells)} | {tpot} |"
    )
