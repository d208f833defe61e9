"""Checkpoints that lie, are of another time, or want to run code: exit 4 with what and what next, or harmless."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_model import folder

from sharpv_cli.errors import ModelError, ResourceError
from sharpv_cli.models import checkpoint, inspecting, layers, placement
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.loading import load
from sharpv_cli.settings import ModelSettings


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "model"
    shutil.copytree(folder(), target)
    return target


def named(path: Path) -> ModelSettings:
    return ModelSettings(id=str(path))


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def refused(path: Path, *, early: bool) -> ModelError:
    """The refusal of a folder, by the check before torch where `early`, else by loading only."""
    if not early:
        checkpoint.check(named(path))
    with pytest.raises(ModelError) as caught:
        checkpoint.check(named(path)) if early else load(named(path), "cpu")
    error = caught.value
    assert error.exit_code == 4
    assert error.hint
    assert str(path) in str(error)
    return error


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "in/side.safetensors", "a\\b", ".."]
)
def test_an_index_cannot_name_files_outside_of_the_folder(name: str, copy: Path) -> None:
    (copy / "model.safetensors").rename(copy.parent / "outside.safetensors")
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))

    assert repr(name) in str(refused(copy, early=True))


def test_a_config_nested_without_end_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text('{"a":' * 200_000 + "1" + "}" * 200_000)

    assert "nested too deeply" in str(refused(copy, early=True))


@pytest.mark.parametrize("bytes_", [b"\xff\xfe{}", b"", b"null", b"[]", b'"text"'])
def test_a_config_that_is_no_object_is_refused(bytes_: bytes, copy: Path) -> None:
    (copy / "config.json").write_bytes(bytes_)

    assert "config.json" in str(refused(copy, early=True))


@pytest.mark.parametrize(
    "file",
    [
        *("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json"),
        *("tokenizer.json", "model.safetensors", "model.safetensors.index.json", "adapter_config.json"),
    ],
)
@pytest.mark.parametrize("special", ["fifo", "/dev/zero"])
def test_nothing_is_read_from_pipes_and_devices(file: str, special: str, copy: Path) -> None:
    """They would be waited for, or be read without end."""
    if file == "model.safetensors.index.json":
        (copy / "model.safetensors").unlink()
    (copy / file).unlink(missing_ok=True)
    if special == "fifo":
        os.mkfifo(copy / file)
    else:
        (copy / file).symlink_to(special)

    refused(copy, early=True)


@pytest.mark.parametrize(
    "file", ["tokenizer.json", "chat_template.jinja", "additional_chat_templates/a.jinja"]
)
def test_a_file_of_absurd_size_is_not_read(file: str, copy: Path) -> None:
    (copy / file).parent.mkdir(exist_ok=True)
    with (copy / file).open("ab") as sparse:
        sparse.truncate(1 << 40)

    assert f"{Path(file).name} is larger than 128 MiB" in str(refused(copy, early=True))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("processor_class",), "LlamaForCausalLM"),
        (("image_processor", "image_processor_type"), "LlamaModel"),
        (("video_processor", "video_processor_type"), "LlamaModel"),
    ],
)
def test_no_other_class_is_made_for_a_part_of_the_processor(
    keys: tuple[str, ...], value: str, copy: Path
) -> None:
    """A model of the size that its class has by default would fill the memory."""

    def change(content: dict[str, Any]) -> None:
        *outer, last = keys
        for key in outer:
            content = content[key]
        content[last] = value

    edit(copy / "processor_config.json", change)

    assert f"asks for {keys[-1]} = {value!r}" in str(refused(copy, early=True))


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("processor_config.json", "num_image_tokens", 10**9),
        ("processor_config.json", "image_seq_length", 10**9),
        ("generation_config.json", "encoder_no_repeat_ngram_size", 10**12),
    ],
)
def test_a_prompt_or_list_of_absurd_length_is_not_begun(file: str, key: str, value: int, copy: Path) -> None:
    edit(copy / file, lambda content: content.update({key: value}))

    assert f"its {file} asks for {key} = {value}" in str(refused(copy, early=False))


def test_a_type_from_a_newer_transformers_says_so(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(copy / "config.json", lambda c: c.update(model_type="qwen9_vl", transformers_version="99.1.0"))

    assert "saved by transformers 99.1.0" in str(refused(copy, early=True).hint)

    edit(copy / "config.json", lambda c: c.update(transformers_version="4.1.0"))
    assert "saved by" not in str(refused(copy, early=True).hint)


def test_a_known_type_from_a_newer_transformers_that_fails_says_so(copy: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["transformers_version"] = "99.1.0"
        config["text_config"]["hidden_act"] = "an activation of the future"

    edit(copy / "config.json", change)

    error = refused(copy, early=False)
    assert "an activation of the future" in str(error)
    assert "pip install -U transformers" in str(error.hint)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 3),
        ("num_attention_heads", 0),
        ("hidden_size", "many"),
        ("hidden_size", None),
        ("num_hidden_layers", "six"),
        ("vocab_size", 10),
        ("hidden_size", 128),
        ("num_hidden_layers", 7),
        ("rope_parameters", {"rope_type": "frobnicated"}),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_refused(key: str, value: object, copy: Path) -> None:
    edit(copy / "config.json", lambda c: c["text_config"].update({key: value}))

    refused(copy, early=False)


@pytest.mark.parametrize(
    ("file", "text", "early"),
    [
        ("tokenizer.json", "{}", False),
        ("tokenizer.json", "[1]", False),
        ("tokenizer.json", '{"model": {"type": "BPE"}}', False),
        ("tokenizer_config.json", "[]", True),
        ("generation_config.json", "[]", True),
        ("processor_config.json", "{", True),
        ("processor_config.json", "[]", True),
        ("processor_config.json", '{"processor_class": "NoSuchProcessor"}', False),
    ],
)
def test_a_broken_tokenizer_or_processor_is_refused(file: str, text: str, early: bool, copy: Path) -> None:
    (copy / file).write_text(text)

    said = str(refused(copy, early=early))
    assert file in said or "processor" in said


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_code_in_a_checkpoint_is_never_run(file: str, copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    marker = copy.parent / "ran"
    (copy / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    names = [
        "AutoConfig",
        "AutoModelForImageTextToText",
        "AutoProcessor",
        "AutoTokenizer",
        "AutoVideoProcessor",
    ]
    maps = {name: ["evil.Evil", None] if name == "AutoTokenizer" else "evil.Evil" for name in names}
    edit(copy / file, lambda content: content.update(auto_map=maps))

    model = load(named(copy), "cpu")

    assert type(model.model).__module__.startswith("transformers.")
    assert not marker.exists()


def test_a_type_that_only_code_of_the_checkpoint_knows_is_refused(copy: Path) -> None:
    marker = copy.parent / "ran"
    (copy / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    edit(
        copy / "processor_config.json",
        lambda c: c.update(processor_class="Evil", auto_map={"AutoProcessor": "evil.Evil"}),
    )

    refused(copy, early=True)
    assert not marker.exists()


def test_loading_a_folder_opens_no_socket(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)

    for offline in (False, True):
        assert load(named(copy), "cpu", offline=offline).info.family == "llava_onevision"
    with pytest.raises(ModelError, match="not in the local cache"):
        load(ModelSettings(id="nobody/nothing-here"), "cpu", offline=True)


def test_a_family_whose_package_is_missing_is_refused_with_the_pip_line(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needy = next(family for family in FAMILIES.values() if family.needs)
    monkeypatch.setattr(inspecting, "find_spec", lambda _name: None)
    edit(copy / "config.json", lambda c: c.update(model_type=needy.model_type))

    error = refused(copy, early=True)

    assert needy.name in str(error)
    assert error.hint == f"pip install {' '.join(needy.needs)}"


def test_a_mistral_with_its_window_is_read_as_one(copy: Path) -> None:
    """Its config has no list of layer types, and a window unless it is told otherwise."""

    def change(config: dict[str, Any]) -> None:
        del config["text_config"]["layer_types"]
        config["text_config"] |= {"model_type": "mistral", "sliding_window": 16}

    edit(copy / "config.json", change)
    model = load(named(copy), "cpu")

    kinds = layers.layer_kinds(model.model.config.get_text_config())
    assert (model.window, set(kinds)) == (16, {layers.SLIDING})
    assert "window of 16 tokens" in " ".join(model.warnings)


def config_of(**values: object) -> SimpleNamespace:
    return SimpleNamespace(**({"num_hidden_layers": 3} | values))


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        (config_of(), ("full_attention",) * 3),
        (config_of(sliding_window=None, layer_types=None), ("full_attention",) * 3),
        (config_of(sliding_window=4096), ("sliding_attention",) * 3),
        (config_of(attention_chunk_size=64), ("chunked_attention",) * 3),
        (
            config_of(layer_types=["full_attention", "linear_attention", "full_attention"], sliding_window=8),
            ("full_attention", "linear_attention", "full_attention"),
        ),
    ],
)
def test_layer_kinds(config: SimpleNamespace, kinds: tuple[str, ...]) -> None:
    assert layers.layer_kinds(config) == kinds


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (config_of(layer_types=["linear_attention"] * 3), "linear_attention"),
        (
            config_of(layer_types=["sliding_attention", "chunked_attention"], sliding_window=8),
            "chunked_attention",
        ),
        (config_of(layer_types=["sliding_attention"] * 3), "does not say how large"),
        (config_of(num_kv_shared_layers=2), "share their KV cache"),
        (SimpleNamespace(), "no decoder layers"),
    ],
)
def test_what_our_cache_cannot_hold_is_refused(config: SimpleNamespace, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        layers.require_supported(config, "it")

    assert caught.value.hint


def test_every_layer_of_a_loaded_model_is_full_attention() -> None:
    model = load(named(folder()), "cpu")
    assert layers.layer_kinds(model.model.config.get_text_config()) == (layers.FULL,) * 6


def test_balanced_needs_accelerate_and_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "find_spec", lambda _name: None)
    with pytest.raises(ModelError, match="needs accelerate") as absent:
        load(named(folder()), "balanced", memory_check=False)
    assert "pip install" in str(absent.value.hint)

    monkeypatch.setattr(placement, "find_spec", lambda _name: object())
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ResourceError, match="several GPUs; here is 1") as few:
        load(named(folder()), "balanced", memory_check=False)
    assert few.value.exit_code == 5
    assert "auto" in str(few.value.hint)


def test_a_device_map_over_the_cpu_takes_the_way_of_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    whole = placement.Placement(torch.device("cpu"), split=True)
    monkeypatch.setattr("sharpv_cli.models.loading.place", lambda _name: whole)

    # Here accelerate can only choose the CPU, and a part on the CPU means that the GPUs are too small.
    with pytest.raises(ResourceError, match="not enough memory"):
        load(named(folder()), "balanced", memory_check=False)

    monkeypatch.setattr(placement.Placement, "device_map", {"": torch.device("cpu")})
    monkeypatch.setattr("sharpv_cli.models.loading._TOO_SMALL", frozenset({"meta"}))
    model = load(named(folder()), "balanced", memory_check=False)
    assert (model.info.device, model.device) == ("cpu", torch.device("cpu"))
