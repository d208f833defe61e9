"""Downloads from a hub on localhost: what is said, what is asked, what stays after Ctrl-C, what is refused."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clips import encode
from fake_hub import COMMIT, REPOSITORY, FakeHub
from run_cli import environment, run, scripted
from safetensors.numpy import save_file
from waiting import LONG, signal_taken, until

PULL = ("models", "pull", REPOSITORY)


NEEDED = {
    "config.json": json.dumps(
        {
            "model_type": "llava_onevision",
            "text_config": {"num_hidden_layers": 6, "max_position_embeddings": 4096},
        }
    ),
    "tokenizer.json": "{}",
    "processor_config.json": "{}",
    "chat_template.jinja": "{{ messages }}",
}
WEIGHTS = {"model.language_model.layers.0.mlp.up_proj.weight": np.ones((600, 500), np.float32)}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A repository with a checkpoint's files, as far as they are looked at without torch."""
    source = tmp_path / "source"
    source.mkdir()
    for name, text in NEEDED.items():
        (source / name).write_text(text)
    save_file(WEIGHTS, source / "model.safetensors")
    (source / "pytorch_model.bin").write_bytes(b"pickled twice as large" * 1000)
    (source / "onnx").mkdir()
    (source / "onnx" / "config.json").write_text("{}")
    with FakeHub(source, tmp_path / "hf") as hub:
        yield hub


