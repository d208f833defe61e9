"""Files that reports go to: checked before the real work, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from sharpv_cli import signals
from sharpv_cli.errors import UsageError
from sharpv_cli.text import shown


def check_writable(target: Path) -> None:
    """Raise UsageError where `write_whole` could not write `target`; meant to run before the real work."""
    if os.path.isdir(target):  # noqa: PTH112  (unlike Path.is_dir it never raises)
        raise UsageError(f"{shown(target)} is a folder", hint="name a file in it")
    if os.path.exists(target) and not os.path.isfile(target):  # noqa: PTH110, PTH113
        # Renaming over a device would replace it, /dev/null included.
        raise UsageError(f"{shown(target)} is no regular file", hint="name a file that may be replaced")
    try:
        with suppress(FileNotFoundError):
            _final(target).lstat()  # fails on a name that is too long
        # The file system's own answer: permission bits know nothing of read-only mounts.
        with tempfile.TemporaryFile(dir=_final(target).parent):
            pass
    except OSError as error:
        raise _not_writable(target, error) from error


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `target` and rename it. Raises UsageError."""
    try:
        _write_atomically(target, content)
    except OSError as error:
        raise _not_writable(target, error) from error


def _write_atomically(target: Path, content: bytes) -> None:
    final = _final(target)
    partial = final.with_name(f".sharpv-{os.getpid()}.part")
    with signals.unfinished(partial):
        partial.write_bytes(content)
        partial.replace(final)


def _final(target: Path) -> Path:
    """Where `target` leads: a rename must replace what a symbolic link points to, not the link."""
    return Path(os.path.realpath(target))  # unlike Path.resolve it does not raise on a loop of links


def _not_writable(target: Path, error: OSError) -> UsageError:
    folder = _final(target).parent
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return UsageError(
            f"cannot write {shown(target)}: its folder is missing", hint=f"create {shown(folder)} first"
        )
    reason = error.strerror or str(error)
    return UsageError(f"cannot write {shown(target)}: {reason}", hint="choose another place for it")
