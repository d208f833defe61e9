"""Where a video comes from: a file, stdin, a pipe, a web address or a picture; in the end, a regular file to read."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from sharpv_cli.errors import VideoError
from sharpv_cli.text import address_without_secrets
from sharpv_cli.video.download import download
from sharpv_cli.video.local import Limits, LocalVideo
from sharpv_cli.video.names import existing, is_web_address
from sharpv_cli.video.pictures import as_film, left_out, needs_pillow
from sharpv_cli.video.refusals import read_head, shown
from sharpv_cli.video.spooling import Copy, Progress, spooled

STDIN = "-"

_CHUNK = 1 << 18


@contextmanager
def local_video(
    source: str,
    limits: Limits,
    *,
    progress: Progress | None = None,
) -> Iterator[LocalVideo]:
    """The video that the user named, as a regular file that `probe` and `sample_frames` read.

    `source` is a path, `-` for stdin, or with `limits.allow_url` an http(s) URL. What is no regular file is
    copied to a temporary one, which is gone when the block ends. Raises VideoError; a path that is simply
    missing or no video is refused by `probe`.
    """
    with ExitStack() as open_files:
        video = _fetched(source, limits, progress, open_files)
        head = read_head(video)
        if needs_pillow(video, head):
            film = open_files.enter_context(spooled(video.name, partial(as_film, video), limits))
            video = replace(film, notes=left_out(video, head))
        yield video


def _fetched(source: str, limits: Limits, progress: Progress | None, open_files: ExitStack) -> LocalVideo:
    if source == STDIN:
        _check_stdin()
        name, write = "stdin", partial(_drain, 0)
    elif limits.allow_url and is_web_address(source):
        name, write = address_without_secrets(source), partial(download, source)
    elif not source:
        raise VideoError(
            "the video has no name", hint="give one video file; is a variable of the shell unset?"
        )
    elif _is_pipe(source):
        name, write = source, partial(_drain, source)
    else:
        return LocalVideo(existing(source), address_without_secrets(source), limits)
    return open_files.enter_context(spooled(name, write, limits, progress))


def _check_stdin() -> None:
    hint = "for example: cat clip.mp4 | sharpv ask - ..."
    if sys.stdin is None:
        raise VideoError("the video was to come from stdin, which is closed", hint=hint)
    mode = os.fstat(0).st_mode
    if os.isatty(0):
        raise VideoError("the video was to come from stdin, which is a terminal", hint=hint)
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        raise VideoError("the video was to come from stdin, which is a device or a folder", hint=hint)


def _is_pipe(source: str) -> bool:
    """Also /dev/stdin at the end of a pipe, and /dev/fd/63 of a process substitution."""
    try:
        return stat.S_ISFIFO(Path(source).stat().st_mode)
    except (OSError, ValueError):
        return False


def _drain(stream: int | str, copy: Copy) -> None:
    """Everything that the descriptor or the pipe of that name gives, until its writer closes it."""
    try:
        with open(stream, "rb", buffering=0, closefd=stream != 0) as file:
            while chunk := file.read(_CHUNK):
                copy.write(chunk)
    except OSError as error:
        name = "stdin" if stream == 0 else shown(str(stream))
        raise VideoError(f"{name} cannot be read: {error.strerror}") from error
