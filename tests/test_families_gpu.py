"""Every family on a CUDA device: equal to the CPU in float32, sound in bfloat16, and flash-attn against SDPA."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cuda_models import on_cuda, to_cuda, where_installed
from events import answer
from narrow_models import NARROW
from tiny_families import QUESTION, RECIPES, clip, folder, inputs, loaded

from sharpv_cli.benchmarks.random_checkpoint import write_random_checkpoint
from sharpv_cli.engine.factory import Wanted, make_engine
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.models.attention import why_no_flash
from sharpv_cli.models.capture import Prompt, VisualPrompt, capture
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.models.tower import quick_tower
from sharpv_cli.pruning.visual import score, select_adaptive
from sharpv_cli.session import Session
from sharpv_cli.settings import PromptSettings, Settings
from sharpv_cli.types import Answer, Finished

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
NEW = 12


each = pytest.mark.parametrize("family", [where_installed(name) for name in RECIPES])


@cache
def captured(family: str) -> VisualPrompt:
    model = loaded(family)
    return capture(model.model, inputs(model), model.family)


def pruned(whole: VisualPrompt) -> Prompt:
    return whole.prune(select_adaptive(score(whole.features)))


@each
@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_reading_and_decoding_in_float32_are_those_of_the_cpu(family: str, engine: Wanted) -> None:
    prompt, model = pruned(captured(family)), loaded(family).model
    free = ReferenceEngine(model).prefill(prompt, m=0.0)
    low, high = sorted(value for value in free.similarities if value is not None)[:2]
    m = (low + high) / 2  # far from both, so that exactly one layer discards on either device
    here = ReferenceEngine(model).prefill(prompt, m=m)
    cuda = make_engine(on_cuda(folder(family), "float32"), engine)

    there = cuda.prefill(to_cuda(prompt), m=m)

    assert high - low > 1e-3
    assert there.similarities == pytest.approx(here.similarities, abs=1e-4)
    assert there.discarded == here.discarded
    assert len(here.discarded) == 1
    assert there.cache.lengths == here.cache.lengths
    ids = list(ReferenceEngine(model).decode(here, max_new_tokens=NEW, stop_ids=()))
    assert list(cuda.decode(there, max_new_tokens=NEW, stop_ids=())) == ids


@each
def test_the_front_end_hands_on_what_it_does_on_the_cpu(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # on for convolutions unless told
    model = on_cuda(folder(family), "float32")

    whole = capture(model.model, inputs(model), model.family)

    here = captured(family)
    assert torch.equal(whole.slots.cpu(), here.slots)
    assert torch.equal(whole.position_ids.cpu(), here.position_ids)
    torch.testing.assert_close(whole.embeds.cpu(), here.embeds, rtol=0, atol=2e-4 * here.embeds.abs().max())


def answered(model: LoadedModel, **groups: Any) -> Answer:
    settings = Settings.model_validate({"generation": {"max_new_tokens": NEW}} | groups)
    last = list(answer(Session.of(model, settings.engine), *clip(), QUESTION, settings))[-1]
    assert isinstance(last, Finished)
    return last.answer


@each
def test_smooth_frames_made_ready_on_the_device_differ_by_a_level_a_resize(family: str) -> None:
    model, (info, sample) = on_cuda(folder(family), "float32"), clip()
    height, width = sample.size
    rows, columns = np.mgrid[:height, :width]
    waves = (128 + 60 * np.sin(columns / 9) * np.cos(rows / 7)).astype(np.uint8)
    smooth = replace(sample, images=np.repeat(np.stack([waves] * len(sample))[..., None], 3, axis=-1))
    here = build_inputs(model, info, smooth, QUESTION, PromptSettings())

    there = build_inputs(model, info, smooth, QUESTION, PromptSettings(), on_device=True)

    assert here.keys() == there.keys()
    pixels = [name for name in here if name.startswith("pixel_values")]
    assert pixels
    for name in here.keys() - set(pixels):
        assert torch.equal(here[name], there[name]), name
    level = (2.01 if family == "smolvlm" else 1.01) / 255 / min(model.processor.video_processor.image_std)
    for name in pixels:
        assert (here[name] - there[name]).abs().max() <= level


@each
def test_better_memory_layouts_leave_the_front_ends_output_as_it_is(family: str) -> None:
    model = on_cuda(folder(family), "float32")
    plain = capture(model.model, inputs(model), model.family)

    with quick_tower(model.model):
        quick = capture(model.model, inputs(model), model.family)

    torch.testing.assert_close(quick.embeds, plain.embeds, rtol=0, atol=1e-5 * plain.embeds.abs().max())


@each
@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_an_answer_in_bfloat16_is_sound(family: str, engine: str) -> None:
    result = answered(on_cuda(folder(family), "auto"), engine=engine)

    assert result.engine == engine
    assert result.model.dtype == "bfloat16"
    assert 0 < result.visual_kept < result.visual_total
    assert all(layer.similarity is not None and -1 <= layer.similarity <= 1.01 for layer in result.layers)
    assert result.memory.kv_bytes < result.memory.kv_dense_bytes
    assert result.memory.weights_bytes < result.memory.peak_bytes


# Head size 64, which every build of flash-attn has; the vocabulary is cheap to write with.
FLASH = {
    profile: {
        **NARROW[profile],
        "text_config": NARROW[profile]["text_config"]
        | {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}
        | rope,
        "vision_config": NARROW[profile]["vision_config"] | tower,
    }
    for profile, rope, tower in (
        ("llava-ov-7b", {}, {}),
        ("llava-next-video-7b", {}, {}),
        (
            "qwen2.5-vl-7b",
            {
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 1e6,
                    "mrope_section": [8, 12, 12],
                }
            },
            {"out_hidden_size": 256},
        ),
    )
}


@cache
def narrow(profile: str) -> Path:
    place = Path(tempfile.mkdtemp(prefix="sharpv-gpu-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    write_random_checkpoint(profile, place, changes=FLASH[profile])
    return place


@pytest.fixture
def flash() -> None:
    obstacle = why_no_flash(torch.device("cuda"), torch.bfloat16, 64)
    if obstacle:
        pytest.skip(obstacle)


@pytest.mark.usefixtures("flash")
@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("profile", FLASH)
def test_flash_keeps_the_same_tokens_as_sdpa(profile: str, engine: str) -> None:
    """Vision towers stay on SDPA, so what is kept is equal to the last token; only the answer may differ."""
    sdpa, flash = (on_cuda(narrow(profile), "bfloat16", attention) for attention in ("sdpa", "flash"))
    assert (sdpa.info.attention, flash.info.attention) == ("sdpa", "flash")

    one, other = answered(sdpa, engine=engine), answered(flash, engine=engine)

    assert (one.keep == other.keep).all()
    assert one.visual_kept < one.visual_total
    assert [layer.similarity for layer in other.layers] == pytest.approx(
        [layer.similarity for layer in one.layers], abs=0.02
    )


@pytest.mark.usefixtures("flash")
@pytest.mark.parametrize("profile", FLASH)
def test_flash_errs_no_more_than_sdpa_in_the_prefill_and_from_a_cache_with_discarded_layers(
    profile: str,
) -> None:
    """Against float32, on the same prompt: positions with gaps, and caches of two lengths."""
    sdpa = on_cuda(narrow(profile), "bfloat16")
    prompt = pruned(capture(sdpa.model, inputs(sdpa), sdpa.family))
    exact = replace(prompt, embeds=prompt.embeds.float())
    reference = on_cuda(narrow(profile), "float32").model
    start = ReferenceEngine(reference).prefill(exact, m=0.0)
    values = sorted(value for value in start.similarities if value is not None)
    low, high = max(pairwise(values), key=lambda pair: pair[1] - pair[0])
    assert high - low > 0.04  # half of it is more than bfloat16 moves a similarity
    want = _two_steps(reference, exact, (low + high) / 2, start.logits)

    errors = {}
    for attention in ("sdpa", "flash"):
        model = on_cuda(narrow(profile), "bfloat16", attention).model
        got = _two_steps(model, prompt, (low + high) / 2, start.logits)
        errors[attention] = ((got - want).norm(dim=-1) / want.norm(dim=-1)).tolist()

    assert all(flash <= 2 * own for flash, own in zip(errors["flash"], errors["sdpa"], strict=True)), errors
    assert max(errors["sdpa"]) < 0.3, errors


def _two_steps(model: Any, prompt: Prompt, m: float, choose: torch.Tensor) -> torch.Tensor:
    """Logits of the prefill and of the step after the token that `choose` chooses, float32 [2, vocabulary]."""
    read = ReferenceEngine(model).prefill(prompt, m=m)
    assert len(set(read.cache.lengths)) == 2
    rows: list[torch.Tensor] = []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda _module, _args, output: rows.append(output[0, -1].float())
    )
    list(ReferenceEngine(model).decode(replace(read, logits=choose), max_new_tokens=2, stop_ids=()))
    hook.remove()
    return torch.stack([read.logits[0], *rows])
