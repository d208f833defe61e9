"""What an answer would take of a model, without its weights: tokens and memory, by formula."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sharpv_cli.models.dimensions import language_model
from sharpv_cli.models.estimate import Request, estimate, kv_cache_bytes
from sharpv_cli.models.known import KnownModel, asks_transformers, foretold
from sharpv_cli.models.memory_check import advice
from sharpv_cli.models.target import asks_torch, target_of
from sharpv_cli.pipeline.long import chunks
from sharpv_cli.types import MemoryScenario, ModelOutlook

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings
    from sharpv_cli.video.picture import Shape

RETENTIONS = (0.3, 0.1)  # of visual tokens, that memory is shown for beside all of them


def model_outlook(shape: Shape, frames: int, settings: Settings) -> ModelOutlook:
    """What an answer about so many frames would take of the model. Raises ModelError, ResourceError for the device.

    Imports PyTorch and transformers where `asks_frameworks`.
    """
    model, target = foretold(settings.model), target_of(settings)
    chunk = _chunk_of(model, frames, settings)
    width, height = shape.bounded(chunk or frames)
    request = Request(
        model=model,
        frames=frames,
        height=height,
        width=width,
        new_tokens=settings.generation.max_new_tokens,
        itemsize=target.itemsize,
        eager=settings.model.attention == "eager",
        one_memory=target.kind != "cuda",
        at_once=chunk,
    )
    language = language_model(model.config, target.itemsize)
    slots, rows, columns = request.grid
    return ModelOutlook(
        id=model.id,
        family=model.family.model_type,
        source=model.source,
        dtype=target.dtype,
        device=target.device,
        available_bytes=target.free,
        parameters=model.parameters,
        layers=language.layers,
        context=model.context,
        kv_bytes_per_token=kv_cache_bytes(language, 1),
        slots=slots,
        rows=rows,
        columns=columns,
        text_tokens=request.text,
        scenarios=tuple(scenarios(request, target.free)),
        advice=advice(request, target.free, adaptive=settings.visual.mode == "adaptive"),
        warnings=_context_warnings(model, request),
        chunk_frames=chunk,
    )


def asks_frameworks(settings: Settings) -> bool:
    """Whether only PyTorch or transformers knows something of the model or the device. Raises ModelError."""
    return asks_transformers(settings.model) or asks_torch(settings)


def _chunk_of(model: KnownModel, frames: int, settings: Settings) -> int | None:
    """How many frames would be encoded at a time, None for all."""
    if frames <= chunks.WHOLE_FRAMES or not chunks.in_chunks(model.family, settings.engine):
        return None
    return chunks.CHUNK_FRAMES


def scenarios(request: Request, free: int | None) -> list[MemoryScenario]:
    """All visual tokens first, or all that the context has room for, then what SharpV may keep of them."""
    most = request.most_kept / request.visual_tokens
    found = []
    for retention in (most, *(share for share in RETENTIONS if share < most)):
        kept = min(math.ceil(retention * request.visual_tokens), request.most_kept)
        needed = estimate(request, kept)
        fits = None if free is None else needed.device_bytes <= free
        found.append(MemoryScenario("dense" if retention == 1 else "sharpv", retention, kept, needed, fits))
    return found


def _context_warnings(model: KnownModel, request: Request) -> tuple[str, ...]:
    whole = request.text + request.visual_tokens + request.new_tokens
    if model.context is None or whole <= model.context:
        return ()
    return (
        f"all visual tokens, text and answer would be {whole} tokens, past the model's context of "
        f"{model.context}: SharpV has to leave some out, and lowers its scale where it keeps too many",
    )
