"""Loading a checkpoint through transformers' Auto classes: safetensors only, never the checkpoint's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from sharpv_cli.errors import ModelError, ResourceError
from sharpv_cli.models import checkpoint
from sharpv_cli.models.attention import Attention, choose_attention
from sharpv_cli.models.families import Family, family_of
from sharpv_cli.types import ModelInfo

if TYPE_CHECKING:
    from sharpv_cli.settings import ModelSettings


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that can answer, and what belongs to it. `weights_bytes` counts shared tensors once."""

    model: Any
    processor: Any
    family: Family
    info: ModelInfo
    weights_bytes: int

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def device(self) -> torch.device:
        return torch.device(self.info.device)

    @property
    def context(self) -> int | None:
        """How many positions the language model was made for, None where its config does not say."""
        limit: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return limit

    @property
    def stop_ids(self) -> frozenset[int]:
        """The token ids that end an answer."""
        ids = self.model.generation_config.eos_token_id
        if ids is None:
            ids = self.tokenizer.eos_token_id
        return frozenset(ids if isinstance(ids, list) else [] if ids is None else [ids])


def load(
    settings: ModelSettings,
    device: str = "auto",
    *,
    offline: bool = False,
    between_steps: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Load the checkpoint that `settings` name onto `device` ("auto": cuda, else mps, else cpu).

    `between_steps` is called before each step that takes long; what it raises ends the loading. Raises
    ModelError for what is wrong with the checkpoint or the attention back-end, ResourceError for the device.
    """
    target = pick_device(device)
    dtype = pick_dtype(settings.dtype, target)
    attention = choose_attention(settings.attention, target, dtype)
    between_steps()
    folder = checkpoint.fetch(settings, offline=offline)
    _quiet()
    between_steps()
    processor = _read_processor(folder, settings.id)
    between_steps()
    model = _read_model(folder, settings.id, dtype, attention)
    between_steps()
    model = _move(model, target)
    info = ModelInfo(
        id=settings.id,
        revision=checkpoint.commit_of(folder) or settings.revision,
        family=model.config.model_type,
        dtype=str(dtype).removeprefix("torch."),
        device=str(target),
        attention=attention.name,
        attention_reason=attention.reason,
    )
    family = family_of(model.config.model_type, settings.id)
    weights_bytes = sum(parameter.nbytes for parameter in model.parameters())
    return LoadedModel(model, processor, family, info, weights_bytes)


def pick_device(name: str) -> torch.device:
    """The torch device of a name, tried with a tensor; ResourceError when there is no such device."""
    if name == "auto":
        return torch.device(_best_device())
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ResourceError(
            f"device {name!r} cannot be used: {_why_no_device(name, error)}",
            hint="use --device auto, cpu, cuda, cuda:1 or mps",
        ) from error
    if device.type == "meta":
        raise ResourceError("device 'meta' holds no data", hint="use --device auto or cpu")
    return device


def _why_no_device(name: str, error: Exception) -> str:
    """PyTorch lists every back-end it was ever compiled for when it does not know a name."""
    known = name.partition(":")[0] in ("cpu", "cuda", "mps")
    return _first_sentence(error) if known else "no such kind of device"


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on CUDA and float32 elsewhere."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _quiet() -> None:
    """Progress and advice of transformers would land between our own lines on stderr."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def _read_processor(folder: Path, name: str) -> Any:
    try:
        processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise _unreadable(name, "processor", error) from error
    if getattr(processor, "video_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        raise ModelError(f"{name}: its processor takes no video", hint="pick a checkpoint of a VideoLLM")
    if not hasattr(processor.tokenizer, "backend_tokenizer"):
        raise ModelError(f"{name}: its tokenizer has no fast form", hint="pick one with a tokenizer.json")
    if getattr(processor, "chat_template", None) is None:
        raise ModelError(
            f"{name}: it has no chat template", hint="put its chat_template.jinja into the folder"
        )
    return processor


def _read_model(folder: Path, name: str, dtype: torch.dtype, attention: Attention) -> Any:
    try:
        model, report = transformers.AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=attention.implementation,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        raise (_no_memory(name) if out_of_memory(error) else _unreadable(name, "model", error)) from error
    absent = sorted(map(str, report["missing_keys"]))
    if absent:  # transformers would leave them random
        raise ModelError(
            f"{name}: {len(absent)} weights are missing ({absent[0]} ...)",
            hint="the checkpoint does not fit its config.json: copy or download it again",
        )
    _require_full_attention(model.config.get_text_config(), name)
    return model.eval()


def _require_full_attention(text_config: Any, name: str) -> None:
    """Our cache holds one kind of layer; a sliding window or a recurrent state would be silently wrong."""
    kinds = set(getattr(text_config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        raise ModelError(
            f"{name}: its language model has layers of other kinds ({', '.join(sorted(kinds))})",
            hint="pick a model with full attention in every layer",
        )


def _move(model: Any, device: torch.device) -> Any:
    try:
        return model.to(device)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise _no_memory(str(device)) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host ran out of memory: the CPU allocator raises a plain RuntimeError."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "DefaultCPUAllocator" in str(error)


def _no_memory(what: str) -> ResourceError:
    return ResourceError(f"{what}: not enough memory for the weights", hint="pick a smaller model or --dtype")


def _unreadable(name: str, what: str, error: Exception) -> ModelError:
    reason = _first_sentence(error)
    return ModelError(f"{name}: its {what} cannot be loaded: {reason}", hint="copy or download it again")


def _first_sentence(error: Exception) -> str:
    """PyTorch and transformers put paragraphs of advice behind it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
