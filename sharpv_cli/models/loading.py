"""Loading a checkpoint through transformers' Auto classes: safetensors only, never the checkpoint's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers

from sharpv_cli import garbage
from sharpv_cli.errors import ModelError, ResourceError
from sharpv_cli.models import checkpoint, generation, layers, parts, quantized
from sharpv_cli.models.attention import Attention, choose_attention
from sharpv_cli.models.blame import Reading, no_memory, out_of_memory
from sharpv_cli.models.context import usable_context
from sharpv_cli.models.dimensions import head_dim
from sharpv_cli.models.families import Family, family_of
from sharpv_cli.models.inspecting import Checkpoint
from sharpv_cli.models.known import KnownModel, of_checkpoint
from sharpv_cli.models.memory_check import require_weights
from sharpv_cli.models.placement import Placement, has_accelerate, pick_dtype, place
from sharpv_cli.models.soundness import require_described
from sharpv_cli.models.template_files import give_template, template_file
from sharpv_cli.types import ModelInfo

if TYPE_CHECKING:
    from sharpv_cli.settings import ModelSettings


# Where accelerate puts what the GPUs cannot hold.
_TOO_SMALL = frozenset({"cpu", "meta"})


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that can answer, and what belongs to it.

    `weights_bytes` are those on its devices, shared ones once; `warnings` are sentences for the user; `template_file`
    is where its chat template lies.
    """

    model: Any
    processor: Any
    family: Family
    info: ModelInfo
    weights_bytes: int
    warnings: tuple[str, ...] = ()
    template_file: str = "chat_template.jinja"

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def device(self) -> torch.device:
        """Where the input embeddings are: there a prompt begins, however many devices the layers are on."""
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device

    @property
    def split(self) -> bool:
        """Whether the layers are on several devices."""
        return len(set((getattr(self.model, "hf_device_map", None) or {}).values())) > 1

    @property
    def known(self) -> KnownModel:
        """What memory and token counts depend on; the weights are what they are, whatever the itemsize."""
        return KnownModel(
            id=self.info.id,
            source="loaded",
            family=self.family,
            config=self.model.config,
            video_processor=self.processor.video_processor,
            parameters=0,
            fixed_bytes=self.weights_bytes,
        )

    @property
    def window(self) -> int | None:
        """How many tokens layers with a sliding window see, None without any: prompt and answer must fit."""
        return layers.window_of(self.model.config.get_text_config())

    @property
    def context(self) -> int | None:
        """How many positions the language model can tell apart, None where its config does not say."""
        return usable_context(self.model.config.get_text_config())

    @property
    def stop_ids(self) -> frozenset[int]:
        """The token ids that end an answer."""
        ids = generation.end_ids(self.model)
        own = self.tokenizer.eos_token_id
        return ids if ids is not None else frozenset() if own is None else frozenset([own])


