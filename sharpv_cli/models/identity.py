"""What tells one checkpoint from another of the same name: its files may be trained anew, edited or downloaded anew.

Everything that is loaded counts, by content. Large files are read once: what they hold is remembered by what the
system says of them, which changes whenever somebody writes into them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.files import write_whole
from sharpv_cli.folders import user_folder
from sharpv_cli.models.checkpoint import locate
from sharpv_cli.models.inspecting import inspect
from sharpv_cli.models.view import files_of, texts_of
from sharpv_cli.settings import ModelSettings
from sharpv_cli.smallfile import read_text

_LARGE_BYTES = 1 << 20  # smaller ones are read as quickly as looked up
_SETTLED_SEC = 5.0  # a file that was written just now may be written again within one tick of its clock
_MOST = 4096  # digests that are remembered
_MOST_BYTES = 16 << 20
_THREADS = 4


def checkpoint_identity(model: ModelSettings, *, offline: bool = False) -> str:
    """A digest of all that is loaded of a checkpoint: weights, config, processor, tokenizer, templates; without torch.

    Empty where the checkpoint is not on this machine yet. Raises ModelError as `checkpoint.check` does.
    """
    folder = locate(model, offline=offline)
    if folder is None:
        return ""
    found = inspect(folder, model)
    digest = hashlib.sha256()
    for name, content in sorted(texts_of(found).items()):
        _add(digest, name, json.dumps(content, sort_keys=True))
    for name, own in sorted(_digests(files_of(found)).items()):
        _add(digest, name, own)
    return digest.hexdigest()[:16]


def _add(digest: hashlib._Hash, *parts: str) -> None:
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    """By name in the checkpoint."""
    store = _Remembered(user_folder("cache", os.environ))
    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(files, pool.map(store.digest, files.values()), strict=True))
    store.save()
    return found


class _Remembered:
    """Digests of large files from earlier runs, by path, device, inode, size and times."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "digests.json"
        self._known = {} if self._path is None else _known(self._path)
        self._new: dict[str, str] = {}

    def digest(self, file: Path) -> str:
        key, written = _key(file)
        known = self._known.get(key)
        if known is not None:
            return known
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        large = os.path.getsize(file) > _LARGE_BYTES  # noqa: PTH202
        if large and time.time() - written > _SETTLED_SEC and _key(file)[0] == key:
            self._new[key] = found
        return found

    def save(self) -> None:
        """For the next run; it is no fault where that cannot be."""
        if not self._new or self._path is None:
            return
        kept = dict(_last([*self._known.items(), *self._new.items()]))
        with suppress(OSError, UsageError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(kept).encode())


def _key(file: Path) -> tuple[str, float]:
    """What the system says of a file, and when it last changed."""
    real = Path(os.path.realpath(file))
    stat = real.stat()
    seen = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return json.dumps([str(real), *seen]), max(stat.st_mtime, stat.st_ctime)


def _known(path: Path) -> dict[str, str]:
    try:
        content = json.loads(read_text(path, most=_MOST_BYTES))
    except (UsageError, ValueError, RecursionError):
        return {}
    items = content.items() if isinstance(content, dict) else ()
    return {key: value for key, value in items if isinstance(value, str)}


def _last(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(items)[-_MOST:]
