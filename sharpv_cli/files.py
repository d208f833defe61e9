"""Files that are written: checked before the real work, then whole or not at all, and never through a planted name."""

from __future__ import annotations

import errno
import os
import secrets
import select
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from sharpv_cli import signals
from sharpv_cli.errors import UsageError
from sharpv_cli.text import shown

# Why nothing can be renamed to a name whose file can still be written: it is mounted alone, or its folder is read-only.
NO_RENAME = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV})


def check_writable(target: Path) -> None:
    """Raise UsageError where `write_whole` could not write `target`; meant to run before the real work."""
    if os.path.isdir(target):  # noqa: PTH112  (unlike Path.is_dir it never raises)
        raise UsageError(f"{shown(target)} is a folder", hint="name a file in it")
    if os.path.exists(target) and not os.path.isfile(target):  # noqa: PTH110, PTH113
        # Renaming over a device would replace it, /dev/null included.
        raise UsageError(f"{shown(target)} is no regular file", hint="name a file that may be replaced")
    try:
        _try(_final(target))
    except OSError as error:
        raise _not_writable(target, error) from error


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `target` and rename it; in place where no rename can be.

    Raises UsageError.
    """
    try:
        try:
            with replacing(target) as file, file:
                write_all(file, content)
        except OSError as error:
            if error.errno not in NO_RENAME:
                raise
            _write_in_place(target, content)
    except OSError as error:
        raise _not_writable(target, error) from error


@contextmanager
def replacing(target: Path, *, rights: int | None = None) -> Iterator[FileIO]:
    """A new file, unbuffered, that takes `target`'s place when the block ends well; whoever opened it closes it.

    Its name is drawn at random and opened exclusively: other processes, which may have our process id in another
    container, and links that somebody planted never meet it. It gets `rights`, by default those of the file that it
    replaces. Raises OSError.
    """
    final = _final(target)
    partial = final.with_name(f".sharpv-{secrets.token_hex(8)}.part")
    with signals.unfinished(partial), ExitStack() as on_failure:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = FileIO(os.open(partial, flags, 0o666 if rights is None else rights), "r+")
        on_failure.push(file)
        if rights is None:
            _take_rights(file, final)
        yield file
        if not file.closed:
            os.fsync(file.fileno())
        partial.replace(final)
        on_failure.pop_all()


def write_all(file: FileIO, content: bytes | memoryview) -> None:
    """Every byte, in as many writes as it takes, also where the file is a pipe that does not wait (O_NONBLOCK)."""
    left = memoryview(content)
    while left:
        if (written := file.write(left)) is None:
            wait_writable(file.fileno())
        else:
            left = left[written:]


def wait_writable(descriptor: int) -> None:
    """Until something can be written, or until trying it tells why not."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()


def _try(final: Path) -> None:
    """The file system's own answer: permission bits know nothing of read-only mounts. Raises OSError."""
    with suppress(FileNotFoundError):
        final.lstat()  # fails on a name that is too long
    probe = final.with_name(f".sharpv-{secrets.token_hex(8)}.part")
    try:
        with signals.unfinished(probe):
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        if error.errno not in NO_RENAME or not final.exists():
            raise
        final.open("r+b").close()


def _write_in_place(target: Path, content: bytes) -> None:
    with _final(target).open("r+b", buffering=0) as file:
        write_all(file, content)
        file.truncate()


def _take_rights(new: FileIO, replaced: Path) -> None:
    """Those of the file that is there: nobody else may read the new one who could not read the old one."""
    with suppress(FileNotFoundError):
        old = replaced.stat()
        with suppress(PermissionError):
            os.fchown(new.fileno(), old.st_uid, old.st_gid)
        os.fchmod(new.fileno(), old.st_mode & 0o777)  # nobody asked for a program of somebody's rights


def _final(target: Path) -> Path:
    """Where `target` leads: a rename must replace what a symbolic link points to, not the link.

    Raises OSError where the system would not follow the link itself, as one of somebody else's in /tmp.
    """
    with suppress(FileNotFoundError):
        target.stat()
    return Path(os.path.realpath(target))  # unlike Path.resolve it does not raise on a loop of links


def _not_writable(target: Path, error: OSError) -> UsageError:
    folder = Path(os.path.realpath(target)).parent
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return UsageError(
            f"cannot write {shown(target)}: its folder is missing", hint=f"create {shown(folder)} first"
        )
    reason = error.strerror or str(error)
    return UsageError(f"cannot write {shown(target)}: {reason}", hint="choose another place for it")
