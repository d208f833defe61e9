"""A few small clips with known answers, for `sharpv demo` and the README; `training.demo_clips` draws them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.files import write_whole

DEMO_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "demo"


@dataclass(frozen=True, slots=True)
class DemoClip:
    """A clip with a question and its right answer."""

    path: Path
    question: str
    answer: str


CLIPS = (
    DemoClip(DEMO_FOLDER / "moving.mp4", "Which direction does the red circle move?", "left"),
    DemoClip(DEMO_FOLDER / "growing.webm", "What happens to the yellow star?", "it grows"),
    DemoClip(DEMO_FOLDER / "arriving.mp4", "Which object appears last?", "the orange square"),
)


def write_demo(folder: Path) -> list[DemoClip]:
    """Copy the demo clips into `folder`, which is made where it is missing. Raises UsageError."""
    copies = [replace(clip, path=folder / clip.path.name) for clip in CLIPS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for clip, copy in zip(CLIPS, copies, strict=True):
            write_whole(copy.path, clip.path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror}", hint="give another folder"
        ) from error
    return copies
