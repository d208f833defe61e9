"""Why a file cannot be used, in words: what can be told from its name, its stat and its first bytes."""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from pathlib import Path

from sharpv_cli import shortage
from sharpv_cli.errors import SharpvError, VideoError
from sharpv_cli.near import with_near_name
from sharpv_cli.text import shown as printable_name
from sharpv_cli.video.local import FilePath, limits_of, name_of
from sharpv_cli.video.signatures import AS_PICTURE, READABLE, archive, known

HEAD_BYTES = 512
_LINE = 64  # pixels; FFmpeg's STRIDE_ALIGN at its widest

# pathlib folds `//` into one slash, so one is enough; a drive letter is one letter long.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_WEB = re.compile(r"https?:/", re.IGNORECASE)
_ONE = "give one video file"
_OTHERS = {"a folder": "give the videos in it, or the folder to `sharpv batch`"}
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
            raise VideoError(f"{shown(path)} is {kind}, not a video file", hint=_OTHERS.get(kind, _ONE))
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
    return VideoError(f"no such file: {name}", hint=with_near_name(given, hint))


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
    return VideoError(f"{shown(path)} is a picture, not a video", hint=AS_PICTURE)


def check_packed(path: FilePath, head: bytes) -> None:
    """Raises VideoError where the file is an archive or compressed."""
    if kind := archive(head):
        raise VideoError(f"{shown(path)} is {kind.what}, not a video", hint=kind.hint)


def dolby_vision(path: FilePath, profile: int) -> VideoError:
    return VideoError(
        f"{shown(path)} is Dolby Vision profile {profile}, whose colours are not read",
        hint="take a version in SDR or HDR10, or convert it first (ffmpeg with libplacebo does)",
    )


def undecodable(path: FilePath) -> VideoError:
    return VideoError(
        f"no frame of {shown(path)} can be decoded", hint="the file is damaged or encrypted; get it again"
    )


def encrypted(path: FilePath) -> VideoError:
    return VideoError(
        f"{shown(path)} is encrypted (DRM), and no key is read", hint="give a version that is not encrypted"
    )


def unreadable(path: FilePath, head: bytes) -> VideoError:
    """The refusal of a file that FFmpeg did not open."""
    name = shown(path)
    if kind := known(head):
        return VideoError(f"{name} is {kind.what}", hint=kind.hint)
    if head[4:8] == b"ftyp" and not _has_box(path, b"moov"):
        return VideoError(
            f"{name} is incomplete: its index is missing (moov atom not found)",
            hint="the recording or download was cut short; get the file again",
        )
    if _is_disc(path):
        return VideoError(f"{name} is the image of a disc, not a video", hint="give one of the videos on it")
    return VideoError(f"{name} is not a video that FFmpeg knows, or it is damaged", hint=READABLE)


def _is_disc(path: FilePath) -> bool:
    """ISO 9660 and UDF begin with sixteen empty sectors of 2048 bytes."""
    with Path(path).open("rb") as file:
        file.seek(16 * 2048 + 1)
        return file.read(5) in (b"CD001", b"BEA01")


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
