"""Prompts without their pictures: processors make text from shapes, and the shapes of one video serve every question.

The stock processor runs with something else in the place of its video processor: what that made of the video before,
without the pixels; or, of a long clip, what follows from one black frame and two: what grows from the one to the other
grows with each frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature
from transformers.video_utils import VideoMetadata

from sharpv_cli.models.blame import Using
from sharpv_cli.models.chat import render
from sharpv_cli.models.families import FrameLayout
from sharpv_cli.models.prompting import frame_inputs, metadata_of, processed, whole_slots
from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo

if TYPE_CHECKING:
    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.settings import PromptSettings

# Their video processors share one number of pixels among all frames of a clip.
_SHARED_PIXELS = {"video_llama_3"}

# Their processors copy pixels, which takes memory for tensors with numbers; others want numbers, for NumPy.
_COPIED_PIXELS = {"internvl"}

_METADATA = "video_metadata"

Instead = Callable[..., Any]
"""What is called with the real video processor, and what that would be called with."""

Blank = Callable[[tuple[int, ...], torch.dtype], Tensor]
"""A tensor of a shape, without the memory for its numbers."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The `text` of a whole prompt, its tokens, `ids` int64 [1, N], and where the visual ones are; on the host."""

    text: str
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
    def text_within(self) -> int:
        """Tokens between the first visual one and the last that are none themselves: those that every question has."""
        slots = self.layout.slots
        return int(slots.max()) + 1 - int(slots.min()) - slots.numel()


@dataclass(frozen=True, slots=True)
class Made:
    """What a video processor made of a video, but for its pixels, of which there are `shapes` and number formats.

    `metadata` is what it says of the video itself, where it does.
    """

    shapes: Mapping[str, tuple[tuple[int, ...], str]]
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Wordings:
    """The wording of any question about one video, by the processor's own means. Raises what `build_inputs` raises."""

    loaded: LoadedModel
    info: VideoInfo
    frames: FrameSample | SamplePlan
    size: tuple[int, int]
    prompt: PromptSettings
    instead: Instead

    def of(self, question: str) -> Wording:
        text = render(self.loaded, question, self.prompt)
        black = np.zeros((2, *self.size, 3), np.uint8)  # of no account, but for their size
        images, metadata = whole_slots(self.loaded, black, metadata_of(self.info, self.frames))
        with _called_instead(self.loaded, self.instead):
            inputs = processed(self.loaded, self.info, images, metadata, text, {})
        return Wording(text, inputs["input_ids"], self.loaded.family.layout(self.loaded.model.config, inputs))

    @property
    def is_long(self) -> bool:
        """Whether they are made of two frames."""
        return isinstance(self.instead, _Grown)

    @property
    def made(self) -> Made | None:
        """What they are made of otherwise; None where that cannot be written down."""
        return self.instead.made if isinstance(self.instead, _Noted) else None


def wordings_of_long(
    loaded: LoadedModel,
    info: VideoInfo,
    plan: SamplePlan | FrameSample,
    size: tuple[int, int],
    prompt: PromptSettings,
) -> Wordings:
    """Of a clip of frames of `size` (height, width), as the processor makes them of all frames."""
    with Using("video processor's size", loaded.info.id):
        sized = {n: chunk_options(loaded, n, len(plan)) for n in (1, 2)}
    return Wordings(loaded, info, plan, size, prompt, _Grown(len(plan), sized, _blanks(loaded)))


def wordings_made(
    loaded: LoadedModel, info: VideoInfo, sample: FrameSample, prompt: PromptSettings, made: Made
) -> Wordings:
    """As `inputs_and_wordings` gives them of a video, of which there is no more than what was `made`."""
    return Wordings(loaded, info, sample, sample.size, prompt, _Noted.of(made, _blanks(loaded)))


def is_metadata(told: Mapping[str, Any] | None) -> bool:
    """Whether it is what a video processor may say of a video."""
    return told is None or {"total_num_frames"} <= {*told} <= {field.name for field in fields(VideoMetadata)}


