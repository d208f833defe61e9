"""Why a file cannot be used, in words: what can be told from its name, its stat and its first bytes."""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from sharpv_cli import shortage
from sharpv_cli.errors import SharpvError, VideoError
from sharpv_cli.text import shown as printable_name
from sharpv_cli.video.local import FilePath, limits_of, name_of

HEAD_BYTES = 512
_LINE = 64  # pixels; FFmpeg's STRIDE_ALIGN at its widest
READABLE = "mp4, mov, mkv, webm, avi, ts and gif files are read"
_AS_PICTURE = "with --picture it is read as a clip of one frame"

# pathlib folds `//` into one slash, so one is enough; a drive letter is one letter long.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_WEB = re.compile(r"https?:/", re.IGNORECASE)
_STILL_BRANDS = {b"avif", b"mif1", b"heic", b"heix", b"heim", b"heis"}
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def shown(path: FilePath) -> str:
    """The user's own name for it, as it may be printed."""
    return printable_name(name_of(path))


def read_head(path: FilePath) -> bytes:
    """The first HEAD_BYTES of a regular file that is not empty.

    The stat comes first because opening a pipe that nobody writes to hangs, and because FFmpeg would open the
    part of a name that precedes a NUL. Raises VideoError when the file cannot be used.
    """
    try:
        _refuse_kind(path, Path(path).stat())
        with Path(path).open("rb") as file:
            return file.read(HEAD_BYTES)
    except ValueError as error:
        raise VideoError(
            f"no such file: {shown(path)}", hint="the name holds a character that no file name can"
        ) from error
    except OSError as error:
        raise _os_refusal(path, error) from error


def _refuse_kind(path: FilePath, status: os.stat_result) -> None:
    """Raises VideoError for everything but a regular file with something in it."""
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise VideoError(f"{shown(path)} is {kind}, not a video file", hint="give one video file")
    if status.st_size == 0:
        raise VideoError(f"{shown(path)} is empty", hint="the copy or download did not finish; get it again")


def _os_refusal(path: FilePath, error: OSError) -> SharpvError:
    name = shown(path)
    if what := shortage.lack(error):
        return shortage.short(what, f"reading {name}")
    if error.errno == errno.ENOENT:
        return _missing(path)
    said: dict[int, tuple[str, str]] = {
        errno.EACCES: (f"no permission to read {name}", "ask its owner, or copy it to a place you can read"),
        errno.ELOOP: (f"{name} is a symbolic link that leads back to itself", "give the file itself"),
        errno.ENOTDIR: (f"no such file: {name}", "a part of this path is a file, not a folder"),
        errno.ENAMETOOLONG: (f"no such file: {name}", "the name is longer than the file system allows"),
    }
    message, hint = said.get(
        error.errno or 0,
        (f"{name} cannot be read: {error.strerror}", "check the disk or the network share it lies on"),
    )
    return VideoError(message, hint=hint)


def _missing(path: FilePath) -> VideoError:
    name, given = shown(path), os.fsdecode(path)
    if _URL.match(given):
        own = "give --allow-url to download it, or " if _WEB.match(given) else ""
        return VideoError(
            f"URLs are not read: {name}", hint=f"{own}download the file first, then give its path"
        )
    if Path(given).is_symlink():
        target = shown(Path(given).readlink())
        return VideoError(f"no such file: {name} is a symbolic link to {target}, which does not exist")
    hint = "check the spelling" if Path(given).is_absolute() else f"relative to {shown(Path.cwd())}"
    return VideoError(f"no such file: {name}", hint=hint)


def is_still_heif(head: bytes) -> bool:
    """Whether the file is an AVIF or HEIC picture, which FFmpeg opens as a film of one frame."""
    return head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS


def claimed_size(head: bytes) -> tuple[int, int]:
    """Width and height in the header of a GIF or PNG, whose demuxers leave them to the decoder; else 0, 0."""
    if head.startswith(b"GIF8") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
    elif head.startswith(b"\x89PNG") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
    else:
        return 0, 0
    return width, height


def check_pixels(path: FilePath, width: int, height: int) -> None:
    """Raises VideoError where one picture of the file is over the limit."""
    limit = limits_of(path).max_pixels
    padded = -(-width // _LINE) * _LINE  # as the decoder, which has the same limit, counts them
    if padded * height > limit:
        raise VideoError(
            f"{shown(path)} has pictures of {width}x{height}, over the limit of {limit / 1e6:g} megapixels",
            hint="scale the video down first, or raise --max-pixels",
        )


def picture(path: FilePath) -> VideoError:
    return VideoError(f"{shown(path)} is a picture, not a video", hint=_AS_PICTURE)


def dolby_vision(path: FilePath, profile: int) -> VideoError:
    return VideoError(
        f"{shown(path)} is Dolby Vision profile {profile}, whose colours are not read",
        hint="take a version in SDR or HDR10, or convert it first (ffmpeg with libplacebo does)",
    )


def unreadable(path: FilePath, head: bytes) -> VideoError:
    """The refusal of a file that FFmpeg did not open."""
    name = shown(path)
    for matches, what, hint in _SIGNATURES:
        if matches(head):
            return VideoError(f"{name} is {what}", hint=hint)
    if head[4:8] == b"ftyp" and not _has_box(path, b"moov"):
        return VideoError(
            f"{name} is incomplete: its index is missing (moov atom not found)",
            hint="the recording or download was cut short; get the file again",
        )
    return VideoError(f"{name} is not a video that FFmpeg knows, or it is damaged", hint=READABLE)


def _has_box(path: FilePath, kind: bytes) -> bool:
    """Whether an MP4 file has such a box at its top level (ISO 14496-12, 4.2)."""
    with Path(path).open("rb") as file:
        while len(header := file.read(16)) >= 8:
            size, name = struct.unpack(">I4s", header[:8])
            if name == kind:
                return True
            if size == 1 and len(header) == 16:
                (size,) = struct.unpack(">Q", header[8:])
            if size < 8:  # 0 means "to the end of the file"
                return False
            file.seek(size - len(header), os.SEEK_CUR)
    return False


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def is_animated_webp(head: bytes) -> bool:
    # The VP8X chunk's flags: bit 1 says that an ANIM chunk follows.
    return _is_webp(head) and head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)


def is_picture(head: bytes) -> bool:
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"8BPS", b"\0\0\1\0")
    return _is_webp(head) or head.startswith(starts)


def _is_html(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))


def _is_playlist(head: bytes) -> bool:
    return head.startswith((b"#EXTM3U", b"ffconcat", b"[playlist]"))


def _is_text(head: bytes) -> bool:
    try:  # bit by bit, since the head may end inside a character
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\r\n\t\f\ufeff" for c in text)


_SIGNATURES: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (is_animated_webp, "an animated WebP, which is not supported", "convert it to GIF or MP4 first"),
    (is_picture, "a picture, not a video", _AS_PICTURE),
    (
        _is_html,
        "a web page (HTML), not a video",
        "the download saved a page instead of the file; get it again",
    ),
    (_is_playlist, "a playlist, not a video", "give one of the video files that it names"),
    (_is_text, "a text file, not a video", READABLE),
)
