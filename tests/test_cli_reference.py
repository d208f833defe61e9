"""Help, version, the written reference and the `models` and `demo` commands: all without torch."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from run_cli import ROOT, run, scripted
from terminals import on_terminal

import sharpv_cli
from sharpv_cli.commands.demo import command
from sharpv_cli.commands.models import command as models
from sharpv_cli.commands.options import SETTING_OPTIONS
from sharpv_cli.docs import pages
from sharpv_cli.docs.pages import written
from sharpv_cli.models.on_disk import local_size
from sharpv_cli.settings import FLAGS, profile_paths

COMMANDS = [
    [], ["ask"], ["batch"], ["profile"], ["probe"], ["demo"], ["doctor"],
    ["models"], ["models", "list"], ["models", "show"], ["models", "pull"],
]  # fmt: skip


REFERENCE = ROOT / "docs" / "cli.md"


def test_the_reference_is_as_written() -> None:
    assert written(REFERENCE) == REFERENCE.read_text("utf-8"), "run: python -m sharpv_cli.docs.pages"


def test_what_is_old_in_a_page_is_written_anew(tmp_path: Path) -> None:
    for name in pages.PAGES:
        old = re.sub(
            r"(<!-- written: \w+ -->\n).*?(<!-- end -->)", r"\1old\n\2", pages_text(name), flags=re.DOTALL
        )
        assert len(old) < len(pages_text(name)) / 2
        (tmp_path / name).write_text(old)
    pages.main(tmp_path)
    for name in pages.PAGES:
        assert (tmp_path / name).read_text() == pages_text(name)


def pages_text(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def test_a_command_has_its_own_options_and_the_settings_stand_once() -> None:
    page = written(REFERENCE)
    assert "None`" not in page
    assert page.count("- `--frames N`") == page.count("- `--min-tokens N`") == 1
    assert page.count("[settings](#settings)") == 8
    assert "--resume" not in page


def test_help_of_ask_is_in_groups_with_defaults(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "sharpv_cli"]
    done = run(command, "ask", "--help", home=tmp_path, COLUMNS="80")
    heads = [line for line in done.stdout.splitlines() if re.fullmatch(r"[A-Z]\w+:", line)]
    assert heads == ["Arguments:", "Options:", "Output:", "Video:", "Model:", "Pruning:", "Answer:"]
    text = " ".join(done.stdout.split())
    for words in ("spread over the clip. [default: 32]", "per frame. [default: 1]", "layers. [default: on]"):
        assert words in text
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"torch", "transformers", "av", "numpy", "rich"}


def test_every_setting_with_a_flag_is_an_option() -> None:
    assert set(SETTING_OPTIONS) == set(FLAGS)


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_help_fits_80_columns_and_gives_examples_first(args: list[str], tmp_path: Path) -> None:
    done = run(scripted("real"), *args, "--help", home=tmp_path, COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    if args != ["models"]:
        assert done.stdout.index("Examples:") < done.stdout.index("Options:")


def test_no_arguments_is_help(tmp_path: Path) -> None:
    bare = run(scripted("real"), home=tmp_path)
    assert (bare.returncode, bare.stdout) == (0, run(scripted("real"), "--help", home=tmp_path).stdout)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(option: str, tmp_path: Path) -> None:
    done = run([sys.executable, "-X", "importtime", "-m", "sharpv_cli"], option, home=tmp_path)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"torch", "transformers", "av", "numpy", "pydantic", "rich", "yaml"}


def test_version(tmp_path: Path) -> None:
    done = run(scripted("real"), "--version", home=tmp_path)
    assert run(scripted("real"), "-V", home=tmp_path).stdout == done.stdout
    assert done.stdout == f"sharpv {sharpv_cli.__version__}\n"


def test_models_list(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "sharpv" / "profiles"
    folder.mkdir(parents=True)
    (folder / "later.yaml").write_text("model: {id: owner/name, family: unheard_of}\n", encoding="utf-8")
    done = run(scripted("real"), "models", "list", home=tmp_path)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["PROFILE", "SIZE", "LOCAL", "MODEL"]
    size = {row[0]: row[1] for row in rows[1:]}
    assert list(size) == sorted([*profile_paths({}), "later"])
    assert (size.pop("tiny"), size.pop("later")) == ("0B", "-")
    assert size["llava-ov-7b"] == "16.1GB"
    assert all(text.endswith("GB") for text in size.values())
    assert "later cannot be used yet: owner/name: model type 'unheard_of' is not supported" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_models_alone_lists_them(tmp_path: Path) -> None:
    bare, listed = (run(scripted("real"), "models", *args, home=tmp_path) for args in ([], ["list"]))
    assert (bare.returncode, bare.stdout) == (0, listed.stdout)
    document = json.loads(run(scripted("real"), "models", "--json", home=tmp_path).stdout)
    assert {row["name"]: row["download_bytes"] for row in document["profiles"]}[
        "llava-ov-7b"
    ] == 16_061_615_168


@pytest.mark.parametrize("columns", [20, 60, 200])
def test_models_list_has_the_ids_on_a_terminal_of_any_width(columns: int, tmp_path: Path) -> None:
    seen = on_terminal(scripted("real"), "models", home=tmp_path, columns=columns, stdout=True)
    assert seen.lines[0].split()[:3] == ["PROFILE", "SIZE", "LOCAL"]
    assert "llava-hf/llava-onevision-qwen2-7b-ov-hf" in seen.text


def test_models_list_json_has_a_users_own_profile(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "sharpv" / "profiles"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("extends: llava-ov-7b\nmodel: {id: ./weights}\n", encoding="utf-8")
    (folder / "broken.yaml").write_text("visual: {x: 1}\n", encoding="utf-8")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"12345")
    done = run(scripted("real"), "models", "list", "--json", home=tmp_path)
    document = json.loads(done.stdout)
    rows = {row["name"]: row for row in document["profiles"]}
    assert document["schema"] == "sharpv.models/1"
    assert (rows["mine"]["local_bytes"], rows["mine"]["supported"]) == (5, True)
    assert rows["mine"]["source"] == str(folder / "mine.yaml")
    assert rows["llava-ov-7b"]["local_bytes"] is None
    assert "broken" not in rows
    assert "broken.yaml:1: unknown key `visual.x`" in done.stderr


def test_models_list_names_the_package_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sharpv_cli.models.inspecting.find_spec", {"timm": "installed"}.get)
    models.list_models()
    said = capsys.readouterr()
    assert "smolvlm2-2.2b" in said.out
    assert "SmolVLM" in said.err and "pip install num2words" in said.err
    assert said.err.count("cannot be used yet") == 1


def test_models_show_of_the_built_in_model_by_its_id(tmp_path: Path) -> None:
    done = run(scripted("real"), "models", "show", "builtin", home=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "# tiny (shipped)")
    assert yaml.safe_load(done.stdout)["model"]["id"] == "builtin"


def test_models_show_of_a_model_that_is_not_here_says_how_large_it_is(tmp_path: Path) -> None:
    done = run(scripted("real"), "models", "show", "llava-ov-7b", home=tmp_path)
    assert "# not on this machine\n" in done.stdout
    assert "# weights: 8.03 B parameters, about 16.1 GB, float16\n" in done.stdout


def test_models_show_prints_yaml_with_origins(tmp_path: Path) -> None:
    done = run(scripted("real"), "models", "show", "llava-ov-0.5b", home=tmp_path, SHARPV_W="2")
    settings = yaml.safe_load(done.stdout)
    assert settings["model"]["id"] == "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"
    assert settings["visual"]["w"] == 2.0
    assert "# SHARPV_W" in done.stdout
    assert "# profile llava-ov-7b" in done.stdout


def test_local_size_of_a_hub_cache(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "0"
    blobs = tmp_path / "models--owner--name" / "blobs"
    refs = tmp_path / "models--owner--name" / "refs"
    for folder in (snapshot, blobs, refs):
        folder.mkdir(parents=True)
    (refs / "main").write_text("0", encoding="utf-8")
    (blobs / "b").write_bytes(b"x" * 1000)
    (snapshot / "model.safetensors").symlink_to(blobs / "b")
    script = (
        "import sys; from sharpv_cli.models.on_disk import local_size; print(*map(local_size, sys.argv[1:]))"
    )
    args = ["owner/name", "owner/other"]
    done = run([sys.executable, "-c", script], *args, home=tmp_path, HF_HUB_CACHE=str(tmp_path))
    assert done.stdout == "1000 None\n"
    missing = run([sys.executable, "-c", script], *args, home=tmp_path, HF_HUB_CACHE=str(tmp_path / "none"))
    assert missing.stdout == "None None\n"


def test_local_size_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_bytes(b"123")
    (tmp_path / "b").write_bytes(b"45")
    assert local_size(os.fspath(tmp_path)) == 5


@pytest.mark.parametrize("path", ["demo/a clip.mp4", "it's/$HOME.mp4", "-x.mp4"])
def test_demo_commands_can_be_pasted(path: str) -> None:
    words = shlex.split(command(Path(path), "what's moving?"))
    assert words[:2] == ["sharpv", "ask"]
    assert Path(words[2]) == Path(path)
    assert not words[2].startswith("-")
    assert words[3:] == ["what's moving?"]
