"""Loading, and refusing what cannot be loaded: always a ModelError or ResourceError with a next step."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_families import folder as family_folder
from tiny_model import folder, loaded

from sharpv_cli.errors import ModelError, ResourceError
from sharpv_cli.models import checkpoint
from sharpv_cli.models.loading import load
from sharpv_cli.models.on_disk import local_size
from sharpv_cli.settings import ModelSettings


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "model"
    shutil.copytree(folder(), target)
    return target


def named(path: Path | str, **more: str) -> ModelSettings:
    return ModelSettings.model_validate({"id": str(path), **more})


def edit_config(path: Path, **changes: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


def cut(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def pickle_only(path: Path) -> None:
    (path / "model.safetensors").unlink()
    torch.save({}, path / "pytorch_model.bin")


def lose_a_shard(path: Path) -> None:
    (path / "model.safetensors").rename(path / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def odd_index(path: Path) -> None:
    (path / "model.safetensors").unlink()
    (path / "model.safetensors.index.json").write_text('{"weight_map": ["model.safetensors"]}')


def without(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no weights": (without("model.safetensors"), "no weights"),
    "no config": (without("config.json"), "no config.json"),
    "config is no JSON": (lambda path: (path / "config.json").write_text("{"), "config.json cannot be read"),
    "config is a list": (lambda path: (path / "config.json").write_text("[]"), "not a JSON object"),
    "no tokenizer": (without("tokenizer.json"), "no tokenizer"),
    "no processor": (without("processor_config.json"), "no processor"),
    "pickled": (pickle_only, "pytorch_model.bin"),
    "cut short": (cut, "cut short"),
    "weights are text": (lambda path: (path / "model.safetensors").write_text("hello"), "cut short"),
    "shard missing": (lose_a_shard, "model-00002-of-00002"),
    "index is odd": (odd_index, "weights missing"),
    "unknown type": (lambda path: edit_config(path, model_type="frobnicator"), "'frobnicator'"),
    "no type": (lambda path: edit_config(path, model_type=None), "None"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_folder_is_refused_before_the_weights_are_read(broken: str, copy: Path) -> None:
    breaks, message = BROKEN[broken]
    breaks(copy)

    with pytest.raises(ModelError, match=message) as refused:
        checkpoint.check(named(copy))

    assert str(copy) in str(refused.value)
    assert refused.value.hint
    assert refused.value.exit_code == 4
    with pytest.raises(ModelError, match=message):
        load(named(copy), "cpu")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{tmp}/absent", "no such folder"),
        ("./absent", "no such folder"),
        ("~nobody-at-all/model", "no such folder"),
        ("./" + "long" * 2000, "no such folder"),
        ("./nul\0", "no such folder"),
        ("{tmp}/file", "is a file"),
    ],
)
def test_a_path_that_is_no_folder_is_refused(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ModelError, match=message):
        checkpoint.check(named(path.format(tmp=tmp_path)))


def test_another_family_than_the_config_says_is_refused(copy: Path) -> None:
    with pytest.raises(ModelError, match=r"'qwen2_5_vl'.*'llava_onevision'"):
        checkpoint.check(named(copy, family="qwen2_5_vl"))

    checkpoint.check(named(copy, family="llava_onevision"))


def test_a_family_that_is_planned_is_refused_before_any_download() -> None:
    with pytest.raises(ModelError, match=r"'pllava' is not supported"):
        checkpoint.check(named("nobody/nothing-here", family="pllava"))


def test_offline_an_id_that_is_not_cached_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match="nobody/nothing-here") as refused:
        checkpoint.check(named("nobody/nothing-here"), offline=True)

    assert "--offline" in str(refused.value.hint)
    checkpoint.check(named("nobody/nothing-here"), offline=False)  # it might be downloaded


def test_a_name_that_is_neither_folder_nor_id_is_refused() -> None:
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        checkpoint.fetch(named("what is this?"), offline=True)


def test_a_cached_hub_model_reports_its_commit(copy: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--a--b" / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    copy.rename(snapshot)

    assert load(named(snapshot), "cpu").info.revision == commit
    assert loaded().info.revision is None


def test_weights_that_are_missing_are_not_made_up(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    gone = next(name for name in weights if name.endswith("layers.3.mlp.down_proj.weight"))
    del weights[gone]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match="1 weights are missing"):
        load(named(copy), "cpu")


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 256
    (copy / "config.json").write_text(json.dumps(config))

    with pytest.raises(ModelError, match="model cannot be loaded"):
        load(named(copy), "cpu")


def test_a_checkpoint_without_chat_template_is_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()

    with pytest.raises(ModelError, match="chat template"):
        load(named(copy), "cpu")


def test_what_was_loaded_is_reported() -> None:
    model = loaded("eager")

    assert model.info.family == "llava_onevision"
    assert (model.info.dtype, model.info.device, model.info.attention) == ("float32", "cpu", "eager")
    assert model.weights_bytes == sum(t.nbytes for t in load_file(folder() / "model.safetensors").values())
    assert model.context == 4096
    assert model.stop_ids == {2}
    assert not model.model.training


def test_half_precision_by_name() -> None:
    model = load(named(folder(), dtype="bfloat16"), "cpu")

    assert model.info.dtype == "bfloat16"
    assert {parameter.dtype for parameter in model.model.parameters()} == {torch.bfloat16}
    assert model.weights_bytes * 2 == loaded().weights_bytes


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "meta"])
def test_a_device_that_is_not_there_is_a_resource_error(device: str) -> None:
    with pytest.raises(ResourceError, match=device) as refused:
        load(named(folder()), device)

    assert refused.value.exit_code == 5
    assert refused.value.hint


def test_auto_says_in_words_why_sdpa_runs() -> None:
    model = load(named(folder()), "cpu")

    assert model.info.attention == "sdpa"
    assert "needs CUDA" in model.info.attention_reason
    assert model.warnings == ()


def test_loading_can_be_given_up_between_two_steps() -> None:
    steps = []

    class EnoughError(Exception):
        pass

    def stop_at_the_second() -> None:
        steps.append(1)
        if len(steps) == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        load(named(folder()), "cpu", between_steps=stop_at_the_second)


def test_checks_need_no_torch() -> None:
    code = (
        "import sys\n"
        "from sharpv_cli.models import checkpoint\n"
        "from sharpv_cli.settings import ModelSettings\n"
        f"checkpoint.check(ModelSettings(id={str(folder())!r}))\n"
        "import sharpv_cli.pipeline\n"
        "print({'torch', 'transformers', 'av'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_the_builtin_model_is_a_folder_of_the_package() -> None:
    inside = Path(checkpoint.__file__).parents[1] / "assets" / "tiny"
    if inside.is_dir():
        assert checkpoint.fetch(named("builtin"), offline=True).folder == inside
    else:
        with pytest.raises(ModelError, match="built-in model"):
            checkpoint.check(named("builtin"))


def named_like(stored: Iterable[str], part: str) -> str:
    (name,) = [name for name in stored if part in name]
    return name


def test_a_head_of_its_own_stays_one_where_the_config_does_not_say(tmp_path: Path) -> None:
    """InternVL's config has "tied" for its default, and published files leave the key out but hold a head."""
    model = tmp_path / "model"
    shutil.copytree(family_folder("internvl"), model)
    config = json.loads((model / "config.json").read_text())
    for part in (config, config["text_config"]):
        del part["tie_word_embeddings"]
    (model / "config.json").write_text(json.dumps(config))
    stored = load_file(model / "model.safetensors")

    got = load(named(model), "cpu").model

    assert got.config.tie_word_embeddings
    head, words = got.get_output_embeddings().weight, got.get_input_embeddings().weight
    assert torch.equal(head, stored[named_like(stored, "lm_head")])
    assert torch.equal(words, stored[named_like(stored, "embed_tokens")])
    assert not torch.equal(head, words)


