"""The hub: what of a model is in its local cache, what a download would bring, and the download.

huggingface_hub does the work. Its cache keeps finished files, so an interrupted download goes on with the file
that it was at; files are checked against the size that the hub says.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from threading import Event
from typing import Any

from sharpv_cli.errors import ModelError, ResourceError
from sharpv_cli.models.adapters import ADAPTER, refuse_adapter
from sharpv_cli.models.inspecting import inspect_config, missing_file, missing_name
from sharpv_cli.models.jsonfile import CONFIG, read_json
from sharpv_cli.models.refusal import Asking, folder_here
from sharpv_cli.models.tensors import pickled_weights
from sharpv_cli.settings import ModelSettings
from sharpv_cli.signals import on_leaving
from sharpv_cli.units import disk_size

# What transformers needs of a repository; weights in other formats and what lies in subfolders stay there.
PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
SUBFOLDERS = ["*/*"]
_POLL_SEC = 0.1
_STOP_SEC = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a download of `repository` at `commit` brings. Bytes; `missing_*` is what is not in the cache yet."""

    repository: str
    commit: str
    files: int
    total_bytes: int
    missing_files: int
    missing_bytes: int
    free_bytes: int


def cached(model: ModelSettings) -> tuple[Path | None, bool]:
    """The folder of a repository in the local cache, and whether everything that a download brings is in it.

    Never touches the network. Raises ModelError for a name that is no hub id.
    """
    with Asking(model.id, model.revision):
        from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

        try:
            folder = _snapshot(model, local_files_only=True)
        except IncompleteSnapshotError as error:
            return Path(error.snapshot_path), False
        except LocalEntryNotFoundError:
            return None, False
    return folder, missing_file(folder) is None


def not_cached(model: ModelSettings, folder: Path | None) -> ModelError:
    """What is said offline of a repository that is not in the cache, or only partly."""
    where = "not in the local cache"
    if folder is not None:
        where = f"only partly in the local cache ({missing_file(folder)} is missing)"
    return ModelError(
        f"{model.id}: {where}, and --offline forbids a download",
        hint=f"run once without --offline, or give a folder{folder_here(model.id)}",
    )


def plan(model: ModelSettings) -> Plan:
    """Ask the hub what a download would bring; fetches config.json, so that no wrong model is downloaded.

    Raises ModelError: the hub is out of reach or refuses, the model is none that can be loaded.
    """
    _quiet()
    with Asking(model.id, model.revision):
        from huggingface_hub import HfApi, hf_hub_download

        cache_folder()
        info = HfApi().model_info(model.id, revision=model.revision, files_metadata=True)
        planned = _plan_of(model.id, str(info.sha), {s.rfilename: s.size or 0 for s in info.siblings or []})
        names = [sibling.rfilename for sibling in info.siblings or []]
        if ADAPTER in names:
            adapter = Path(hf_hub_download(model.id, ADAPTER, revision=planned.commit))
            refuse_adapter(read_json(adapter.parent, ADAPTER, model.id), model.id, whole=CONFIG in names)
        _require_files(model, names)
        config = Path(hf_hub_download(model.id, CONFIG, revision=planned.commit))
    inspect_config(read_json(config.parent, config.name, model.id), model)
    return planned


def _plan_of(repository: str, commit: str, sizes: dict[str, int]) -> Plan:
    """`sizes` are the bytes of every file of the repository."""
    from huggingface_hub import try_to_load_from_cache

    wanted = {name: size for name, size in sizes.items() if _is_wanted(name)}
    missing = [
        size
        for name, size in wanted.items()
        if not isinstance(try_to_load_from_cache(repository, name, revision=commit), str)
    ]
    return Plan(
        repository=repository,
        commit=commit,
        files=len(wanted),
        total_bytes=sum(wanted.values()),
        missing_files=len(missing),
        missing_bytes=sum(missing),
        free_bytes=_free_bytes(),
    )


def require_space(planned: Plan) -> None:
    """Raise ResourceError where the disk of the cache has no room for what is missing."""
    if planned.missing_bytes > planned.free_bytes:
        raise ResourceError(
            f"{planned.repository}: {disk_size(planned.missing_bytes)} to download, but only "
            f"{disk_size(planned.free_bytes)} are free in {cache_folder()}",
            hint="free some space, or set HF_HOME to a folder on another disk",
        )


def download(model: ModelSettings) -> Generator[int, None, None]:
    """Bring what is missing; yields the bytes that have come so far, several times a second.

    Closing the iterator stops the download: finished files stay, the next download goes on from there.
    Raises ModelError.
    """
    _quiet()
    transfer = _Transfer()
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sharpv-hub")
    running = pool.submit(_snapshot, model, tqdm_class=transfer.bar())

    def stop() -> None:
        """What is under way removes its unfinished files when its next piece comes."""
        transfer.stopped.set()
        wait([running], timeout=_STOP_SEC)

    with on_leaving(stop):
        try:
            while not running.done():
                wait([running], timeout=_POLL_SEC)
                yield transfer.received
            with Asking(model.id, model.revision):
                running.result()
        finally:
            stop()
            pool.shutdown(wait=False, cancel_futures=True)


class _StoppedError(Exception):
    """Ends the threads of a download from within."""


class _Transfer:
    """Counts the bytes that the hub's progress bars are told, and ends the download when `stopped` is set."""

    def __init__(self) -> None:
        self.received = 0
        self.stopped = Event()

    def bar(self) -> Any:
        """A class for huggingface_hub's `tqdm_class`: it draws nothing."""
        from huggingface_hub.utils.tqdm import tqdm

        transfer = self

        class Bar(tqdm):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                # The one bar of bytes written; others count files, and bytes on the wire.
                self._counts = kwargs.get("name") == "huggingface_hub.snapshot_download"
                super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

            def update(self, n: float | None = 1) -> None:
                if transfer.stopped.is_set():
                    raise _StoppedError
                if self._counts:
                    transfer.received += int(n or 0)

        return Bar


def _snapshot(model: ModelSettings, **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    cache_folder()
    return Path(
        snapshot_download(
            model.id,
            revision=model.revision,
            allow_patterns=PATTERNS,
            ignore_patterns=SUBFOLDERS,
            **options,
        )
    )


def _is_wanted(name: str) -> bool:
    return "/" not in name and any(fnmatch(name, pattern) for pattern in PATTERNS)


def _require_files(model: ModelSettings, names: list[str]) -> None:
    """Refuse a repository that is no checkpoint, or only a pickled one, before anything of it comes."""
    if not any(name.endswith(".safetensors") for name in names):
        pickled = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth")))
        raise (
            pickled_weights(model.id, pickled[0])
            if pickled
            else ModelError(f"{model.id}: no weights (*.safetensors) on the hub", hint="pick another model")
        )
    if (absent := missing_name(names)) is not None:
        raise ModelError(
            f"{model.id}: no {absent} on the hub",
            hint="pick a repository in transformers format; their names often end in -hf",
        )


def _quiet() -> None:
    """Advice of the hub would land between our own lines on stderr."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def cache_folder() -> Path:
    """Where downloads go. Raises ModelError without a home, or where a variable keeps the hub's client from working."""
    with Asking("the hub's cache"):
        from huggingface_hub.constants import HF_HUB_CACHE

        if HF_HUB_CACHE.startswith("~"):  # it would be made in the working directory
            raise ModelError("there is no home folder for the hub's cache", hint="set HF_HOME to a folder")
        return Path(HF_HUB_CACHE)


def _free_bytes() -> int:
    """On the disk of the cache, whose folder may not be there yet."""
    folder = cache_folder().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