def inputs_and_wordings(
    loaded: LoadedModel,
    info: VideoInfo,
    sample: FrameSample,
    question: str,
    prompt: PromptSettings,
    *,
    on_device: bool = False,
) -> tuple[dict[str, Tensor], Wordings]:
    """What `build_inputs` gives for a first question, and the wordings of others."""
    made = _Noted(_blanks(loaded))
    text = render(loaded, question, prompt)
    with _called_instead(loaded, made.note):
        inputs = frame_inputs(loaded, info, sample, text, on_device=on_device)
    return inputs, Wordings(loaded, info, sample, sample.size, prompt, made)


def chunk_options(loaded: LoadedModel, frames: int, of: int) -> dict[str, Any]:
    """What the processor needs to be told to treat `frames` as frames of a clip `of` so many."""
    if loaded.family.model_type not in _SHARED_PIXELS:
        return {}
    size = loaded.processor.video_processor.size
    least, most = (int(size[edge]) for edge in ("shortest_edge", "longest_edge"))
    return {"size": {"shortest_edge": least, "longest_edge": most // of * frames}}


@contextmanager
def _called_instead(loaded: LoadedModel, call: Instead) -> Iterator[None]:
    real = loaded.processor.video_processor
    loaded.processor.video_processor = _VideoProcessor(real, call)
    try:
        yield
    finally:
        loaded.processor.video_processor = real


class _VideoProcessor:
    """The real one in all but what it does when it is called."""

    def __init__(self, real: Any, call: Instead) -> None:
        self._real, self._call = real, call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __call__(self, videos: Any, **options: Any) -> Any:
        return self._call(self._real, videos, **options)


class _Noted:
    """What a video processor made of a video: noted, and given again without its pixels."""

    def __init__(self, blank: Blank) -> None:
        self._blank = blank
        self._values: dict[str, Any] = {}

    @classmethod
    def of(cls, made: Made, blank: Blank) -> _Noted:
        noted = cls(blank)
        shaped = {name: blank(shape, getattr(torch, dtype)) for name, (shape, dtype) in made.shapes.items()}
        noted._values = {**shaped, **made.tensors}
        if made.metadata is not None:
            noted._values[_METADATA] = [VideoMetadata(**made.metadata)]
        return noted

    @property
    def made(self) -> Made | None:
        values = dict(self._values)
        metadata = values.pop(_METADATA, None)
        if not all(isinstance(value, Tensor) for value in values.values()):
            return None
        pixels = {name for name, value in values.items() if _has_pixels(value)}
        return Made(
            {
                name: (tuple(values[name].shape), str(values[name].dtype).removeprefix("torch."))
                for name in pixels
            },
            {name: value for name, value in values.items() if name not in pixels},
            None if metadata is None else asdict(metadata[0]),
        )

    def note(self, real: Any, videos: Any, **options: Any) -> Any:
        made = real(videos, **options)
        self._values = {
            name: self._blank(value.shape, value.dtype) if _has_pixels(value) else value
            for name, value in made.items()
        }
        return made

    def __call__(self, *_: Any, **_options: Any) -> Any:
        return BatchFeature(dict(self._values))


class _Grown:
    """What a video processor would make of `frames`, made of two."""

    def __init__(self, frames: int, sized: Mapping[int, Mapping[str, Any]], blank: Blank) -> None:
        self._frames, self._sized, self._blank = frames, sized, blank

    def __call__(self, real: Any, videos: Any, **options: Any) -> Any:
        one, two = (real(_first(videos, n), **{**options, **self._sized[n]}) for n in (1, 2))
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
        if _has_pixels(two):
            return self._blank((*two.shape[:dim], first + more * each, *two.shape[dim + 1 :]), two.dtype)
        return torch.cat([one, *[two.narrow(dim, first, each)] * more], dim)


def _first(videos: Any, frames: int) -> Any:
    """Of one video, which may be nested in lists."""
    return [_first(videos[0], frames)] if isinstance(videos, list) else videos[:frames]


def _has_pixels(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.ndim > 3)


def _blanks(loaded: LoadedModel) -> Blank:
    return _shape_only if loaded.family.model_type in _COPIED_PIXELS else _one_number


def _shape_only(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _one_number(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros((), dtype=dtype).expand(shape)
