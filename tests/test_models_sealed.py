"""What a checkpoint cannot do: have its code run, bring weights that were not inspected, or ask somebody for leave."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from run_cli import SHARPV, run
from safetensors.torch import load_file, save_file
from tiny_families import folder as family_folder
from tiny_model import folder

from sharpv_cli.errors import ModelError
from sharpv_cli.models import checkpoint
from sharpv_cli.models.loading import load
from sharpv_cli.settings import ModelSettings

PACKAGE = Path(__file__).resolve().parent.parent / "sharpv_cli"
BUILTIN = PACKAGE / "assets" / "tiny"
DOOR = PACKAGE / "models" / "parts.py"
# Whatever makes something of a checkpoint's files, by name.
LOADERS = {
    *(
        "from_pretrained",
        "from_config",
        "from_dict",
        "from_json_file",
        "get_config_dict",
        "get_processor_dict",
    ),
    *(
        "load_state_dict",
        "load_adapter",
        "cached_file",
        "get_class_from_dynamic_module",
        "load_custom_generate",
    ),
}
LOADERS_BY_OWNER = {("torch", "load"), ("timm", "create_model")}
AUTO = [
    *("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoProcessor"),
    *("AutoImageProcessor", "AutoVideoProcessor", "AutoFeatureExtractor"),
]


def loads(tree: ast.AST) -> Iterator[str]:
    """Calls and imports that load something of a checkpoint."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in LOADERS or (owner, node.attr) in LOADERS_BY_OWNER:
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.lineno}: {name.name}" for name in node.names if name.name in LOADERS)


@pytest.mark.parametrize(
    "source",
    [
        "AutoVideoProcessor.from_pretrained(folder, local_files_only=True)",
        "read = AutoConfig.from_pretrained",
        "def f():\n    from transformers.utils import cached_file",
        "torch.load(file)",
    ],
)
def test_the_walk_finds_what_loads(source: str) -> None:
    assert list(loads(ast.parse(source)))


def test_only_the_door_loads_anything_of_a_checkpoint() -> None:
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path != DOOR]
    found = {path.name: list(loads(ast.parse(path.read_text(encoding="utf-8")))) for path in files}

    assert {name: calls for name, calls in found.items() if calls} == {}


