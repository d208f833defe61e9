"""Commands run where files are mounted as containers do it: a file alone, or in a folder that is read-only."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

_ALONE = 'mount --bind "$0" "$0" && exec "$@"'
_READ_ONLY_FOLDER = """
folder=$(dirname "$0") && mount --bind "$folder" "$folder" && mount --bind "$0" "$0" &&
  mount -o remount,bind,ro "$folder" && exec "$@"
"""

# Three inodes: the folder itself and two in it.
_FULL = """
mount -t tmpfs -o size=4k,nr_inodes=3,mode=700 tmpfs "$0" && (umask 077; mkdir -p "$0/$1") &&
  mount --bind "$2" "$2" && mount -o remount,bind,ro "$2" && shift 2 && exec "$@"
"""


def on_full_disk(folder: Path, inside: str, *, read_only: Path) -> list[str]:
    """What to put before a command: `folder` takes nothing but the folders `inside` it, which are there already.

    And nothing can be written into `read_only`.
    """
    return [*_namespace(), "sh", "-c", _FULL, str(folder), inside, str(read_only)]


def mounted_alone(file: Path) -> list[str]:
    """What to put before a command: the file is a mount of its own, over which nothing can be renamed."""
    return [*_namespace(), "sh", "-c", _ALONE, str(file)]


def in_read_only_folder(file: Path) -> list[str]:
    """What to put before a command: the file can be written, its folder takes no other one."""
    return [*_namespace(), "sh", "-c", _READ_ONLY_FOLDER, str(file)]


@cache
def _namespace() -> list[str]:
    command = ["unshare", "--map-root-user", "--mount"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this system does not let us mount anything")
    return command
