"""The written configuration, where each value comes from, and files that nobody should have written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from run_cli import ROOT, run, scripted

from sharpv_cli.docs.pages import written
from sharpv_cli.settings import FLAGS, defaults, resolve, variable
from sharpv_cli.video.encoding import write_clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The config folder of a home with a clip in it."""
    write_clip(tmp_path / "clip.mp4", [np.full((64, 96, 3), level, np.uint8) for level in (0, 99, 199)], 10.0)
    folder = tmp_path / ".config" / "sharpv"
    (folder / "profiles").mkdir(parents=True)
    return folder


PAGE = ROOT / "docs" / "configuration.md"


def test_the_configuration_is_as_written() -> None:
    assert written(PAGE) == PAGE.read_text("utf-8"), "run: python -m sharpv_cli.docs.pages"


def test_configuration_names_every_setting_with_its_flag_variable_and_default() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*) \|$", written(PAGE), re.MULTILINE))
    assert set(defaults()) <= set(rows)
    for flag, key in FLAGS.items():
        assert f"`--{flag}` | `{variable(flag)}`" in rows[key]
    assert "whole number, at least 1, below 2^31 | `32`" in rows["sampling.frames"]
    assert "number, at least -1, at most 1 | `0.2`" in rows["memory.m"]
    assert "adaptive, manual or off | `adaptive`" in rows["visual.mode"]
    assert "whole number, at least 0, below 2^63 | unset" in rows["generation.seed"]


def test_bounds_as_documented_are_those_that_hold() -> None:
    """`at least` and `above` are told apart by the value itself."""
    for flag, value, allowed in (
        ("frames", 1, True),
        ("frames", 0, False),
        ("fps", 0, False),
        ("w", 0, True),
    ):
        if allowed:
            resolve({flag: value}, {})
        else:
            with pytest.raises(Exception, match=f"--{flag} 0: should be"):
                resolve({flag: value}, {})


def test_show_settings_names_every_kind_of_origin(folder: Path) -> None:
    (folder / "config.yaml").write_text(
        "profile: mine\ngeneration: {max_new_tokens: 5}\nvisual: {k: 9}\ndevice: cpu\n", encoding="utf-8"
    )
    (folder / "profiles" / "base.yaml").write_text("visual: {k: 3, scale: 2}\n", encoding="utf-8")
    (folder / "profiles" / "mine.yaml").write_text("extends: base\nvisual: {w: 4}\n", encoding="utf-8")
    home = folder.parent.parent
    done = run(
        scripted("answer"), "ask", "clip.mp4", "what?", "--show-settings", "--frames", "6",
        home=home, SHARPV_M="0.1", SHARPV_FRAMES="7",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    origins = dict(re.findall(r"^ *([a-z_]+: \S+) +# (.*)$", done.stderr, re.MULTILINE))
    assert origins["frames: 6"] == "flag --frames"
    assert origins["strategy: uniform"] == "flag --frames"
    assert origins["m: 0.1"] == "SHARPV_M"
    assert origins["w: 4.0"] == "profile mine"
    assert origins["k: 3.0"] == "profile base"
    assert origins["scale: 2.0"] == "profile base"
    assert origins["max_new_tokens: 5"] == "config file"
    assert origins["device: cpu"] == "config file"
    assert origins["temperature: 0.0"] == "default"


def test_config_home_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "sharpv").mkdir(parents=True)
    (other / "sharpv" / "config.yaml").write_text("seed: 1\n", encoding="utf-8")
    done = run(scripted("answer"), "ask", "clip.mp4", "what?", home=tmp_path, XDG_CONFIG_HOME=str(other))
    assert done.returncode == 2
    assert f"{other / 'sharpv' / 'config.yaml'}:1: unknown key `seed`" in done.stderr
    assert "did you mean `generation.seed`?" in done.stderr


NESTED = ["visual: " + "[" * 5000, "".join(f"{' ' * depth}a:\n" for depth in range(1500)), "? " * 5000]


@pytest.mark.parametrize("text", NESTED, ids=["flow", "block", "keys"])
def test_deep_nesting_is_an_error_in_words(folder: Path, text: str) -> None:
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    done = run(scripted("real"), "ask", "clip.mp4", "what?", home=folder.parent.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {folder / 'config.yaml'}")
    assert "unexpected" not in done.stderr


def test_a_config_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "config.yaml").mkdir()
    done = run(scripted("real"), "ask", "clip.mp4", "what?", home=folder.parent.parent)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot read {folder / 'config.yaml'}: Is a directory")
