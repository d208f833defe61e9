"""From frames and a question to the model's inputs, by the checkpoint's own chat template and processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from sharpv_cli.errors import UsageError
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.types import FrameSample, VideoInfo

if TYPE_CHECKING:
    from sharpv_cli.settings import PromptSettings


def build_inputs(
    loaded: LoadedModel, info: VideoInfo, sample: FrameSample, question: str, prompt: PromptSettings
) -> dict[str, Tensor]:
    """What the stock model's `forward` takes, on its device: input_ids int64 [1, N], pixels in its dtype, ...

    Raises UsageError when the question holds one of the model's own placeholders.
    """
    inputs = loaded.processor(
        text=[render(loaded, question, prompt)],
        videos=[sample.images],
        video_metadata=[_metadata(info, sample)],
        do_sample_frames=False,
        input_data_format="channels_last",
        return_tensors="pt",
    )
    return dict(inputs.to(loaded.device, loaded.model.dtype))


def render(loaded: LoadedModel, question: str, prompt: PromptSettings) -> str:
    """The text of the prompt by the checkpoint's chat template, with a placeholder where the video goes."""
    text: str = loaded.processor.apply_chat_template(
        conversation(loaded, question, prompt), add_generation_prompt=True
    )
    return text


def conversation(loaded: LoadedModel, question: str, prompt: PromptSettings) -> list[dict[str, Any]]:
    """The turns of the chat template: the system message if there is one, then video and question."""
    asked = question if prompt.suffix is None else f"{question}\n{prompt.suffix}"
    _refuse_placeholders(loaded.processor, "question", asked)
    turns = []
    if prompt.system is not None:
        _refuse_placeholders(loaded.processor, "system prompt", prompt.system)
        turns.append({"role": "system", "content": [{"type": "text", "text": prompt.system}]})
    turns.append({"role": "user", "content": [{"type": "video"}, {"type": "text", "text": asked}]})
    return turns


def _refuse_placeholders(processor: Any, what: str, text: str) -> None:
    """A placeholder in the text would be taken for a second video."""
    for name in ("video_token", "image_token"):
        placeholder = getattr(processor, name, None)
        if placeholder and placeholder in text:
            raise UsageError(
                f"the {what} holds {placeholder!r}, which the model reads as a place for pictures",
                hint="write it in another way",
            )


def _metadata(info: VideoInfo, sample: FrameSample) -> dict[str, Any]:
    """True figures: families that print timestamps compute them from these, and assume 24 fps without."""
    duration = info.duration_sec or sample.timestamps_sec[-1]
    return {
        "total_num_frames": info.frames_total,
        "fps": info.fps or (info.frames_total / duration if duration else 1.0),
        "duration": duration,
        "frames_indices": list(sample.indices),
        "width": info.width,
        "height": info.height,
        "video_backend": "pyav",
    }