def test_a_missing_head_is_that_of_the_words_only_where_the_config_ties_them(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(family_folder("internvl"), model)
    stored = load_file(model / "model.safetensors")
    del stored[named_like(stored, "lm_head")]
    save_file(stored, model / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"weights are missing .*lm_head"):
        load(named(model), "cpu")

    edit_config(model, tie_word_embeddings=True)
    got = load(named(model), "cpu").model
    assert got.get_output_embeddings().weight is got.get_input_embeddings().weight


def test_a_hub_id_never_means_a_folder_of_that_name(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy.parent / "owner").mkdir()
    copy.rename(copy.parent / "owner" / "name")
    monkeypatch.chdir(copy.parent)

    with pytest.raises(ModelError, match="not in the local cache") as refused:
        checkpoint.check(named("owner/name"), offline=True)

    assert "the folder of that name here is ./owner/name" in str(refused.value.hint)
    assert local_size("owner/name") is None
    assert checkpoint.locate(named("owner/name")) is None  # it is to be downloaded
    assert checkpoint.fetch(named("./owner/name")).folder == Path("./owner/name")
    assert local_size("./owner/name")


def test_a_folder_in_the_working_folder_is_written_with_its_dot(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy.parent)

    with pytest.raises(ModelError, match="has an owner") as refused:
        checkpoint.check(named("model"))

    assert refused.value.hint == "write ./model"
    checkpoint.check(named("./model"))
