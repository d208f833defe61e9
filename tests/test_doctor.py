"""`sharpv doctor`: what it finds, what it says, and the code it ends with. One run imports torch."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.theme import Theme
from run_cli import ROOT, SHARPV, run

import sharpv_cli
from sharpv_cli.models import environment
from sharpv_cli.models.environment import Check
from sharpv_cli.report.checks import CheckTable, exit_code, plain_lines
from sharpv_cli.settings import ModelSettings, Settings

SCHEMA = json.loads((ROOT / "docs" / "schema" / "sharpv.doctor.1.json").read_text(encoding="utf-8"))


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    return found


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {f"{check['group']}.{check['name']}": check for check in document(done)["checks"]}


def without_torch(home: Path, *args: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """`doctor` where PyTorch cannot be imported: the other checks, without the seconds that importing it takes."""
    broken = home / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "torch.py").write_text("raise ImportError('no libcudart')", encoding="utf-8")
    return run(SHARPV, "doctor", *args, home=home, PYTHONPATH=f"{broken}:{ROOT}", **changes)


def test_a_machine_that_can_ask(tmp_path: Path) -> None:
    done = run(SHARPV, "doctor", "--json", home=tmp_path, CUDA_VISIBLE_DEVICES="", SHARPV_W="2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    found = checks(done)
    assert found["sharpv.version"]["value"] == sharpv_cli.__version__
    assert found["sharpv.variables"]["value"] == "SHARPV_KEEP_WARM=0 SHARPV_SEEN=off SHARPV_W=2"
    assert found["models.cache"]["value"].startswith(str(tmp_path / ".cache" / "huggingface" / "hub"))
    assert found["models.model"]["bytes"] > 10**6
    assert found["device.memory"]["value"].startswith("weights ")
    assert "cores" in found["device.cpu"]["value"]
    assert found["device.chosen"]["value"].endswith(", float32")
    assert found["attention.flash"]["value"].startswith("not usable: flash-attn needs CUDA")
    assert found["attention.chosen"]["value"] == "sdpa (flash-attn needs CUDA)"
    assert [check["name"] for check in found.values() if check["exit_code"]] == []


def test_weights_that_do_not_fit_are_what_ask_would_end_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 B parameters take 15.0 GiB in half precision and twice that in float32, 8,030,807,584 of 2 or 4 bytes."""
    monkeypatch.setattr("sharpv_cli.models.placement.available_bytes", lambda _device: 16 << 30)
    model = ModelSettings(id="llava-hf/llava-onevision-qwen2-7b-ov-hf")
    settings = Settings(model=model, device="cpu")
    refused = environment.memory(settings)
    assert refused is not None and refused.exit_code == 5
    assert refused.value == "weights 29.9 GiB, 16.0 GiB free on cpu"
    assert refused.hint is not None and "--dtype bfloat16" in refused.hint
    half = settings.model_copy(update={"model": model.model_copy(update={"dtype": "bfloat16"})})
    fits = environment.memory(half)
    assert fits is not None and (fits.exit_code, fits.value) == (
        None,
        "weights 15.0 GiB, 16.0 GiB free on cpu",
    )
    dared = environment.memory(settings.model_copy(update={"memory_check": False}))
    assert dared is not None and dared.exit_code is None
    assert environment.memory(settings.model_copy(update={"device": "nowhere"})) is None


