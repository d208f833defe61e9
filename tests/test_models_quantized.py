"""Quantised checkpoints: real ones where the package that reads them is installed, refusals where it is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from events import answer
from safetensors.torch import load_file, save_file
from tiny_model import clip, folder, loaded, stock_inputs

from sharpv_cli.errors import ModelError
from sharpv_cli.models import checkpoint, quantized
from sharpv_cli.models.facts import read_facts
from sharpv_cli.models.inspecting import inspect
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.session import Session
from sharpv_cli.settings import ModelSettings, Settings
from sharpv_cli.types import Finished

Weights = dict[str, torch.Tensor]
Stored = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def int8_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stored, scale, and what the two stand for: one scale a row."""
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    stored = (weight / scale).round().to(torch.int8)
    return stored, scale, stored.float() * scale


def fp8_blocks(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `int8_rows`, one scale for each block of 128 x 128 (here the same for all)."""
    scale = weight.abs().max() / 448
    stored = (weight / scale).to(torch.float8_e4m3fn)
    blocks = torch.full([-(-size // 128) for size in weight.shape], float(scale))
    return stored, blocks, stored.float() * scale


INT8: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["re:.*vision_tower.*", "re:.*multi_modal_projector.*", "lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "format": "int-quantized",
            "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True},
        }
    },
}
FP8: dict[str, Any] = {
    "quant_method": "fp8",
    "activation_scheme": "dynamic",
    "weight_block_size": [128, 128],
    "modules_to_not_convert": ["vision_tower", "multi_modal_projector", "lm_head"],
}


def write(target: Path, config: dict[str, Any], weights: Weights) -> ModelSettings:
    shutil.copytree(folder(), target)
    own = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(own | config))
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return ModelSettings(id=str(target))


def both(
    tmp_path: Path, store: Stored, quantization: dict[str, Any], suffix: str
) -> tuple[ModelSettings, LoadedModel]:
    """A checkpoint with the language model quantised, and a dense one with the weights that it stands for."""
    weights = load_file(folder() / "model.safetensors")
    dense = dict(weights)
    for name in [n for n in weights if n.startswith("language_model") and n.endswith("_proj.weight")]:
        weights[name], weights[name + suffix], dense[name] = store(weights[name])
    settings = write(tmp_path / "quantized", {"quantization_config": quantization}, weights)
    return settings, load(write(tmp_path / "dense", {}, dense), "cpu")


@torch.no_grad()
def logits(model: LoadedModel) -> torch.Tensor:
    out: torch.Tensor = model.model(**stock_inputs(model)).logits[0, -1].float()
    return out


def assert_close(got: LoadedModel, want: LoadedModel) -> None:
    """To one another, and visibly not to the weights before they were quantised."""
    expected = logits(want)
    assert (logits(got) - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert (logits(loaded()) - expected).abs().max() >= 1e-3 * expected.abs().max()


def test_compressed_tensors_are_unpacked_when_they_are_read(tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    settings, dense = both(tmp_path, int8_rows, INT8, "_scale")
    checkpoint.check(settings)

    model = load(settings, "cpu")

    assert model.model.get_decoder().layers[0].mlp.up_proj.weight.dtype == torch.float32
    assert model.weights_bytes == dense.weights_bytes
    assert (model.info.dtype, model.info.device) == ("float32", "cpu")
    assert_close(model, dense)


def test_fp8_weights_are_unpacked_where_no_gpu_takes_them(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    if torch.cuda.is_available():
        pytest.skip("a GPU may compute in fp8 itself")
    settings, dense = both(tmp_path, fp8_blocks, FP8, "_scale_inv")

    model = load(settings, "cpu")

    assert model.weights_bytes == dense.weights_bytes
    assert_close(model, dense)


def test_a_quantised_model_answers(tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    settings, dense = both(tmp_path, int8_rows, INT8, "_scale")
    run = Settings.model_validate({"generation": {"max_new_tokens": 8}})

    first, second = (
        next(
            event for event in answer(Session.of(model), *clip(), "what?", run) if isinstance(event, Finished)
        ).answer
        for model in (load(settings, "cpu"), dense)
    )

    assert first.generated_tokens > 0
    assert first.text == second.text
    assert first.keep.tolist() == second.keep.tolist()


def test_the_facts_name_the_method_and_the_stored_format(tmp_path: Path) -> None:
    weights = load_file(folder() / "model.safetensors")
    for name in [n for n in weights if n.startswith("language_model") and n.endswith("_proj.weight")]:
        weights[name], weights[name + "_scale"], _ = int8_rows(weights[name])
    settings = write(tmp_path / "quantized", {"quantization_config": INT8}, weights)

    facts = read_facts(inspect(Path(settings.id), settings))

    assert facts.quantization == "compressed-tensors"
    assert facts.dtypes == ("i8", "float32")
    assert facts.layers == 6
    assert facts.weights_bytes == (tmp_path / "quantized" / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("quantization", "line"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "pip install bitsandbytes accelerate"),
        ({"load_in_8bit": True}, "pip install bitsandbytes accelerate"),
        (INT8, "pip install compressed-tensors"),
        (FP8, "pip install accelerate"),
        ({"quant_method": "gptq", "bits": 4}, "pip install gptqmodel optimum"),
    ],
)
@pytest.mark.parametrize("place", ["top", "text"])
def test_a_missing_package_is_named_before_torch(
    quantization: dict[str, Any], line: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantized, "_importable", lambda _module: False)
    text = json.loads((folder() / "config.json").read_text())["text_config"]
    config = {"quantization_config": quantization}
    settings = write(
        tmp_path / "quantized",
        config if place == "top" else {"text_config": text | config},
        load_file(folder() / "model.safetensors"),
    )

    with pytest.raises(ModelError, match="quantised") as refused:
        checkpoint.check(settings)

    assert refused.value.hint == line


def test_the_pip_line_of_transformers_is_passed_on(tmp_path: Path) -> None:
    if quantized._importable("hqq"):
        pytest.skip("hqq is installed")
    settings = write(
        tmp_path / "quantized",
        {"quantization_config": {"quant_method": "vptq", "config_for_layers": {"a": {}}}},
        load_file(folder() / "model.safetensors"),
    )

    with pytest.raises(ModelError, match="model cannot be loaded") as refused:
        load(settings, "cpu")

    assert str(refused.value.hint).startswith("pip install ")


def test_an_unknown_method_is_refused_instead_of_read_past(tmp_path: Path) -> None:
    settings = write(
        tmp_path / "quantized",
        {"quantization_config": {"quant_method": "frobnicated"}},
        load_file(folder() / "model.safetensors"),
    )

    with pytest.raises(ModelError, match="quantised by 'frobnicated'") as refused:
        load(settings, "cpu")

    assert refused.value.hint


def test_bitsandbytes_weights_stay_small_and_answer(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    pytest.importorskip("accelerate")
    from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

    target = tmp_path / "quantized"
    shutil.copytree(folder(), target)
    stock = AutoModelForImageTextToText.from_pretrained(
        folder(),
        quantization_config=BitsAndBytesConfig(
            load_in_8bit=True,
            llm_int8_skip_modules=["vision_tower", "multi_modal_projector", "lm_head"],
        ),
        device_map={"": "cpu"},
        dtype=torch.float32,
    ).eval()
    stock.save_pretrained(target)

    model = load(ModelSettings(id=str(target)), "cpu")

    assert model.model.get_decoder().layers[0].mlp.up_proj.weight.dtype == torch.int8
    assert model.weights_bytes < 0.6 * loaded().weights_bytes
    on_disk = sum(tensor.nbytes for tensor in load_file(target / "model.safetensors").values())
    assert abs(model.weights_bytes - on_disk) <= 0.02 * on_disk
    with torch.no_grad():
        expected = stock(**stock_inputs(model)).logits[0, -1].float()
    assert (logits(model) - expected).abs().max() <= 1e-4 * expected.abs().max()
    run = Settings.model_validate({"generation": {"max_new_tokens": 4}})
    last = list(answer(Session.of(model), *clip(), "what?", run))[-1]
    assert isinstance(last, Finished)
    assert last.answer.generated_tokens > 0
