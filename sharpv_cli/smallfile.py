"""Small files that a user names: settings, questions, lists. Whatever stands behind the name, reading it ends."""

from __future__ import annotations

import codecs
import errno
import os
import select
import stat
from collections.abc import Iterator

from sharpv_cli.errors import UsageError
from sharpv_cli.near import with_near_name
from sharpv_cli.text import shown
from sharpv_cli.units import memory_size

_CHUNK = 1 << 16
_WRITER_SEC = 5.0  # how long a FIFO may wait for somebody who opens it for writing
UTF_8 = "utf-8-sig"
_MARKS = (  # UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(
    path: str | os.PathLike[str], *, most: int, name: str | None = None, hint: str | None = None
) -> str:
    """The UTF-8 text of a file of at most `most` bytes, without a byte order mark.

    Pipes are read to their end and devices to the limit, so that `<(command)` and /dev/stdin serve. Errors call it
    `name`, by default its path. Raises UsageError for what cannot be read, is longer, or is no text.
    """
    name = shown(path) if name is None else name
    return decoded(read_bytes(path, most=most, name=name, hint=hint), name=name, hint=hint)


def read_bytes(
    path: str | os.PathLike[str], *, most: int, name: str | None = None, hint: str | None = None
) -> bytes:
    """As `read_text`, for content of any kind."""
    name = shown(path) if name is None else name
    content = bytearray()
    try:
        for chunk in _chunks(path):
            content += chunk
            if len(content) > most:
                raise too_long(name, most, hint=hint)
    except ValueError as error:  # a NUL in the name
        raise UsageError(f"cannot read {name}: no file has such a name", hint=hint) from error
    except OSError as error:
        hint = with_near_name(os.fspath(path), hint) if error.errno == errno.ENOENT else hint
        raise UsageError(f"cannot read {name}: {error.strerror}", hint=hint) from error
    return bytes(content)


def marked_encoding(content: bytes) -> str | None:
    """The encoding that a byte order mark says; `decode` takes the mark off. None without one."""
    return next((encoding for mark, encoding in _MARKS if content.startswith(mark)), None)


def decoded(content: bytes, *, name: str, hint: str | None = None) -> str:
    """Raises UsageError, with the place, for what is not UTF-8."""
    encoding = marked_encoding(content)
    if encoding is not None and encoding != UTF_8:
        raise UsageError(f"{name} is {encoding.upper()} text", hint="save it as UTF-8")
    try:
        return content.decode(UTF_8)
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start})", hint=hint) from error


def too_long(name: str, most: int, *, hint: str | None = None) -> UsageError:
    size = memory_size(most).replace(".0 ", " ")
    return UsageError(f"{name} is over {size}", hint=hint or "is it the right file?")


def _chunks(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Opened without blocking: a FIFO would wait for a writer, who may never come."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        # Before its first writer a FIFO reads as if it had ended, but polls as if something were still to come.
        came = not stat.S_ISFIFO(mode) or _wait(descriptor, _WRITER_SEC)
        while (chunk := _read(descriptor)) != b"":
            came = True
            if chunk is None:
                _wait(descriptor)
            else:
                yield chunk
        if not came:
            raise OSError(0, "nobody writes into this pipe")
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> bytes | None:
    """What comes next: b"" at the end, None where it is not there yet."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


def _wait(descriptor: int, sec: float | None = None) -> bool:
    """Whether something is there to be read, or the end, within this time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if sec is None else sec * 1000))
