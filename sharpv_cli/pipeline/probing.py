"""What an answer about a video would take, without a model's weights: the file, the frames, tokens and memory."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sharpv_cli.errors import ModelError
from sharpv_cli.models.apart import Frameworks
from sharpv_cli.pipeline.frames import sampling_of, scan
from sharpv_cli.pipeline.outlook import asks_frameworks, model_outlook
from sharpv_cli.types import ModelOutlook, Outlook, SamplePlan
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.subtitle_files import beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpv_cli.settings import SamplingSettings, Settings
    from sharpv_cli.video.local import FilePath
    from sharpv_cli.video.picture import Shape
    from sharpv_cli.video.timeline import Timeline

_VARIES = 0.2  # of the usual time between frames; below, it is the rounding of containers


def look(path: FilePath, settings: Settings) -> Outlook:
    """The outlook of a video on this machine. Raises VideoError, UsageError and, for the device, ResourceError.

    A model about which nothing is known is no error: the rest is found all the same.
    """
    from sharpv_cli.video.streams import streams

    with ExitStack() as ending:
        foretell = _foretelling(settings, ending)
        found = scan(path, settings)
        with IsolatedReader() as reader:
            its_streams = reader.read(path, streams)
        plan = plan_of(found.timeline, settings.sampling)
        try:
            model, model_error = foretell(found.shape, len(plan), settings), None
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
        subtitle_files=tuple(file.path for file in beside(path)),
        warnings=(*found.warnings, *plan.warnings, *(model.warnings if model else ())),
    )


def _foretelling(settings: Settings, ending: ExitStack) -> Callable[[Shape, int, Settings], ModelOutlook]:
    """`model_outlook`, in a process of its own where it would import what takes seconds and is not there yet."""
    with suppress(ModelError):  # which it raises itself
        if asks_frameworks(settings) and sys.modules.get("transformers") is None:
            return partial(ending.enter_context(Frameworks()).ask, model_outlook)
    return model_outlook


def plan_of(timeline: Timeline, sampling: SamplingSettings) -> SamplePlan:
    """The frames that the settings choose. Raises UsageError where start or end are not in the clip."""
    chosen = sampling_of(sampling).choose(timeline.times, timeline.end)
    times = timeline.times[list(chosen.indices)].tolist()
    return SamplePlan(sampling.strategy, chosen.indices, tuple(times), chosen.warnings)


def varies(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Whether the times between frames, seconds [N], differ by more than containers round."""
    gaps = np.diff(times)
    return len(gaps) > 1 and bool(np.ptp(gaps) > _VARIES * np.median(gaps))
