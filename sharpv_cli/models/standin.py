"""A long clip's prompt without its pictures: processors make text from shapes, and shapes are arithmetic.

The stock processor runs with a stand-in for its video processor. That runs the real one on one black frame and on
two: what grows from the one to the other grows with each frame, in tensors that hold no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sharpv_cli.models.families import FrameLayout
from sharpv_cli.models.prompting import metadata_of, processed, render
from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo

if TYPE_CHECKING:
    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.settings import PromptSettings

# Their video processors share one number of pixels among all frames of a clip.
_SHARED_PIXELS = {"video_llama_3"}


@dataclass(frozen=True, slots=True)
class Wording:
    """The tokens of a whole prompt, `ids` int64 [1, N], and where the visual ones are; on the host."""

    ids: Tensor
    layout: FrameLayout

    @property
    def placeholder(self) -> int:
        """The token that stands where frames put something into the prompt."""
        return int(self.ids[0, self.layout.slots[0, 0]])

    @property
    def placeholders(self) -> Tensor:
        """Where it stands, in slots and elsewhere: bool [N]."""
        return self.ids[0] == self.placeholder

    @property
    def text_before_tail(self) -> int:
        """Tokens up to the last visual one that are none themselves: those that every question has."""
        slots = self.layout.slots
        return int(slots.max()) + 1 - slots.numel()


def wording(
    loaded: LoadedModel,
    info: VideoInfo,
    plan: SamplePlan | FrameSample,
    size: tuple[int, int],
    question: str,
    prompt: PromptSettings,
) -> Wording:
    """The prompt of a clip of frames of `size` (height, width), as the processor makes it of all of them.

    Raises what `build_inputs` raises.
    """
    text = render(loaded, question, prompt)
    try:
        inputs = _inputs(loaded, info, plan, size, text, _shape_only)
    except NotImplementedError:  # some look at shapes through NumPy, which tensors without memory refuse
        inputs = _inputs(loaded, info, plan, size, text, _one_number)
    return Wording(inputs["input_ids"], loaded.family.layout(loaded.model.config, inputs))


def chunk_options(loaded: LoadedModel, frames: int, of: int) -> dict[str, Any]:
    """What the processor needs to be told to treat `frames` as frames of a clip `of` so many."""
    if loaded.family.model_type not in _SHARED_PIXELS:
        return {}
    size = loaded.processor.video_processor.size
    least, most = (int(size[edge]) for edge in ("shortest_edge", "longest_edge"))
    return {"size": {"shortest_edge": least, "longest_edge": most // of * frames}}


def _inputs(
    loaded: LoadedModel,
    info: VideoInfo,
    plan: SamplePlan | FrameSample,
    size: tuple[int, int],
    text: str,
    blank: Any,
) -> dict[str, Any]:
    two = np.zeros((2, *size, 3), np.uint8)
    with _standing_in(loaded, len(plan), blank):
        return dict(processed(loaded, info, two, metadata_of(info, plan), text, {}))


@contextmanager
def _standing_in(loaded: LoadedModel, frames: int, blank: Any) -> Iterator[None]:
    real = loaded.processor.video_processor
    sized = {n: chunk_options(loaded, n, frames) for n in (1, 2)}
    loaded.processor.video_processor = _StandIn(real, frames, sized, blank)
    try:
        yield
    finally:
        loaded.processor.video_processor = real


class _StandIn:
    """A video processor that is given two frames, and gives what the real one would of `frames`."""

    def __init__(self, real: Any, frames: int, sized: Mapping[int, Mapping[str, Any]], blank: Any) -> None:
        self._real, self._frames, self._sized, self._blank = real, frames, sized, blank

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __call__(self, videos: Any, **options: Any) -> Any:
        one, two = (self._real(_first(videos, n), **{**options, **self._sized[n]}) for n in (1, 2))
        for name, value in two.items():
            if isinstance(value, Tensor):
                two[name] = self._grown(one[name], value)
        return two

    def _grown(self, one: Tensor, two: Tensor) -> Tensor:
        """What has the value, or the size, `one` of one frame and `two` of two."""
        more = self._frames - 1
        growing = [dim for dim in range(two.ndim) if one.shape[dim] != two.shape[dim]]
        if not growing:
            return two if two.dtype == torch.bool else one + more * (two - one)
        (dim,) = growing
        first, each = one.shape[dim], two.shape[dim] - one.shape[dim]
        if two.is_floating_point() or two.ndim > 3:
            shape = (*two.shape[:dim], first + more * each, *two.shape[dim + 1 :])
            return self._blank(shape, two.dtype)  # type: ignore[no-any-return]
        return torch.cat([one, *[two.narrow(dim, first, each)] * more], dim)


def _first(videos: Any, frames: int) -> Any:
    """Of one video, which may be nested in lists."""
    return [_first(videos[0], frames)] if isinstance(videos, list) else videos[:frames]


def _shape_only(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _one_number(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros((), dtype=dtype).expand(shape)
