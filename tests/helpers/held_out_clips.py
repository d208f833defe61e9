"""Held-out clips of ShapesQA as files `00000.mp4`, `00001.mkv`, ..., for tests of commands."""

from __future__ import annotations

from pathlib import Path

from sharpv_cli.evaluation.datasets.shapes import held_out


def held_out_clips(folder: Path, count: int) -> Path:
    """Draw and encode the first `count` into `folder`, and give it back."""
    for index in range(count):
        clip, _ = held_out(index)
        clip.write(folder / f"{index:05d}{clip.suffix}")
    return folder
