"""How many visual tokens a clip makes, by arithmetic, against the real processors."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_families import RECIPES, inputs, loaded

from sharpv_cli.errors import ModelError
from sharpv_cli.models.families import FAMILIES

each = pytest.mark.parametrize("family", RECIPES)
SIZES = [(60, 90), (90, 60), (28, 28), (20, 100), (150, 260), (301, 211)]


def times(frames: int) -> tuple[float, ...]:
    return tuple(t / 2 for t in range(frames))


@each
@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_the_arithmetic_grid_is_what_the_processor_makes(family: str, frames: int) -> None:
    model = loaded(family)
    for height, width in SIZES:
        prompt = inputs(model, times=times(frames), height=height, width=width)
        layout = model.family.layout(model.model.config, prompt)

        grid = model.family.grid(model.model.config, model.processor.video_processor, frames, height, width)

        assert grid == (len(layout.slots), *layout.grid), (frames, height, width)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "video_llama_3"])
def test_shapes_are_kept_and_large_clips_cut_down(family: str) -> None:
    model = loaded(family)
    config, processor = model.model.config, model.processor.video_processor

    _, rows, columns = model.family.grid(config, processor, 4, 100, 200)
    assert columns > rows
    small, large = (math.prod(model.family.grid(config, processor, 16, side, side)) for side in (2000, 4000))
    assert small == large


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("frames", [5, 12])
def test_the_cap_of_pixels_a_frame_counts_where_a_processor_has_it(
    family: str, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(family)
    processor = model.processor.video_processor
    free = model.family.grid(model.model.config, processor, frames, 240, 240)
    monkeypatch.setattr(processor, "cap_pixels_per_frame", True, raising=False)
    monkeypatch.setattr(processor, "max_video_tokens", 3 if family == "qwen3_vl" else 100, raising=False)
    prompt = inputs(model, times=times(frames), height=240, width=240)

    capped = model.family.grid(model.model.config, processor, frames, 240, 240)

    layout = model.family.layout(model.model.config, prompt)
    assert capped == (len(layout.slots), *layout.grid)
    assert math.prod(capped) < math.prod(free)


@each
def test_tokens_that_do_not_fit_the_frames_are_refused_with_numbers(family: str) -> None:
    model = loaded(family)
    prompt = inputs(model)
    ids = prompt["input_ids"]
    visual = model.family.layout(model.model.config, prompt).slots[0, 0]
    prompt["input_ids"] = torch.cat([ids, ids[:, visual : visual + 1]], dim=1)

    with pytest.raises(ModelError, match=r"\d+ visual tokens, but \d+ frames of \d+ x \d+ make \d+"):
        model.family.layout(model.model.config, prompt)


def test_perception_lm_reads_its_patch_size_from_the_name_of_the_tower() -> None:
    model = loaded("perception_lm")
    config = type(model.model.config).from_dict(model.model.config.to_dict())
    config.vision_config.model_args = {}
    config.vision_config.architecture = "vit_pe_lang_large_patch14_448"

    assert model.family.grid(config, model.processor.video_processor, 2, 9, 9) == (2, 2, 2)

    config.vision_config.architecture = "eva"
    with pytest.raises(ModelError, match="patch size"):
        model.family.grid(config, model.processor.video_processor, 2, 9, 9)


@pytest.mark.parametrize(
    ("family", "vision", "own", "frame"),
    [
        ("llava_onevision", {"image_size": 384, "patch_size": 14}, {}, (14, 14)),
        ("llava_next_video", {"image_size": 336, "patch_size": 14}, {"spatial_pool_stride": 2}, (12, 12)),
        ("video_llava", {"image_size": 224, "patch_size": 14}, {}, (16, 16)),
        ("internvl", {"image_size": [448, 448], "patch_size": [14, 14]}, {"downsample_ratio": 0.5}, (16, 16)),
        ("smolvlm", {"image_size": 384, "patch_size": 14}, {"scale_factor": 3}, (9, 9)),
    ],
)
def test_the_published_checkpoints_have_the_tokens_a_frame_of_their_papers(
    family: str, vision: dict[str, object], own: dict[str, object], frame: tuple[int, int]
) -> None:
    model = loaded(family)
    config = type(model.model.config).from_dict(model.model.config.to_dict())
    for part, values in ((config.vision_config, vision), (config, own)):
        for name, value in values.items():
            setattr(part, name, value)

    assert FAMILIES[family].grid(config, model.processor.video_processor, 3, 720, 1280) == (3, *frame)
