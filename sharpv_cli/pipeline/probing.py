"""What an answer about a video would take, without a model's weights: the file, the frames, tokens and memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sharpv_cli.errors import ModelError
from sharpv_cli.models.dimensions import language_model
from sharpv_cli.pipeline.frames import sampling_of, scan
from sharpv_cli.pipeline.long import chunks
from sharpv_cli.types import MemoryScenario, ModelOutlook, Outlook, SamplePlan
from sharpv_cli.video.isolated import IsolatedReader

if TYPE_CHECKING:
    from sharpv_cli.models.estimate import Request
    from sharpv_cli.models.known import KnownModel
    from sharpv_cli.settings import SamplingSettings, Settings
    from sharpv_cli.video.local import FilePath
    from sharpv_cli.video.probe import Scan
    from sharpv_cli.video.timeline import Timeline

RETENTIONS = (0.3, 0.1)  # of visual tokens, that memory is shown for beside all of them
_VARIES = 0.2  # of the usual time between frames; below, it is the rounding of containers


def look(path: FilePath, settings: Settings) -> Outlook:
    """The outlook of a video on this machine. Raises VideoError, UsageError and, for the device, ResourceError.

    A model about which nothing is known is no error: the rest is found all the same.
    """
    from sharpv_cli.video.streams import streams

    found = scan(path, settings)
    with IsolatedReader() as reader:
        its_streams = reader.read(path, streams)
    plan = plan_of(found.timeline, settings.sampling)
    try:
        model, model_error = _model_outlook(found, plan, settings), None
    except ModelError as error:
        model, model_error = None, (str(error), error.hint)
    return Outlook(
        video=found.info,
        streams=its_streams,
        size_bytes=Path(path).stat().st_size,
        variable_rate=varies(found.timeline.times),
        plan=plan,
        model=model,
        model_error=model_error,
        warnings=(*found.warnings, *plan.warnings, *(model.warnings if model else ())),
    )


def plan_of(timeline: Timeline, sampling: SamplingSettings) -> SamplePlan:
    """The frames that the settings choose. Raises UsageError where start or end are not in the clip."""
    chosen = sampling_of(sampling).choose(timeline.times, timeline.end)
    times = timeline.times[list(chosen.indices)].tolist()
    return SamplePlan(sampling.strategy, chosen.indices, tuple(times), chosen.warnings)


def varies(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Whether the times between frames, seconds [N], differ by more than containers round."""
    gaps = np.diff(times)
    return len(gaps) > 1 and bool(np.ptp(gaps) > _VARIES * np.median(gaps))


def _model_outlook(found: Scan, plan: SamplePlan, settings: Settings) -> ModelOutlook:
    """Raises ModelError where nothing is known of the model, ResourceError for the device."""
    from sharpv_cli.models.estimate import Request, kv_cache_bytes
    from sharpv_cli.models.known import known
    from sharpv_cli.models.memory_check import advice
    from sharpv_cli.models.placement import pick_dtype, place

    model = known(settings.model)
    target = place(settings.device)
    dtype = pick_dtype(settings.model.dtype, target.device)
    chunk = _chunk_of(model, len(plan), settings)
    width, height = found.shape.bounded(chunk or len(plan))
    request = Request(
        model=model,
        frames=len(plan),
        height=height,
        width=width,
        new_tokens=settings.generation.max_new_tokens,
        itemsize=dtype.itemsize,
        eager=settings.model.attention == "eager",
        one_memory=target.device.type != "cuda",
        at_once=chunk,
    )
    free = target.available_bytes()
    language = language_model(model.config, dtype.itemsize)
    slots, rows, columns = request.grid
    return ModelOutlook(
        id=model.id,
        family=model.family.model_type,
        source=model.source,
        dtype=str(dtype).removeprefix("torch."),
        device=settings.device if target.split else str(target.device),
        available_bytes=free,
        parameters=model.parameters,
        layers=language.layers,
        context=model.context,
        kv_bytes_per_token=kv_cache_bytes(language, 1),
        slots=slots,
        rows=rows,
        columns=columns,
        text_tokens=request.text,
        scenarios=tuple(scenarios(request, free)),
        advice=advice(request, free, adaptive=settings.visual.mode == "adaptive"),
        warnings=_context_warnings(model, request),
        chunk_frames=chunk,
    )


def _chunk_of(model: KnownModel, frames: int, settings: Settings) -> int | None:
    """How many frames would be encoded at a time, None for all."""
    if frames <= chunks.WHOLE_FRAMES or not chunks.in_chunks(model.family, settings.engine):
        return None
    return chunks.CHUNK_FRAMES


def scenarios(request: Request, free: int | None) -> list[MemoryScenario]:
    """All visual tokens first, or all that the context has room for, then what SharpV may keep of them."""
    from sharpv_cli.models.estimate import estimate

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
