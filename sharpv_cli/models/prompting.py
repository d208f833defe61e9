"""From frames and a question to the model's inputs, by the checkpoint's own chat template and processor."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpv_cli.errors import UsageError, VideoError
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.runs import runs_read_once
from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo

if TYPE_CHECKING:
    from sharpv_cli.settings import PromptSettings

# Times go to the processor as counts of this: frame numbers of a clip with a million frames a second.
_TICKS_PER_SEC = 1_000_000


def build_inputs(
    loaded: LoadedModel,
    info: VideoInfo,
    sample: FrameSample,
    question: str,
    prompt: PromptSettings,
    *,
    on_device: bool = False,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """What the stock model's `forward` takes, on its device: input_ids int64 [1, N], pixels in its dtype, ...

    With `on_device` frames are resized on the model's device, in float where the CPU rounds to bytes in between:
    that differs by one level of 256 a resize, and by more only beside pixels that the CPU clips. `options` go to the
    processor beside those of the family. Raises UsageError when the question holds one of the model's own
    placeholders, VideoError when the processor does not take frames of this size.
    """
    images, metadata = sample.images, metadata_of(info, sample)
    if (missing := loaded.family.frames_per_slot - len(images)) > 0:
        # A temporal patch needs as many frames; not every processor doubles a single one.
        images = np.concatenate([images, images[-1:].repeat(missing, axis=0)])
        metadata["frames_indices"] += metadata["frames_indices"][-1:] * missing
    frames: NDArray[np.uint8] | Tensor = images
    if on_device:
        frames = torch.from_numpy(images).to(loaded.device, non_blocking=True).permute(0, 3, 1, 2)
        options = {"device": str(loaded.device), **options}
    inputs = processed(loaded, info, frames, metadata, render(loaded, question, prompt), options)
    return dict(inputs.to(loaded.device, loaded.model.dtype))


def processed(
    loaded: LoadedModel,
    info: VideoInfo,
    images: NDArray[np.uint8] | Tensor,
    metadata: Mapping[str, Any],
    text: str,
    options: Mapping[str, Any],
) -> Any:
    """The processor's output for one prompt and one video; VideoError where it refuses the shape.

    `images` are RGB [T, H, W, 3], or [T, 3, H, W] as a tensor on the device where they are made ready.
    """
    nested = loaded.family.nested_videos
    try:
        with runs_read_once(loaded.processor):
            return loaded.processor(
                text=[text],
                videos=[[images]] if nested else [images],
                video_metadata=[[metadata]] if nested else [metadata],
                do_sample_frames=False,
                input_data_format="channels_first" if isinstance(images, Tensor) else "channels_last",
                return_tensors="pt",
                **loaded.family.processor_options,
                **options,
            )
    except ValueError as error:
        raise VideoError(
            f"{info.path}: the model's processor refuses frames of {info.width} x {info.height}: {error}",
            hint="give a video of a more usual shape, or another model",
        ) from error


def render(loaded: LoadedModel, question: str, prompt: PromptSettings) -> str:
    """The text of the prompt by the checkpoint's chat template, with a placeholder where the video goes."""
    text: str = loaded.processor.apply_chat_template(
        conversation(loaded, question, prompt), add_generation_prompt=True
    )
    return text


def conversation(loaded: LoadedModel, question: str, prompt: PromptSettings) -> list[dict[str, Any]]:
    """The turns of the chat template: the system message if there is one, then video and question."""
    asked = question if prompt.suffix is None else f"{question}\n{prompt.suffix}"
    _refuse_placeholders(loaded, "question", asked)
    turns = []
    if prompt.system is not None:
        _refuse_placeholders(loaded, "system prompt", prompt.system)
        turns.append({"role": "system", "content": [{"type": "text", "text": prompt.system}]})
    turns.append({"role": "user", "content": [{"type": "video"}, {"type": "text", "text": asked}]})
    return turns


def _refuse_placeholders(loaded: LoadedModel, what: str, text: str) -> None:
    """A placeholder in the text would be taken for a second video, or for the frame of one."""
    for placeholder in _placeholders(loaded):
        if placeholder in text:
            raise UsageError(
                f"the {what} holds {placeholder!r}, which the model reads as a place for pictures",
                hint="write it in another way",
            )


def _placeholders(loaded: LoadedModel) -> list[str]:
    """Words that stand for pictures, or around them: those of the processor, and of the family."""
    own = [value for name, value in vars(loaded.processor).items() if name.endswith("_token")]
    return sorted({word for word in own if isinstance(word, str) and word} | set(loaded.family.markers))


def metadata_of(info: VideoInfo, sample: FrameSample | SamplePlan) -> dict[str, Any]:
    """What the processor makes timestamps and the time between frames from.

    It takes a frame's time for number / fps, which an average rate would get wrong where the rate varies. So
    frames are numbered by the clock. `total_num_frames` only serves to tell the time between two sampled
    frames, fps / (sampled / total): the mean one.
    """
    stamps = sample.timestamps_sec
    duration = info.duration_sec or stamps[-1]
    step = (stamps[-1] - stamps[0]) / (len(stamps) - 1) if len(stamps) > 1 else duration or 1.0
    return {
        "total_num_frames": max(1, round(step * len(stamps) * _TICKS_PER_SEC)),
        "fps": float(_TICKS_PER_SEC),
        "duration": duration,
        "frames_indices": [round(stamp * _TICKS_PER_SEC) for stamp in stamps],
        "width": info.width,
        "height": info.height,
        "video_backend": "pyav",
    }
