"""A prompt made without pictures is the one that the processor makes of all of them, in memory for two."""

from __future__ import annotations

import pytest
import tiny_families
import torch
from live_bytes import LiveBytes

from sharpv_cli.errors import ModelError
from sharpv_cli.models.chat import render
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.prompting import build_inputs, frame_inputs
from sharpv_cli.models.runs import runs_read_once
from sharpv_cli.models.wording import chunk_options, wordings_of_long
from sharpv_cli.settings import PromptSettings
from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo

ONE_D = [name for name, family in FAMILIES.items() if family.positions == "1d"]
TIMES = {
    "even": tuple(t / 2 for t in range(9)),
    "uneven": (0.0, 0.4, 3.7, 61.2, 61.3, 125.0),
    "one": (2.5,),
    "two": (0.0, 7.0),
}


def plan_of(sample: FrameSample) -> SamplePlan:
    return SamplePlan(sample.strategy, sample.indices, sample.timestamps_sec)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("family", ONE_D)
def test_tokens_and_slots_are_those_of_the_whole_clip(family: str, times: str) -> None:
    model = tiny_families.loaded(family)
    info, sample = tiny_families.clip(TIMES[times])
    real = model.processor.video_processor
    for question in ("What is shown?", "Ünd jetzt 🙂?"):
        inputs = build_inputs(model, info, sample, question, PromptSettings(system="Be brief."))
        want = model.family.layout(model.model.config, inputs)

        got = wordings_of_long(
            model, info, plan_of(sample), sample.size, PromptSettings(system="Be brief.")
        ).of(question)

        assert torch.equal(got.ids, inputs["input_ids"])
        assert torch.equal(got.layout.slots, want.slots)
        assert got.layout.grid == want.grid
    assert model.processor.video_processor is real


@pytest.mark.parametrize("family", ONE_D)
def test_a_chunk_is_prepared_as_in_its_clip(family: str) -> None:
    model = tiny_families.loaded(family)
    info, sample = tiny_families.clip(tuple(t / 2 for t in range(40)), height=300, width=400)
    part = FrameSample(
        sample.strategy, sample.images[10:13], sample.indices[10:13], sample.timestamps_sec[10:13]
    )
    (name,) = {"pixel_values", "pixel_values_videos"} & set(
        whole := build_inputs(model, info, sample, "?", PromptSettings())
    )
    text = render(model, "?", PromptSettings())
    chunk = frame_inputs(model, info, part, text, options=chunk_options(model, 3, 40))
    grid = (model.family.layout(model.model.config, inputs).grid for inputs in (whole, chunk))
    assert len(set(grid)) == 1
    frames = _by_frame(whole[name], 40), _by_frame(chunk[name], 3)
    assert torch.equal(frames[0][10:13], frames[1])


def _by_frame(pixels: torch.Tensor, frames: int) -> torch.Tensor:
    return pixels.reshape(frames, -1)


@pytest.mark.parametrize("family", ONE_D)
def test_it_takes_no_memory_for_pictures(family: str) -> None:
    model = tiny_families.loaded(family)
    times = tuple(float(t) for t in range(1000))
    info = VideoInfo("clip.mp4", "mp4", "h264", 90, 60, 0, 1.0, 1000.0, 1000)
    with LiveBytes() as live:
        plan = SamplePlan("fps", tuple(range(1000)), times)
        got = wordings_of_long(model, info, plan, (60, 90), PromptSettings()).of("?")
    assert len(got.layout.slots) == 1000
    assert live.peak < 64 * got.ids.numel() + 2_000_000


def test_the_video_processor_comes_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_families.loaded("llava_onevision")
    real = model.processor.video_processor
    monkeypatch.setattr(type(real), "__call__", lambda *_, **__: 1 / 0)
    info, sample = tiny_families.clip()
    with pytest.raises(ModelError, match="division by zero"):
        wordings_of_long(model, info, plan_of(sample), sample.size, PromptSettings()).of("?")
    assert model.processor.video_processor is real


def test_runs_of_any_length_are_read_as_the_tokenizer_reads_them() -> None:
    """A run is matched 64 placeholders at a time, which no border of them may show."""
    processor = tiny_families.loaded("llava_onevision").processor
    video, image = processor.video_token, processor.image_token
    for length in (1, 2, 63, 64, 65, 127, 128, 129, 640):
        text = [f"a{video * length} b {image * 3}{video * length}?"]
        want = processor.tokenizer(text)["input_ids"]
        with runs_read_once(processor):
            assert processor.tokenizer(text)["input_ids"] == want, length
