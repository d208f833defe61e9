"""Where the resident process of this user, version and environment listens. Imports nothing heavy."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sharpv_cli import __version__
from sharpv_cli.folders import user_folder

_LONGEST = 103 - len(
    "/12345678-12345678-12345678.sock"
)  # bytes of a folder, for a socket's path that all systems take
# What decides, once and for a whole process, where a model comes from and what it runs on.
_PREFIXES = tuple(
    "CUDA_ HF_ TRANSFORMERS_ HUGGINGFACE_ TORCH PYTORCH_ OMP_ MKL_ KMP_ GOMP_ NVIDIA_ NCCL_ TRITON_ PYTHON LD_ DYLD_ "
    "OPENBLAS_ MALLOC_ TOKENIZERS_".split()
)
_NAMES = ("XDG_CACHE_HOME", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
# Changes from one run to the next without changing anything.
_PASSED_OVER = frozenset({"PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONBREAKPOINT"})


def folder(environ: Mapping[str, str]) -> Path | None:
    """The private folder of sockets and logs, made where it is missing; None where there can be none.

    In XDG_RUNTIME_DIR, else in the cache folder. Nobody else may own it, read it or write into it.
    """
    for place in _places(environ):
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = place.lstat()
        except OSError:
            continue
        private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if private and os.access(place, os.W_OK) and len(os.fsencode(place)) <= _LONGEST:
            return place
    return None


def socket_path(environ: Mapping[str, str]) -> Path | None:
    """The socket of the process that would serve this environment, whether there is one or not."""
    place = folder(environ)
    return None if place is None else place / f"{_digest(environ)}.sock"


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process alone holds the lock file at `path`; the kernel frees it when the process ends, however."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def is_older(other: Path, path: Path) -> bool:
    """Whether two sockets' names differ in the version of one and the same installation."""
    (place, version, _), (own_place, own_version, _) = other.stem.split("-"), path.stem.split("-")
    return place == own_place and version != own_version


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    if (runtime := environ.get("XDG_RUNTIME_DIR", "")).startswith("/"):
        yield Path(runtime) / "sharpv" / "run"
    if cache := user_folder("cache", environ):
        yield cache / "run"


def _digest(environ: Mapping[str, str]) -> str:
    """`<installation>-<its version>-<environment>`."""
    relevant = sorted(
        (name, value)
        for name, value in environ.items()
        if (name.startswith(_PREFIXES) or name in _NAMES) and name not in _PASSED_OVER
    )
    places = [_identity("/"), _link("/proc/self/ns/mnt"), _link("/proc/self/ns/pid"), *_limits()]
    installation = _short([sys.executable, os.path.dirname(__file__)])  # noqa: PTH120
    return f"{installation}-{_short([__version__, sys.version, *_files()])}-{_short([relevant, places])}"


def _files() -> list[tuple[str, int, int]]:
    """Path, size and time of each of the package's own files: a checkout changes without a new version."""
    folders = [Path(__file__).parent.parent]
    found = []
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            elif entry.name.endswith((".py", ".yaml", ".json")):
                found.append((entry.path, entry.stat().st_size, entry.stat().st_mtime_ns))
    return sorted(found)


def _limits() -> list[object]:
    """What the shell allows its processes: `ulimit`, and the cores of `taskset`."""
    names = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CPU")
    known = [getattr(resource, name) for name in names if hasattr(resource, name)]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return [*map(resource.getrlimit, known), cores]


def _identity(path: str) -> tuple[int, int]:
    at = os.stat(path)  # noqa: PTH116
    return at.st_dev, at.st_ino


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return ""


def _short(value: object) -> str:
    return hashlib.blake2s(repr(value).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