def test_the_door_never_trusts_and_never_downloads() -> None:
    tree = ast.parse(DOOR.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    by_name = {ast.unparse(call.func): ast.unparse(call) for call in calls}
    (here_only,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_HERE_ONLY" and node.value
    ]

    assert here_only == {"local_files_only": True, "trust_remote_code": False}
    pretrained = [name for name in by_name if name.endswith(".from_pretrained")]
    assert [by_name[name].endswith("**_HERE_ONLY)") for name in pretrained] == [True]
    assert "trust_remote_code=False" in by_name["AutoModelForImageTextToText.from_config"]


def planted(target: Path, source: Path, marker: Path) -> Path:
    """A copy of a checkpoint with code behind every name that transformers looks code up by."""
    shutil.copytree(source, target)
    evil = f"open({str(marker)!r}, 'w')\nclass Evil: pass\ndef generate(*_, **__): pass\n"
    for file in ("evil.py", "custom_generate/generate.py", "configuration_llava_onevision.py"):
        (target / file).parent.mkdir(exist_ok=True)
        (target / file).write_text(evil)
    maps = dict.fromkeys(AUTO, "evil.Evil") | {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    # As older checkpoints have it: the video processor in a file of its own, so that `probe` reads it, too.
    own = json.loads((target / "processor_config.json").read_text())
    video = own.pop("video_processor")
    (target / "video_preprocessor_config.json").write_text(json.dumps(video | {"auto_map": maps}))
    (target / "preprocessor_config.json").write_text(json.dumps(own["image_processor"] | {"auto_map": maps}))
    del own["image_processor"]
    other = {"audio_tokenizer_class": "Evil", "audio_tokenizer_name_or_path": str(target)}
    (target / "processor_config.json").write_text(
        json.dumps(own | {"auto_map": maps, "audio_tokenizer": other})
    )
    for file in ("config.json", "tokenizer_config.json", "generation_config.json"):
        content = json.loads((target / file).read_text()) | {"auto_map": maps}
        if file == "config.json":
            content["text_config"] |= {"auto_map": maps}
            content["vision_config"] |= {"auto_map": maps}
        (target / file).write_text(json.dumps(content))
    return target


def test_planted_code_runs_by_no_command(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    model = str(planted(tmp_path / "planted", BUILTIN, marker))
    clip = str(PACKAGE / "assets" / "demo" / "moving.mp4")
    (tmp_path / "clips").mkdir()
    shutil.copy(clip, tmp_path / "clips")
    (tmp_path / "list.jsonl").write_text(
        json.dumps({"video": clip, "question": "how many?", "answer": "1", "options": ["1", "2"]}) + "\n"
    )
    of = ("--model", model)
    commands = {
        "ask": ["ask", clip, "How many objects are there?", *of, "--json"],
        "probe": ["probe", clip, *of, "--json"],
        "doctor": ["doctor", "--json"],
        "models show": ["models", "show", model],
        "profile": [
            "profile",
            clip,
            *of,
            "--runs",
            "1",
            "--warmup",
            "0",
            "--max-new-tokens",
            "2",
            "--engine",
            "reference",
            "--json",
        ],
        "eval": ["eval", "list.jsonl", *of, "--json", "--methods", "dense", "--max-new-tokens", "2"],
        "batch": ["batch", "clips", "-q", "How many objects are there?", *of, "-o", "out.jsonl"],
    }

    changes = {"SHARPV_MODEL": model, "SHARPV_FRAMES": "2"}
    done = {
        name: run(SHARPV, *args, home=tmp_path, stdin="y\n" * 20, **changes)
        for name, args in commands.items()
    }

    assert not marker.exists()
    for name, one in done.items():
        assert one.returncode == 0, (name, one)
        assert "custom code" not in one.stdout + one.stderr, name
        assert "[y/N]" not in one.stdout + one.stderr, name
        if "--json" in commands[name]:
            json.loads(one.stdout)
    assert json.loads(done["ask"].stdout)["answer"]
    assert done["batch"].stdout == ""


class Bomb:
    """Pickled, it writes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return open, (self.marker, "w")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder(), tmp_path / "model"))


def edit(path: Path, file: str, **changes: object) -> None:
    content = json.loads((path / file).read_text()) if (path / file).exists() else {}
    (path / file).write_text(json.dumps(content | changes))


def other_weights(path: Path) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(value) for name, value in load_file(path / "model.safetensors").items()}


def named(path: Path) -> ModelSettings:
    return ModelSettings(id=str(path))


@pytest.mark.parametrize("name", ["adapter_model.bin", "pytorch_model.bin", "model.pt", "../x.bin"])
def test_pickled_weights_that_the_config_names_are_refused(name: str, copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (copy / name).write_bytes(pickle.dumps(Bomb(marker)))
    edit(copy, "config.json", transformers_weights=name)

    with pytest.raises(ModelError, match="pickled") as refused:
        checkpoint.check(named(copy))

    assert name in str(refused.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    "value",
    ["other.safetensors", "../other.safetensors", "/x.safetensors", "other.safetensors.index.json", 7, ["a"]],
)
def test_other_weights_that_the_config_names_are_refused(value: object, copy: Path) -> None:
    save_file(other_weights(copy), copy / "other.safetensors")
    edit(copy, "config.json", transformers_weights=value)

    with pytest.raises(ModelError, match=r"pickled|of another name") as refused:
        checkpoint.check(named(copy))

    assert refused.value.hint


def test_an_index_that_names_a_pickled_file_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "weights.bin")  # whatever it holds
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "weights.bin"}}))

    with pytest.raises(ModelError, match=r"pickled \(weights.bin\)"):
        checkpoint.check(named(copy))


def test_what_else_lies_in_the_folder_is_not_loaded(copy: Path, tmp_path: Path) -> None:
    """Files that some version of transformers prefers to the weights, or reads beside them."""
    weights, marker = load_file(copy / "model.safetensors"), tmp_path / "ran"
    for name in ("shard-00000-model-00001-of-00001", "adapter_model", "model.fp16", "consolidated"):
        save_file(other_weights(copy), copy / f"{name}.safetensors")
    for name in ("pytorch_model.bin", "adapter_model.bin", "model.pt", "weights.distcp", ".metadata"):
        (copy / name).write_bytes(pickle.dumps(Bomb(marker)))
    edit(copy, "config.json", configuration_files=["config.4.0.0.json"])
    (copy / "config.4.0.0.json").write_text(json.dumps({"model_type": "llava_onevision", "vision_config": 7}))

    got = load(named(copy), "cpu").model

    assert not marker.exists()
    head = next(value for name, value in weights.items() if name.endswith("embed_tokens.weight"))
    assert torch.equal(got.get_input_embeddings().weight, head)
    assert not any(bool((value == 0).all()) for value in got.state_dict().values() if value.ndim > 1)


@pytest.mark.parametrize("whole", [True, False])
def test_an_adapter_is_named_as_one_with_its_base_model(whole: bool, copy: Path) -> None:
    edit(copy, "adapter_config.json", peft_type="LORA", base_model_name_or_path="owner/base")
    if not whole:
        for file in ("config.json", "model.safetensors"):
            (copy / file).unlink()
        save_file({"a": torch.zeros(1)}, copy / "adapter_model.safetensors")

    with pytest.raises(ModelError, match="LORA adapter") as refused:
        checkpoint.check(named(copy))

    assert ("owner/base" in str(refused.value)) != whole
    assert "merge" in str(refused.value.hint)


def test_a_tower_of_timm_is_made_of_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    marker, model = tmp_path / "ran", tmp_path / "model"
    shutil.copytree(family_folder("perception_lm"), model)
    (tmp_path / "tower.bin").write_bytes(pickle.dumps(Bomb(marker)))
    vision = json.loads((model / "config.json").read_text())["vision_config"]
    arguments = vision.get("model_args") or {}
    planted = {"checkpoint_path": str(tmp_path / "tower.bin"), "pretrained": True}
    edit(model, "config.json", vision_config=vision | {"model_args": arguments | planted})

    load(named(model), "cpu")
    assert not marker.exists()

    edit(model, "config.json", vision_config=vision | {"architecture": f"local-dir:{tmp_path}"})
    with pytest.raises(ModelError, match="vision tower from elsewhere"):
        checkpoint.check(named(model))
