"""What this machine has for a model: libraries, devices, attention backends, the hub's cache (`sharpv doctor`).

Importing this module imports neither torch nor transformers; `of_the_device` does.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from sharpv_cli.errors import ModelError, ResourceError, SharpvError
from sharpv_cli.models import hub
from sharpv_cli.models.attention import choose_attention, why_no_flash
from sharpv_cli.models.available import host_bytes
from sharpv_cli.models.refusal import import_framework
from sharpv_cli.units import disk_size, memory_size

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings

_NEEDED = (
    *("torch", "torchvision", "transformers", "tokenizers", "safetensors", "huggingface-hub", "av", "numpy"),
    *("packaging", "pillow", "pydantic", "pyyaml", "prompt-toolkit", "rich", "typer", "jinja2"),
    *("charset-normalizer", "llguidance", "matplotlib"),
)
_OPTIONAL = ("flash-attn", "flash-attn-3", "flash-attn-4", "accelerate")
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TRUE = ("1", "ON", "YES", "TRUE")  # as huggingface_hub reads them


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `value` is for people; `bytes` is the size or the free space it names.

    `problem` is what is wrong with it, `hint` what to do next. Where it would stop `sharpv ask`, `exit_code` is
    the code it would stop with; a problem without one is only worth knowing.
    """

    group: str
    name: str
    value: str
    bytes: int | None = None
    problem: str | None = None
    hint: str | None = None
    exit_code: int | None = None

    def __post_init__(self) -> None:
        assert self.exit_code is None or (self.problem is not None and self.exit_code > 0), self

    @classmethod
    def failed(cls, group: str, name: str, value: str, error: SharpvError) -> Check:
        """What `sharpv ask` would end with."""
        return cls(group, name, value, None, str(error), error.hint, error.exit_code)


def libraries() -> Iterator[Check]:
    """Versions as they are installed, against the floors of this package where it is installed itself."""
    floors = _floors()
    for name in _NEEDED:
        version = _version(name)
        wanted = floors.get(name, "")
        if version is None:
            problem = f"{name} is not installed"
        elif not _satisfies(version, wanted):
            problem = f"{name} {version} does not fit: sharpv needs {name}{wanted}"
        else:
            problem = None
        hint = f"pip install '{name}{wanted}'" if problem else None
        exit_code = 1 if problem else None
        yield Check("libraries", name, version or "not installed", None, problem, hint, exit_code)
    for name in _OPTIONAL:
        yield Check("libraries", name, _version(name) or "not installed (optional)")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _floors() -> dict[str, str]:
    """The version ranges that this package asks for, by distribution; none where it runs from a checkout."""
    try:
        lines = metadata.requires("sharpv") or []
    except metadata.PackageNotFoundError:
        return {}
    requirements = [Requirement(line) for line in lines if "extra ==" not in line]
    return {one.name: str(one.specifier) for one in requirements}


def _satisfies(version: str, wanted: str) -> bool:
    return SpecifierSet(wanted).contains(version, prereleases=True)


def cache() -> Check:
    """The hub's cache: where models are downloaded to, how much they take, and what is free there."""
    try:
        folder = hub.cache_folder()
    except ModelError as error:
        return Check.failed("models", "cache", "unknown", error)
    home = next((path for path in (folder, *folder.parents) if os.path.isdir(path)), None)  # noqa: PTH112
    if home is None or not os.access(home, os.W_OK):
        problem = f"{folder} cannot be written, so no model can be downloaded"
        hint = "set HF_HOME to a folder that you can write to"
        return Check("models", "cache", str(folder), None, problem, hint)
    free = shutil.disk_usage(home).free
    taken = sum(entry.lstat().st_size for entry in folder.rglob("*") if entry.is_file())
    return Check("models", "cache", f"{folder}: {disk_size(taken)}, {disk_size(free)} free", taken)


def offline(settings: Settings) -> Check:
    """Whether anything may be downloaded, and what forbids it."""
    if settings.offline:
        return Check("models", "offline", "yes: the setting `offline`")
    named = [name for name in _OFFLINE_VARIABLES if os.environ.get(name, "").upper() in _TRUE]
    return Check("models", "offline", f"yes: {' and '.join(named)}" if named else "no")