def test_without_torch_the_quick_checks_are_there_all_the_same(tmp_path: Path) -> None:
    done = without_torch(tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == f"sharpv.version: {sharpv_cli.__version__}"
    assert "sharpv.profile: tiny (shipped)" in lines
    assert lines[-2] == "device.chosen: problem: torch cannot be imported: no libcudart"
    assert done.stderr.startswith("error: torch cannot be imported")
    assert done.stderr.splitlines()[1].startswith("hint: pip install")
    assert done.returncode == 1


def test_what_ask_would_end_with_comes_first(tmp_path: Path) -> None:
    done = without_torch(tmp_path, "--json", "-p", "tinny")
    found = document(done)
    assert (done.returncode, found["exit_code"]) == (2, 2)
    assert "unknown profile: tinny" in checks(done)["sharpv.profile"]["problem"]
    done = without_torch(tmp_path, "--json", SHARPV_MODEL="./nowhere")
    model = checks(done)["models.model"]
    assert (done.returncode, model["exit_code"], model["value"]) == (4, 4, "./nowhere")
    assert "no such folder" in model["problem"]


def test_a_broken_profile_that_is_not_used_is_only_named(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "sharpv" / "profiles"
    folder.mkdir(parents=True)
    (folder / "good.yaml").write_text("extends: tiny\n", encoding="utf-8")
    (folder / "bad.yaml").write_text("visual: {x: 1}\n", encoding="utf-8")
    (folder.parent / "config.yaml").write_text("profile: good\n", encoding="utf-8")
    done = without_torch(tmp_path, "--json", HF_HUB_OFFLINE="1")
    found = checks(done)
    assert found["sharpv.profile"]["value"] == f"good ({folder / 'good.yaml'})"
    assert found["sharpv.config file"]["value"] == str(folder.parent / "config.yaml")
    assert found["sharpv.own profiles"]["value"] == f"2 in {folder}"
    bad = found["sharpv.profile bad"]
    assert (bad["exit_code"], bad["problem"]) == (None, f"{folder / 'bad.yaml'}:1: unknown key `visual.x`")
    assert found["models.offline"]["value"] == "yes: HF_HUB_OFFLINE"


def test_a_broken_config_file_is_exit_2(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "sharpv"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("visual: [\n", encoding="utf-8")
    done = without_torch(tmp_path, "--json")
    assert done.returncode == 2
    assert "not valid YAML" in checks(done)["sharpv.profile"]["problem"]


def test_every_dependency_is_named() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    named = {check.name for check in environment.libraries()}
    assert {re.split(r"[<>=]", line)[0] for line in listed} <= named


def test_a_library_below_its_floor_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_floors", lambda: {"numpy": ">=99", "rich": ">=1"})
    found = {check.name: check for check in environment.libraries()}
    assert found["numpy"].problem is not None
    assert found["numpy"].problem.endswith("does not fit: sharpv needs numpy>=99")
    assert (found["numpy"].hint, found["numpy"].exit_code) == ("pip install 'numpy>=99'", 1)
    assert found["rich"].problem is None


def test_the_security_note_goes_with_the_old_library(tmp_path: Path) -> None:
    found = checks(without_torch(tmp_path, "--json"))
    old = int(found["video.pyav"]["value"].partition(".")[0]) < 19
    assert (found["video.ffmpeg"]["problem"] is not None) == old
    assert found["video.ffmpeg"]["exit_code"] is None


LONG = Check("models", "cache", "/a/very/long/path" * 6, None, "it is full \x1b[2J円", "free some space", 4)


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_table_folds_and_cuts_nothing(width: int, encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    styles = Theme({"error": "red", "warning": "yellow", "hint": "cyan"})
    console = Console(file=stream, width=width, color_system=None, theme=styles, _environ={})
    console.print(CheckTable([LONG, Check("models", "offline", "no")]))
    stream.flush()
    drawn = raw.getvalue().decode(encoding)
    assert max(map(cell_len, drawn.splitlines())) <= width
    squeezed = "".join(drawn.split())
    assert "/a/very/long/path" * 6 in squeezed
    assert "problem:itisfull\\x1b[2J" in squeezed
    assert "hint:freesomespace" in squeezed
    assert squeezed.endswith("offlineno")


def test_plain_lines_are_whole() -> None:
    lines = plain_lines([LONG]).splitlines()
    assert lines[0] == "models.cache: " + "/a/very/long/path" * 6
    assert lines[1] == "models.cache: problem: it is full \\x1b[2J円"
    assert exit_code([Check("a", "b", "c"), LONG, Check("a", "b", "c", None, "x", None, 2)]) == 4
