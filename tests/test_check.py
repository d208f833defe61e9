"""`sharpv check`, and what the README does in a shell: in real processes, with one resident process for all."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_cli import ROOT, SHARPV, run, scripted

from sharpv_cli.shapes.demo import write_demo

RED, GREEN = "Is there a red circle?", "Is there a green star?"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## In pipelines\n")[2].partition("\n## ")[0]
RECIPES = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.M | re.S)
SAYS = {
    "; then echo": "there is\n",
    "check -l": "demo/moving.mp4\n",
    "xargs": "demo/arriving.mp4: no 0.00\ndemo/moving.mp4: yes 1.00\n",
    "demo/*.mp4": "demo/arriving.mp4: three\ndemo/moving.mp4: two\n",
    "--choices": "left 100 %\n",
    "--json-schema": '{"moves": "the red circle"}\n',
    "growing.webm": "it grows\n",
    "sharpv batch": "",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with the demo clips, `sharpv` in its bin, and a resident process that ends with the module."""
    folder = tmp_path_factory.mktemp("h")
    (folder / "run").mkdir(mode=0o700)
    (folder / "bin").mkdir()
    (folder / "bin" / "sharpv").write_text(f'#!/bin/sh\nexec {shlex.join(SHARPV)} "$@"\n', encoding="utf-8")
    (folder / "bin" / "sharpv").chmod(0o755)
    write_demo(folder / "demo")
    yield folder
    run(SHARPV, "warm", "stop", home=folder, XDG_RUNTIME_DIR=str(folder / "run"))


def shell(home: Path, line: str) -> subprocess.CompletedProcess[str]:
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    warm = {"SHARPV_KEEP_WARM": "5m", "CI": "", "XDG_RUNTIME_DIR": str(home / "run"), "PATH": path}
    return run(["bash", "-o", "pipefail", "-c", line], home=home, **warm)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.partition("\n")[0].strip("# "))
def test_a_recipe_of_the_readme_works(home: Path, recipe: str) -> None:
    done = shell(home, recipe)
    assert done.returncode == 0, done.stderr
    for mark, said in SAYS.items():
        if mark in recipe:
            assert sorted(done.stdout.splitlines()) == sorted(said.splitlines())


def test_every_recipe_that_is_expected_is_there() -> None:
    assert len(RECIPES) >= len(SAYS)
    assert all(sum(mark in recipe for recipe in RECIPES) == 1 for mark in SAYS)


ONE, BOTH = "check demo/moving.mp4", "check demo/moving.mp4 demo/arriving.mp4"
CASES = [
    (f"{ONE} '{RED}'", 0, "", ""),
    (f"{ONE} '{GREEN}'", 1, "", ""),
    (f"{ONE} '{GREEN}' --threshold 0", 0, "", ""),
    (f"{ONE} -q '{RED}' --threshold 1", 1, "", ""),
    (f"{ONE} '{RED}' --stats", 0, "", r"demo/moving.mp4: yes 1\.0000; 100\.0% of all answers .*\n"),
    (f"{ONE} -l '{RED}'", 0, "demo/moving.mp4\n", ""),
    (f"{BOTH} '{GREEN}'", 1, "demo/moving.mp4: no 0.00\ndemo/arriving.mp4: no 0.00\n", ""),
    (f"{BOTH} -L '{RED}'", 0, "demo/arriving.mp4\n", ""),
    (f"{BOTH} --quiet -q '{RED}'", 0, "", ""),
    (f"{BOTH} --start 9 '{RED}'", 6, "", r"(error: demo/\w+.mp4: the start 9 s .*\nhint: .*\n){2}"),
    (
        f"{ONE} nowhere.mp4 '{RED}'",
        6,
        "demo/moving.mp4: yes 1.00\n",
        "error: no such file: nowhere.mp4\n.*\n",
    ),
    (f"check nowhere.mp4 '{RED}'", 3, "", "error: no such file: nowhere.mp4\nhint: .*\n"),
    (f"{ONE} '{RED}' --model ./nowhere", 4, "", "error: ./nowhere: no such folder\nhint: .*\n"),
    (ONE, 2, "", "error: a video and a question are needed\nhint: .*\n"),
    ("check -q what?", 2, "", "error: missing argument .*\nhint: .*\n"),
    (f"{ONE} -l -L '{RED}'", 2, "", "error: -l and -L exclude each other\nhint: .*\n"),
    (f"{ONE} '{RED}' --threshold 2", 2, "", "error: .*--threshold.*\nhint: .*\n"),
]


@pytest.mark.parametrize(("line", "code", "said", "told"), CASES, ids=[case[0] for case in CASES])
def test_the_exit_code_is_the_answer(home: Path, line: str, code: int, said: str, told: str) -> None:
    done = shell(home, f"sharpv {line}")
    assert (done.returncode, done.stdout) == (code, said), done.stderr
    assert re.fullmatch(told, done.stderr), done.stderr


def test_it_says_the_same_without_the_resident_process(home: Path) -> None:
    done = run(SHARPV, "check", "demo/arriving.mp4", "demo/moving.mp4", RED, home=home)
    assert (done.returncode, done.stdout) == (0, "demo/arriving.mp4: no 0.00\ndemo/moving.mp4: yes 1.00\n")


@pytest.mark.parametrize("where", ["pipeline", "import"])
def test_a_bug_is_no_answer(home: Path, where: str) -> None:
    """The interpreter would end with 1, which says no."""
    if where == "pipeline":
        done = run(scripted("bug"), "check", "demo/moving.mp4", RED, home=home)
        assert done.stderr.startswith("error: unexpected ZeroDivisionError")
    else:
        code = (
            "import sys; sys.modules['sharpv_cli.app'] = None; sys.argv[1:] = ['check']; "
            "from sharpv_cli.__main__ import main; main()"
        )
        done = run([sys.executable, "-c", code], home=home)
    assert (done.returncode, done.stdout) == (70, "")


def test_an_interrupted_one_is_no_answer(home: Path) -> None:
    done = run(scripted("interrupted"), "check", "demo/moving.mp4", RED, home=home)
    assert (done.returncode, done.stdout) == (130, "")


def test_its_client_imports_nothing_heavy(home: Path) -> None:
    code = (
        "import sys; from sharpv_cli import __main__; from sharpv_cli.warm import client; "
        "client.run = lambda *_: sys.exit("
        "' '.join({'torch', 'numpy', 'av', 'rich', 'typer', 'pydantic', 'llguidance'} & set(sys.modules)) or 7);"
        "sys.argv[1:] = ['check', 'a.mp4', 'b?']; __main__.main()"
    )
    assert run([sys.executable, "-c", code], home=home).returncode == 7