def load(
    settings: ModelSettings,
    device: str = "auto",
    *,
    offline: bool = False,
    memory_check: bool = True,
    between_steps: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Load the checkpoint that `settings` name onto `device`.

    "auto" is cuda, else mps, else cpu; "balanced" spreads it over all GPUs. `between_steps` is called before
    each step that takes long; what it raises ends the loading. Raises ModelError for what is wrong with the
    checkpoint or the attention backend, ResourceError for the device, and with `memory_check` for weights
    that would not fit it.
    """
    placement = place(device)
    between_steps()
    found = checkpoint.fetch(settings, offline=offline)
    _quiet()
    between_steps()
    described = of_checkpoint(found, settings.id)
    config, head_size = _usable(described.config, found)
    dtype = _pick_dtype(settings, config, found, placement)
    attention = choose_attention(settings.attention, placement.device, dtype, head_size)
    processor = _read_processor(found)
    if memory_check:
        require_weights(described, dtype.itemsize, placement.name, placement.available_bytes())
    garbage.resume()  # all is imported, and the weights, which may be replaced, are not there yet
    between_steps()
    model = _read_model(found, config, dtype, attention, placement)
    between_steps()
    info = ModelInfo(
        id=settings.id,
        revision=checkpoint.commit_of(found.folder) or settings.revision,
        family=config.model_type,
        dtype=str(dtype).removeprefix("torch."),
        device=_said_devices(model, placement),
        attention=attention.name,
        attention_reason=attention.reason,
    )
    family = family_of(config.model_type, settings.id)
    said = (attention.warning, layers.window_warning(config.get_text_config()))
    warnings = tuple(warning for warning in said if warning is not None)
    warnings += generation.check(model, settings.id)
    template = template_file(found.folder, processor.chat_template)
    return LoadedModel(model, processor, family, info, _weights_bytes(model), warnings, template)


def _weights_bytes(model: Any) -> int:
    stored = {tensor.data_ptr(): tensor.nbytes for tensor in model.state_dict().values()}
    return sum(stored.values())


def _quiet() -> None:
    """Progress and advice of transformers would land between our own lines on stderr."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def _usable(config: Any, found: Checkpoint) -> tuple[Any, int]:
    """The config and the language model's head size.

    Refuses what the engine cannot run before the weights, which take long, are read.
    """
    with Reading("config.json", found.name, found.config):
        text_config = config.get_text_config()
        layers.require_supported(text_config, found.name)
        head_size = head_dim(text_config)
    quantized.require_known(found.config, found.name)
    require_described(config, found)
    return quantized.unpacked_when_read(config), head_size


def _pick_dtype(settings: ModelSettings, config: Any, found: Checkpoint, placement: Placement) -> torch.dtype:
    """A quantised checkpoint's kernels were made for its own number format: it holds unless one is asked for."""
    own = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    is_quantized = quantized.method_of(found.config) is not None
    if settings.dtype == "auto" and is_quantized and isinstance(own, torch.dtype):
        return own
    return pick_dtype(settings.dtype, placement.device)


def _read_processor(found: Checkpoint) -> Any:
    name, processor = found.name, parts.read_processor(found)
    if getattr(processor, "video_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        raise ModelError(f"{name}: its processor takes no video", hint="pick a checkpoint of a VideoLLM")
    if not hasattr(processor.tokenizer, "backend_tokenizer"):
        raise ModelError(f"{name}: its tokenizer has no fast form", hint="pick one with a tokenizer.json")
    give_template(processor, name)
    return processor


def _read_model(
    found: Checkpoint, config: Any, dtype: torch.dtype, attention: Attention, placement: Placement
) -> Any:
    is_quantized = quantized.method_of(found.config) is not None
    # Quantised weights are made on their device; others are quicker to read first and move then.
    mapped = placement.split or (is_quantized and has_accelerate())
    model, report = parts.read_model(
        found,
        config,
        dtype=dtype,
        attn_implementation=attention.implementation,
        device_map=placement.device_map if mapped else None,
    )
    absent = sorted(map(str, report["missing_keys"]))
    if absent:  # transformers would leave them random
        raise ModelError(
            f"{found.name}: {len(absent)} weights are missing ({absent[0]} ...)",
            hint="the checkpoint does not fit its config.json: copy or download it again",
        )
    layers.require_no_state(model, found.name)
    return (model if mapped else _move(model, placement.device)).eval()


def _move(model: Any, device: torch.device) -> Any:
    try:
        return model.to(device)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise no_memory(str(device)) from error


def _said_devices(model: Any, placement: Placement) -> str:
    """The device, or all of them (`cuda:0,cuda:1`). Raises ResourceError where the GPUs were too small."""
    if not placement.split:
        return str(placement.device)
    places = sorted({str(parameter.device) for parameter in model.parameters()})
    if _TOO_SMALL & set(places):
        raise ResourceError(
            "the GPUs together have not enough memory for the weights", hint="pick a smaller model"
        )
    return ",".join(places)
