"""From frames and the text of a prompt to the model's inputs, by the checkpoint's own processor."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpv_cli.errors import ModelError, VideoError
from sharpv_cli.models.blame import OTHER_SHAPE, USUAL_SIZE, Using, first_sentence
from sharpv_cli.models.chat import render
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.runs import runs_read_once
from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo

if TYPE_CHECKING:
    from sharpv_cli.settings import PromptSettings

# Times go to the processor as counts of this: frame numbers of a clip with a million frames a second.
_TICKS_PER_SEC = 1_000_000
_BEGINNING = 100  # characters: more than any token has


def build_inputs(
    loaded: LoadedModel,
    info: VideoInfo,
    sample: FrameSample,
    question: str,
    prompt: PromptSettings,
    *,
    on_device: bool = False,
) -> dict[str, Tensor]:
    """What the stock model's `forward` takes for a question. Raises what `render` and `frame_inputs` raise."""
    return frame_inputs(loaded, info, sample, render(loaded, question, prompt), on_device=on_device)


def frame_inputs(
    loaded: LoadedModel,
    info: VideoInfo,
    sample: FrameSample,
    text: str,
    *,
    on_device: bool = False,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """What the stock model's `forward` takes, on its device: input_ids int64 [1, N], pixels in its dtype, ...

    `text` is a rendered prompt. With `on_device` frames are resized on the model's device, in float where the CPU
    rounds to bytes in between: that differs by one level of 256 a resize, and by more only beside pixels that the CPU
    clips. `options` go to the processor beside those of the family. Raises what `processed` raises.
    """
    images, metadata = whole_slots(loaded, sample.images, metadata_of(info, sample))
    frames: NDArray[np.uint8] | Tensor = images
    if on_device:
        frames = torch.from_numpy(images).to(loaded.device, non_blocking=True).permute(0, 3, 1, 2)
        options = {"device": str(loaded.device), **options}
    inputs = processed(loaded, info, frames, metadata, text, options)
    return dict(inputs.to(loaded.device, loaded.model.dtype))


def whole_slots(
    loaded: LoadedModel, images: NDArray[np.uint8], metadata: dict[str, Any]
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """A temporal patch needs as many frames as it has; not every processor doubles a single one."""
    missing = loaded.family.frames_per_slot - len(metadata["frames_indices"])
    if missing <= 0:
        return images, metadata
    indices = metadata["frames_indices"]
    whole = np.concatenate([images, images[-1:].repeat(missing, axis=0)])
    return whole, {**metadata, "frames_indices": indices + indices[-1:] * missing}


def processed(
    loaded: LoadedModel,
    info: VideoInfo,
    images: NDArray[np.uint8] | Tensor,
    metadata: Mapping[str, Any],
    text: str,
    options: Mapping[str, Any],
) -> Any:
    """The processor's output for one prompt and one video.

    `images` are RGB [T, H, W, 3], or [T, 3, H, W] as a tensor on the device where they are made ready. Raises
    VideoError where it refuses these frames, ModelError where it would refuse usual ones, too.
    """
    options = {**_text_options(loaded, text), **loaded.family.processor_options, **options}
    try:
        return _call(loaded, images, metadata, text, options)
    except ModelError as error:
        # The same number of frames, of the shape that most have.
        usual = np.zeros((len(images), *USUAL_SIZE, 3), np.uint8)
        _call(loaded, usual, metadata, text, {name: options[name] for name in options if name != "device"})
        raise VideoError(
            f"{info.path}: the model's processor refuses frames of {info.width} x {info.height}: "
            f"{first_sentence(error.__cause__ or error)}",
            hint=OTHER_SHAPE,
        ) from error


def _call(
    loaded: LoadedModel,
    images: NDArray[np.uint8] | Tensor,
    metadata: Mapping[str, Any],
    text: str,
    options: Mapping[str, Any],
) -> Any:
    nested = loaded.family.nested_videos
    with (
        Using("processor", loaded.info.id),
        runs_read_once(loaded.processor),
    ):
        return loaded.processor(
            text=[text],
            videos=[[images]] if nested else [images],
            video_metadata=[[metadata]] if nested else [metadata],
            do_sample_frames=False,
            input_data_format="channels_first" if isinstance(images, Tensor) else "channels_last",
            return_tensors="pt",
            **options,
        )


def _text_options(loaded: LoadedModel, text: str) -> dict[str, Any]:
    """How the text becomes tokens: as `apply_chat_template(tokenize=True)` does it, and to its end.

    Tokenizer and template may both write special tokens at the beginning. Whether the tokenizer's are then left out is
    asked of `apply_chat_template` itself, with the beginning of the text. Truncation and padding that were saved with a
    tokenizer are nothing that a prompt wants.
    """
    options: dict[str, Any] = {"truncation": False, "padding": False}
    tokenizer = loaded.tokenizer
    with Using("tokenizer", loaded.info.id):
        if not tokenizer("", **options)["input_ids"]:
            return options
        beginning = text.partition(loaded.processor.video_token)[0][:_BEGINNING]
        (told,) = loaded.processor.apply_chat_template(
            [{"role": "user", "content": ""}],
            chat_template="{{ beginning }}",
            beginning=beginning,
            tokenize=True,
            processor_kwargs=dict(options),
        )
        bare = tokenizer(beginning, add_special_tokens=False, **options)["input_ids"]
    return options | ({"add_special_tokens": False} if list(told) == bare else {})


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
