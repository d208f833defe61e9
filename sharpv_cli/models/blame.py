"""What goes wrong in other people's code over other people's files, said as what it is: that file cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any

from sharpv_cli import shortage
from sharpv_cli.errors import ModelError, ResourceError, SharpvError
from sharpv_cli.models.inspecting import newer
from sharpv_cli.models.jsonfile import AGAIN

# What most videos look like: a part that cannot use frames of this height and width is to blame, and no video.
USUAL_SIZE = (480, 640)
OTHER_SHAPE = "give a video of a more usual shape, or another model"


class Reading:
    """Whatever is raised while a part of a checkpoint is read becomes a ModelError that names the part.

    Configs, tokenizers and weights come from anywhere, and their readers fail in as many ways: with every kind of
    Exception, and those written in Rust with one that is none. `config` tells which transformers wrote it, `folder`
    is not named in messages.
    """

    said = "cannot be loaded"

    def __init__(
        self, what: str, name: str, config: Mapping[str, Any] = MappingProxyType({}), folder: str = ""
    ) -> None:
        self._what, self._name, self._config, self._folder = what, name, config, folder

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, SharpvError):
            return
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise self._judged(error) from error

    def _judged(self, error: BaseException) -> SharpvError:
        """Want of threads or files is no fault of the part that is read meanwhile."""
        if out_of_memory(error):
            return no_memory(self._name)
        what = shortage.lack(error)
        return shortage.short(what, f"loading {self._name}") if what else self._unreadable(error)

    def _unreadable(self, error: BaseException) -> ModelError:
        missing = (
            re.search(r"pip install [^`\n]*[^`\s.]", str(error)) if isinstance(error, ImportError) else None
        )
        why = first_sentence(error)
        if isinstance(error, KeyError):  # which says the key alone
            why = f"{why} is missing"
        if self._folder:
            why = why.replace(self._folder, "the folder")
        return ModelError(
            f"{self._name}: its {self._what} {self.said}: {why}",
            hint=missing.group() if missing else f"{AGAIN}{newer(self._config)}",
        )


class Using(Reading):
    """The same for a part that is loaded: some of what its files say shows only then.

    Want of memory, and what a device does, are told elsewhere.
    """

    said = "cannot be used"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not _of_device(error):
            super().__exit__(kind, error, trace)


def first_sentence(error: BaseException) -> str:
    """PyTorch and transformers put paragraphs of advice behind it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]


def _of_device(error: BaseException) -> bool:
    import torch

    broken = getattr(torch, "AcceleratorError", torch.OutOfMemoryError)  # since PyTorch 2.8
    return isinstance(error, broken) or out_of_memory(error)


def out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host ran out of memory: the CPU allocator raises a plain RuntimeError."""
    import torch

    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "DefaultCPUAllocator" in str(error)


def no_memory(what: str) -> ResourceError:
    """What is said where the weights do not fit."""
    return ResourceError(f"{what}: not enough memory for the weights", hint="pick a smaller model or --dtype")
