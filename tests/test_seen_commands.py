"""`sharpv index`, `sharpv seen` and the store in `ask` and `batch`, as commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_cli import SHARPV, run
from typer.testing import CliRunner

from sharpv_cli.app import app
from sharpv_cli.batch import ray_runner
from sharpv_cli.shapes.demo import DEMO_FOLDER

QUESTION = "Which direction does the red circle move?"
ON = {"SHARPV_SEEN": "auto"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two clips, of which an index knows."""
    home = tmp_path_factory.mktemp("home")
    (home / "clips").mkdir()
    for name in ("moving.mp4", "growing.webm"):
        shutil.copy(DEMO_FOLDER / name, home / "clips")
    done = sharpv(home, "index", "clips", "--json")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted((line["video"], line["seen"]) for line in told) == [
        ("clips/growing.webm", False),
        ("clips/moving.mp4", False),
    ]
    assert done.stderr.count("is kept in") == 1
    return home


def sharpv(home: Path, *arguments: str, **variables: str) -> Any:
    return run(SHARPV, *arguments, home=home, **{**ON, **variables})


def test_what_was_indexed_is_asked_without_a_look(folder: Path) -> None:
    done = sharpv(folder, "batch", "clips", "-q", QUESTION, "-o", "-", "--seen", "only")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["video"]["seen"] for answer in answers] == [True, True]
    assert {answer["timing"]["vision_sec"] for answer in answers} == {0}
    assert "is kept in" not in done.stderr


def test_an_index_goes_on_where_it_ended(folder: Path) -> None:
    shutil.copy(folder / "clips" / "moving.mp4", folder / "again.mp4")
    done = sharpv(folder, "index", "again.mp4")
    assert "0 looked at, 1 known already" in done.stderr


def test_an_index_on_a_cluster_is_made_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself is replaced: what is tested is that the jobs get there."""
    sent: list[Any] = []

    def on_cluster(jobs: Any, model: Any, cluster: Any) -> Iterator[Any]:
        sent.append(([job.video for job in jobs], type(model).__name__, cluster.address))
        return (_ for _ in ())

    monkeypatch.setattr(ray_runner, "require_ray", lambda: None)
    monkeypatch.setattr(ray_runner, "on_cluster", on_cluster)
    arguments = ["index", "clips/moving.mp4", "--runner", "ray", "--address", "auto"]
    monkeypatch.chdir(folder)
    assert CliRunner().invoke(app, arguments, env={**ON, "HOME": str(folder)}).exit_code == 0
    assert sent == [(["clips/moving.mp4"], "LookingModel", "auto")]


def test_a_video_that_is_none_fails_alone(folder: Path) -> None:
    (folder / "list.jsonl").write_text('{"video": "clips/moving.mp4"}\n{"video": "none.mp4"}\n')
    done = sharpv(folder, "index", "list.jsonl")
    assert done.returncode == 6
    assert "none.mp4" in done.stderr
    assert "0 looked at, 1 known already, 1 failed" in done.stderr


def test_many_failures_are_told_as_batch_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty by name, all in what goes to stdout."""
    (tmp_path / "list.jsonl").write_text('{"video": 5}\n' * 25)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["index", "list.jsonl", "--json"], env={**ON, "HOME": str(tmp_path)})
    assert done.exit_code == 6
    assert {json.loads(line)["schema"] for line in done.stdout.splitlines()} == {"sharpv.error/1"}
    assert (len(done.stdout.splitlines()), done.stderr.count("warning: ")) == (25, 21)
    assert "and 5 more, on stdout" in done.stderr
    assert "0 looked at, 0 known already, 25 failed" in done.stderr


def test_list_show_export_import_remove_clear(folder: Path, tmp_path: Path) -> None:
    listed = json.loads(sharpv(folder, "seen", "list", "--json").stdout)["kept"]
    assert sorted(Path(one["video"]).name for one in listed) == ["growing.webm", "moving.mp4"]
    shown = sharpv(folder, "seen", "show", "clips/moving.mp4", "--sheet", "sheet.png").stdout
    assert (folder / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert "builtin (llava_onevision, float32, sdpa, fast)" in shown

    assert sharpv(folder, "seen", "export", "clips/moving.mp4", "-o", "m.seen").returncode == 0
    answered = sharpv(folder, "ask", "m.seen", QUESTION, "--quiet", SHARPV_SEEN="off")
    assert answered.stdout == "left\n"
    assert sharpv(tmp_path, "seen", "import", str(folder / "m.seen")).returncode == 0
    assert "1 clips" in sharpv(tmp_path, "seen").stderr

    assert sharpv(tmp_path, "seen", "remove", "moving.mp4").returncode == 3  # it never lay there
    assert sharpv(tmp_path, "seen", "remove", str(folder / "clips" / "moving.mp4")).returncode == 0
    assert "0 clips" in sharpv(tmp_path, "seen").stderr
    assert "removed 0 files" in sharpv(tmp_path, "seen", "clear").stderr


def test_another_model_is_named(folder: Path) -> None:
    sharpv(folder, "seen", "export", "clips/moving.mp4", "-o", "n.seen")
    copied = shutil.copytree(Path(DEMO_FOLDER).parent / "tiny", folder / "model")
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "vision_aspect_ratio": "anyres_max_8"}))
    done = sharpv(folder, "ask", "n.seen", QUESTION, "--model", "./model")
    assert done.returncode == 4
    assert "was made with builtin" in done.stderr


def test_only_without_anything_is_told_before_torch(folder: Path) -> None:
    (folder / "other.mp4").write_bytes((DEMO_FOLDER / "arriving.mp4").read_bytes())
    done = sharpv(folder, "ask", "other.mp4", QUESTION, "--seen", "only")
    assert (done.returncode, done.stdout) == (3, "")
    assert "sharpv index" in done.stderr
