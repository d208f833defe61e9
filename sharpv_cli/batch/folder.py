"""The videos of a folder, and what else lies there: counted, so that nothing is left out in silence."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sharpv_cli.text import shown

# Of every container and stream that is read. What only looks like a video (`.ts` is TypeScript as well) gets an error.
_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .qt .mj2 .mkv .mk3d .webm .avi .divx .mpg .mpeg .mpe .m1v .m2v .mpv .vob .mod .tod "
    ".ts .m2ts .m2t .mts .trp .flv .f4v .wmv .asf .ogv .ogg .ogm .ogx .3gp .3g2 .3gpp .gif .apng "
    ".h264 .264 .avc .h265 .265 .hevc .ivf .obu .av1 .mjpg .mjpeg .mxf .gxf .dv .y4m .nut".split()
)
_SPECIAL = (
    (stat.S_ISFIFO, "pipe(s)"),
    (stat.S_ISSOCK, "socket(s)"),
    (stat.S_ISCHR, "device(s)"),
    (stat.S_ISBLK, "device(s)"),
)


@dataclass(frozen=True, slots=True)
class Folder:
    """Its videos by name, without hidden ones, and `notes` on what is left out."""

    videos: tuple[Path, ...]
    notes: tuple[str, ...]


def read_folder(folder: Path) -> Folder:
    """Every video below."""
    videos: list[Path] = []
    others: Counter[str] = Counter()
    special: Counter[str] = Counter()
    closed: list[str] = []
    for place, folders, files in os.walk(folder, onerror=lambda error: closed.append(shown(error.filename))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place) / name for name in files if not name.startswith(".")):
            if kind := _special(path):
                special[kind] += 1
            elif path.suffix.lower() in _SUFFIXES:
                videos.append(path)
            else:
                others[path.suffix.lower()] += 1
    notes = (*_left_out(others), *_not_files(special), *(f"{name} cannot be read" for name in closed))
    return Folder(tuple(sorted(videos)), notes)


def _special(path: Path) -> str | None:
    """What is no file, also behind a link: a pipe would be waited for. What is not there gets an error of its own."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return next((name for is_so, name in _SPECIAL if is_so(mode)), None)


def _not_files(special: Counter[str]) -> tuple[str, ...]:
    if not special:
        return ()
    return (
        "what is no file is left out: " + ", ".join(f"{n} {name}" for name, n in sorted(special.items())),
    )


def _left_out(others: Counter[str]) -> tuple[str, ...]:
    if not others:
        return ()
    kinds = ", ".join(
        f"{count} {shown(kind) if kind else 'without a suffix'}" for kind, count in others.most_common()
    )
    return (f"files that are no videos by their names are left out: {kinds}",)
