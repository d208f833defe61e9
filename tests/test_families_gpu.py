"""Every family on a CUDA device: equal to the CPU in float32, sound in bfloat16, and flash-attn against SDPA."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from test_engine_gpu import to_cuda
from test_random_checkpoint import NARROW
from tiny_families import QUESTION, RECIPES, clip, folder, inputs, loaded
from tiny_model import recorded_logits

from sharpv_cli.engine.decode import decode, prefill
from sharpv_cli.evaluation.random_checkpoint import write_random_checkpoint
from sharpv_cli.models.attention import why_no_flash
from sharpv_cli.models.door import Prompt, VisualPrompt, capture
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.pipeline.answering import answer
from sharpv_cli.pruning.visual import score, select_adaptive
from sharpv_cli.settings import ModelSettings, Settings
from sharpv_cli.types import Answer, Finished

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
NEW = 12


def _family(name: str) -> Any:
    missing = [package for package in FAMILIES[name].needs if find_spec(package) is None]
    return pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"needs {missing}"))


each = pytest.mark.parametrize("family", [_family(name) for name in RECIPES])


@cache
def on_cuda(place: Path, dtype: str, attention: str = "sdpa") -> LoadedModel:
    settings = {"id": str(place), "dtype": dtype, "attention": attention}
    return load(ModelSettings.model_validate(settings), "cuda")


@cache
def captured(family: str) -> VisualPrompt:
    model = loaded(family)
    return capture(model.model, inputs(model), model.family)


def pruned(whole: VisualPrompt) -> Prompt:
    return whole.prune(select_adaptive(score(whole.features)))


@each
def test_reading_and_decoding_in_float32_are_those_of_the_cpu(family: str) -> None:
    prompt, model = pruned(captured(family)), loaded(family).model
    free = prefill(model, prompt, m=0.0)
    low, high = sorted(value for value in free.similarities if value is not None)[:2]
    m = (low + high) / 2  # far from both, so that exactly one layer discards on either device
    here = prefill(model, prompt, m=m)
    cuda = on_cuda(folder(family), "float32").model

    there = prefill(cuda, to_cuda(prompt), m=m)

    assert high - low > 1e-3
    assert there.similarities == pytest.approx(here.similarities, abs=1e-4)
    assert there.discarded == here.discarded
    assert len(here.discarded) == 1
    assert there.cache.lengths == here.cache.lengths
    ids = list(decode(model, here, max_new_tokens=NEW, stop_ids=()))
    assert list(decode(cuda, there, max_new_tokens=NEW, stop_ids=())) == ids


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
    last = list(answer(model, *clip(), QUESTION, settings))[-1]
    assert isinstance(last, Finished)
    return last.answer


@each
def test_an_answer_in_bfloat16_is_sound(family: str) -> None:
    result = answered(on_cuda(folder(family), "auto"))

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
@pytest.mark.parametrize("profile", FLASH)
def test_flash_keeps_the_same_tokens_as_sdpa_and_gives_its_logits(profile: str) -> None:
    """Vision towers stay on SDPA, so what is kept is equal; the rest differs by bfloat16's rounding."""
    logits, answers = [], []
    for attention in ("sdpa", "flash"):
        model = on_cuda(narrow(profile), "bfloat16", attention)
        assert model.info.attention == attention
        with recorded_logits(model) as rows:
            answers.append(answered(model))
        logits.append(rows[0].float())

    sdpa, other = answers
    assert (sdpa.keep == other.keep).all()
    assert sdpa.visual_kept < sdpa.visual_total  # the kept tokens' positions have gaps
    assert [layer.similarity for layer in other.layers] == pytest.approx(
        [layer.similarity for layer in sdpa.layers], abs=0.02
    )
    assert (logits[0] - logits[1]).abs().max() <= 0.05 * logits[0].abs().max()


@pytest.mark.usefixtures("flash")
@pytest.mark.parametrize("profile", FLASH)
def test_flash_decodes_from_caches_of_different_lengths(profile: str) -> None:
    """Some layers have discarded their visual entries, others not: every step against SDPA, on equal tokens."""
    start = None
    rows = []
    for attention in ("sdpa", "flash"):
        model = on_cuda(narrow(profile), "bfloat16", attention)
        prompt = pruned(capture(model.model, inputs(model), model.family))
        if start is None:
            start = prefill(model.model, prompt, m=0.0)
            low, high = sorted(value for value in start.similarities if value is not None)[:2]
            assert high - low > 0.04
        read = prefill(model.model, prompt, m=(low + high) / 2)
        assert len(set(read.cache.lengths)) == 2
        with recorded_logits(model) as steps:
            first, _ = decode(model.model, replace(read, logits=start.logits), max_new_tokens=2, stop_ids=())
        rows.append((first, steps[0].float()))

    (sdpa_first, sdpa), (flash_first, other) = rows
    assert sdpa_first == flash_first
    assert (sdpa - other).abs().max() <= 0.05 * sdpa.abs().max()