def model(settings: Settings) -> Check:
    """The checkpoint of the settings, looked at as `sharpv ask` does before it loads one."""
    from sharpv_cli.models import checkpoint
    from sharpv_cli.models.on_disk import local_size

    wanted = settings.model
    try:
        checkpoint.check(wanted, offline=settings.offline)
    except ModelError as error:
        return Check.failed("models", "model", wanted.id, error)
    size = local_size(wanted.id)
    where = "downloaded when it is first used" if size is None else f"{disk_size(size)} on this machine"
    return Check("models", "model", f"{wanted.id}: {where}", size)


def of_the_device(settings: Settings) -> list[Check]:
    """What only PyTorch and transformers know: devices, the choices that settings lead to, whether the weights fit."""
    if (obstacle := frameworks()) is not None:
        return [obstacle]
    fits = memory(settings)
    return [*devices(), *choices(settings), *([fits] if fits else [])]


def devices() -> Iterator[Check]:
    """Every device that PyTorch can use, with its memory in bytes."""
    import torch

    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        value = f"{name}, {memory_size(total)}, {memory_size(free)} free"
        yield Check("device", f"cuda:{index}", value, total)
    if torch.backends.mps.is_available():
        yield Check("device", "mps", f"Apple GPU, {platform.machine()}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free_host = host_bytes()
    memory = "" if free_host is None else f", {memory_size(free_host)} available"
    yield Check("device", "cpu", f"{platform.machine()}, {cores} cores{memory}", free_host)
    if not torch.cuda.is_available() and torch.version.cuda and _has_nvidia_driver():
        yield Check(
            "device",
            "cuda",
            "not usable",
            None,
            f"there is an NVIDIA driver, but PyTorch (for CUDA {torch.version.cuda}) cannot use it",
            "update the driver, or install a PyTorch built for its CUDA version",
        )


def _has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists()


def choices(settings: Settings) -> Sequence[Check]:
    """Device, number format and attention backend that these settings lead to, each backend with its reason.

    The head size of the model's attention may still stand against a flash-attn: that shows when it is loaded.
    """
    from sharpv_cli.models.placement import pick_dtype, place

    try:
        device = place(settings.device).device
    except (ResourceError, ModelError) as error:
        return [Check.failed("device", "chosen", settings.device, error)]
    dtype = pick_dtype(settings.model.dtype, device)
    obstacle = why_no_flash(device, dtype)
    found = [
        Check("device", "chosen", f"{device}, {str(dtype).removeprefix('torch.')}"),
        Check("attention", "flash", "usable" if obstacle is None else f"not usable: {obstacle}"),
        Check("attention", "sdpa", "usable: part of PyTorch"),
        Check("attention", "eager", "usable: plain matrix products, for comparisons"),
    ]
    wanted = settings.model.attention
    try:
        chosen = choose_attention(wanted, device, dtype)
    except ModelError as error:
        return [*found, Check.failed("attention", "chosen", wanted, error)]
    return [*found, Check("attention", "chosen", f"{chosen.name} ({chosen.reason})")]


def memory(settings: Settings) -> Check | None:
    """Whether the weights fit where they would go, as `sharpv ask` asks before it downloads or loads them.

    None where that is not known, or where another check says why it is not: the model's or the device's.
    """
    from sharpv_cli.models.known import known
    from sharpv_cli.models.memory_check import require_weights
    from sharpv_cli.models.placement import pick_dtype, place

    wanted = settings.model
    try:
        found, placement = known(wanted), place(settings.device)
    except (ResourceError, ModelError):
        return None
    itemsize = pick_dtype(wanted.dtype, placement.device).itemsize
    if found.fixed_bytes and wanted.dtype == "auto":
        itemsize = 2  # what is not quantised of it stays in half precision, on a CPU too
    weights, free = found.weights_bytes(itemsize), placement.available_bytes()
    room = "free memory unknown" if free is None else f"{memory_size(free)} free on {placement.name}"
    value = f"weights {memory_size(weights)}, {room}"
    try:
        if settings.memory_check:
            require_weights(found, itemsize, placement.name, free)
    except ResourceError as error:
        return Check.failed("device", "memory", value, error)
    return Check("device", "memory", value, weights)


def frameworks() -> Check | None:
    """Import PyTorch and transformers, which takes seconds; what stands against it, None when nothing does."""
    for name in ("torch", "transformers"):
        try:
            import_framework(name)
        except (ImportError, OSError) as error:  # OSError: a shared library that is missing
            problem = f"{name} cannot be imported: {error}"
            return Check(
                "device", "chosen", "unknown", None, problem, f"pip install --force-reinstall {name}", 1
            )
        except ModelError as error:
            return Check.failed("device", "chosen", "unknown", error)
    return None