def sharpv(hub: FakeHub, home: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`sharpv` in a pipe, with torch and transformers forbidden: a download needs neither."""
    return run(scripted("real"), *args, home=home, **{**hub.environment, **more})


def snapshot(hub: FakeHub) -> Path:
    return hub.cache / "hub" / "models--owner--name" / "snapshots" / COMMIT


def rows(hub: FakeHub, home: Path, *options: str) -> str:
    """`sharpv models list`, with a profile `mine` for the repository."""
    profiles = home / ".config" / "sharpv" / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    (profiles / "mine.yaml").write_text(f"model: {{id: {REPOSITORY}, family: llava_onevision}}\n")
    return sharpv(hub, home, "models", "list", *options).stdout


def local(hub: FakeHub, home: Path) -> str:
    (line,) = [line for line in rows(hub, home).splitlines() if line.startswith("mine ")]
    return line.split()[2]


def complete(hub: FakeHub, home: Path) -> bool:
    (row,) = [row for row in json.loads(rows(hub, home, "--json"))["profiles"] if row["name"] == "mine"]
    return bool(row["local_complete"])


def test_pull_tells_the_size_then_prints_the_folder(hub: FakeHub, tmp_path: Path) -> None:
    needed = [hub.folder / name for name in (*NEEDED, "model.safetensors")]

    done = sharpv(hub, tmp_path, *PULL)

    assert (done.returncode, done.stdout) == (0, f"{snapshot(hub)}\n")
    size = f"{sum(file.stat().st_size for file in needed) / 1e6:.1f} MB"
    assert f"{REPOSITORY} ({COMMIT[:12]}): to download {size} in {len(needed)} files; " in done.stderr
    assert "free on the disk" in done.stderr
    assert {path.name for path in snapshot(hub).iterdir()} == {file.name for file in needed}
    for file in needed:
        assert (snapshot(hub) / file.name).read_bytes() == file.read_bytes()


def test_what_is_complete_is_not_downloaded_again(hub: FakeHub, tmp_path: Path) -> None:
    assert local(hub, tmp_path) == "-"
    sharpv(hub, tmp_path, *PULL)
    assert local(hub, tmp_path) == "1.2MB"
    assert complete(hub, tmp_path)
    hub.requests.clear()

    again = sharpv(hub, tmp_path, *PULL)

    assert (again.returncode, again.stdout) == (0, f"{snapshot(hub)}\n")
    assert "complete" in again.stderr
    assert hub.downloads() == []


def test_a_model_that_is_complete_needs_no_hub(hub: FakeHub, tmp_path: Path) -> None:
    sharpv(hub, tmp_path, *PULL)
    hub.requests.clear()

    shown = sharpv(hub, tmp_path, "models", "show", REPOSITORY)

    assert hub.requests == []
    assert f"# folder: {snapshot(hub)}" in shown.stdout
    assert "# family: llava_onevision, 6 layers, context: 4096" in shown.stdout
    assert "float32" in shown.stdout
    assert "# attention here: " in shown.stdout


def start(hub: FakeHub, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*scripted("real"), *PULL],
        env=environment(home, **hub.environment),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_the_other_files(hub: FakeHub) -> None:
    until(lambda: snapshot(hub).is_dir() and len(list(snapshot(hub).iterdir())) == len(NEEDED))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ctrl_c_leaves_is_partial_and_goes_on(
    number: signal.Signals, hub: FakeHub, tmp_path: Path
) -> None:
    hub.holds = "model.safetensors"
    with start(hub, tmp_path) as process:
        assert hub.halfway.wait(LONG)
        wait_for_the_other_files(hub)
        process.send_signal(number)
        until(lambda: signal_taken(process.pid))
        time.sleep(0.3)  # for Python to heed it
        hub.release.set()
        out, said = process.communicate(timeout=LONG)
    assert (process.returncode, out) == (128 + number, "")
    assert "Traceback" not in said
    if number == signal.SIGINT:
        assert "rerunning the same command resumes" in said
    assert not list(hub.cache.rglob("*.incomplete"))
    assert local(hub, tmp_path) == "partial"
    assert not complete(hub, tmp_path)
    assert "partly downloaded" in sharpv(hub, tmp_path, "models", "show", REPOSITORY).stdout
    hub.requests.clear()
    hub.holds = None

    again = sharpv(hub, tmp_path, *PULL)

    assert again.returncode == 0
    assert "1 of 5 files" in again.stderr
    assert hub.downloads() == ["model.safetensors"]


def test_offline_a_partial_download_is_told_with_what_is_missing(hub: FakeHub, tmp_path: Path) -> None:
    sharpv(hub, tmp_path, *PULL)
    (snapshot(hub) / "model.safetensors").unlink()
    clip = encode(tmp_path / "clip.mp4", 4)
    hub.requests.clear()

    done = sharpv(hub, tmp_path, "ask", str(clip), "what?", "--model", REPOSITORY, "--offline")

    assert done.returncode == 4
    assert "only partly in the local cache (model.safetensors is missing)" in done.stderr
    assert hub.requests == []


def test_ask_downloads_after_saying_how_much(hub: FakeHub, tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", 4)

    done = sharpv(hub, tmp_path, "ask", str(clip), "what?", "--model", REPOSITORY)

    assert done.stdout == ""
    assert f"note: {REPOSITORY} ({COMMIT[:12]}): to download 1." in done.stderr
    assert (snapshot(hub) / "model.safetensors").is_file()


def test_a_full_disk_is_refused_before_the_download(hub: FakeHub, tmp_path: Path) -> None:
    hub.said_size = 10**15

    done = sharpv(hub, tmp_path, *PULL)

    assert done.returncode == 5
    assert "5000000.0 GB to download, but only" in done.stderr
    assert "HF_HOME" in done.stderr
    assert hub.downloads() == ["config.json"]


def break_nothing(_source: Path) -> None:
    pass


def pickle_only(source: Path) -> None:
    (source / "model.safetensors").unlink()


def other_family(source: Path) -> None:
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"model_type": "frobnicator"}))


def no_processor(source: Path) -> None:
    (source / "processor_config.json").unlink()


@pytest.mark.parametrize(
    ("changes", "breaks", "said", "hint"),
    [
        ({"refusal": (404, "RepoNotFound")}, break_nothing, "no such model on the hub", "check the name"),
        ({"refusal": (401, "RepoNotFound")}, break_nothing, "no such model on the hub", "check the name"),
        ({"refusal": (401, "GatedRepo")}, break_nothing, "only to accounts with access", "hf auth login"),
        ({"refusal": (403, "GatedRepo")}, break_nothing, "only to accounts with access", "hf auth login"),
        ({"gated_files": True}, break_nothing, "only to accounts with access", "hf auth login"),
        ({"refusal": (404, "RevisionNotFound")}, break_nothing, "no revision 'main'", "--revision"),
        ({"refusal": (410, "")}, break_nothing, "hub cannot be reached (it answered 410)", "network"),
        ({}, pickle_only, "pickled (pytorch_model.bin)", "safetensors"),
        ({}, other_family, "'frobnicator' is not supported", "supported: "),
        ({}, no_processor, "no processor_config.json on the hub", "-hf"),
    ],
)
def test_what_the_hub_does_not_give_is_refused_without_a_download(
    changes: dict[str, object], breaks: object, said: str, hint: str, hub: FakeHub, tmp_path: Path
) -> None:
    for name, value in changes.items():
        setattr(hub, name, value)
    assert callable(breaks)
    breaks(hub.folder)

    done = sharpv(hub, tmp_path, *PULL, "--revision", "main")

    assert (done.returncode, done.stdout) == (4, "")
    error, hinted = done.stderr.splitlines()
    assert error.startswith(f"error: {REPOSITORY}: ") and said in error
    assert hint in hinted
    assert set(hub.downloads()) <= {"config.json"}


def test_a_hub_out_of_reach_is_told(hub: FakeHub, tmp_path: Path) -> None:
    done = sharpv(hub, tmp_path, *PULL, HF_ENDPOINT="http://127.0.0.1:9")

    assert done.returncode == 4
    assert "hub cannot be reached" in done.stderr
    assert done.stderr.count("check the network") == 1
    assert f"`sharpv models pull {REPOSITORY}`" in done.stderr.splitlines()[-1]


def test_a_folder_and_the_built_in_model_have_nothing_to_pull(hub: FakeHub, tmp_path: Path) -> None:
    for name in ("tiny", str(hub.folder)):
        done = sharpv(hub, tmp_path, "models", "pull", name)
        assert done.returncode == 2
        assert f"{name}: nothing to download" in done.stderr
    assert hub.requests == []


@pytest.mark.parametrize(("answer", "code"), [("n\n", 130), ("y\n", 0), ("\n", 0)])
def test_on_a_terminal_it_asks_first(answer: str, code: int, hub: FakeHub, tmp_path: Path) -> None:
    assert on_a_terminal(hub, tmp_path, answer, *PULL) == code
    assert snapshot(hub).joinpath("model.safetensors").exists() == (code == 0)


def test_yes_does_not_ask(hub: FakeHub, tmp_path: Path) -> None:
    assert on_a_terminal(hub, tmp_path, "", *PULL, "--yes") == 0


def on_a_terminal(hub: FakeHub, home: Path, typed: str, *args: str) -> int:
    """The exit code of `sharpv` with a terminal on stdin and stderr, where `typed` is typed."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    process = subprocess.Popen(
        [*scripted("real"), *args],
        env=environment(home, **hub.environment),
        cwd=home,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        while os.read(ours, 4096):
            pass
    except OSError:  # the other end was closed
        pass
    finally:
        os.close(ours)
    return process.wait(30)


def test_nothing_of_the_hub_is_imported_by_the_help() -> None:
    code = "import sys, sharpv_cli.commands.models.command; print('huggingface_hub' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
