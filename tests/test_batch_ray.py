"""`--runner ray` on two local nodes: the same answers, and no death of a worker or the driver costs or doubles one.

Needs Ray: `pip install -e '.[ray]'`, then `pytest -n 0 tests/test_batch_ray.py`; skipped without it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from held_out_clips import held_out_clips
from run_cli import ROOT, SHARPV, environment, run

pytest.importorskip("ray", reason="needs Ray: pip install 'sharpv[ray]'")

QUESTIONS = ("how many objects are there?", "describe the video.")
# Ray reads the whole environment when it is imported, and its own threads warn: it lives in a process of its own.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def paths() -> str:
    """Where the workers find sharpv, and whatever Ray was found by."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("cluster")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env=environment(home, PYTHONPATH=paths(), RAY_USAGE_STATS_ENABLED="0"),
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return held_out_clips(tmp_path_factory.mktemp("clips"), 20)


def manifest(folder: Path, clips: Path) -> None:
    """Names are relative to a folder that is not the one where Ray was started."""
    rows: list[Any] = [
        {"id": video.stem, "video": os.path.relpath(video, folder), "questions": QUESTIONS}
        for video in sorted(clips.iterdir())
    ]
    rows.append({"id": "gone", "video": "gone.mp4", "question": "what?"})
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path: Path) -> dict[str, Any]:
    """Answer, or exit code and error, by id; no id comes twice."""
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    found = {
        document["id"]: document.get("answer", (document.get("exit_code"), document.get("error")))
        for document in documents
    }
    assert len(found) == len(documents)
    return found


@pytest.fixture(scope="module")
def expected(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one machine without Ray gives."""
    home = tmp_path_factory.mktemp("expected")
    manifest(home, clips)
    done = run(SHARPV, "batch", "m.jsonl", "-o", "r.jsonl", home=home)
    assert done.returncode == 6, done.stderr
    return lines(home / "r.jsonl")


def start(home: Path, address: str, *args: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [*SHARPV, "batch", "m.jsonl", "-o", "r.jsonl", "--runner", "ray", "--address", address, *args]
    changes = environment(home, PYTHONPATH=paths())
    return subprocess.Popen(command, env=changes, cwd=home, stdout=pipe, stderr=pipe, text=True)


def finished(process: subprocess.Popen[str]) -> None:
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, out) == (6, ""), errors


def grown(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until there are so many lines."""
    for _ in range(2400):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("too few lines within two minutes")


def workers() -> list[int]:
    """The processes of Ray's actors that hold our model."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if b"ray::MapWorker" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def test_two_nodes_give_the_same_answers(
    address: str, clips: Path, tmp_path: Path, expected: dict[str, Any]
) -> None:
    manifest(tmp_path, clips)
    process = start(tmp_path, address)
    seen: set[int] = set()
    while process.poll() is None:
        seen |= set(workers())
        time.sleep(0.2)
    finished(process)
    assert lines(tmp_path / "r.jsonl") == expected
    assert len(seen) == 2, "a worker on each node"


def test_a_worker_that_is_killed_costs_and_doubles_nothing(
    address: str, clips: Path, tmp_path: Path, expected: dict[str, Any]
) -> None:
    manifest(tmp_path, clips)
    process = start(tmp_path, address)
    grown(tmp_path / "r.jsonl", 4, process)
    killed = workers()
    assert killed
    os.kill(killed[0], signal.SIGKILL)
    finished(process)
    assert lines(tmp_path / "r.jsonl") == expected


def test_a_driver_that_is_killed_goes_on_to_the_same_file(
    address: str, clips: Path, tmp_path: Path, expected: dict[str, Any]
) -> None:
    manifest(tmp_path, clips)
    process = start(tmp_path, address)
    grown(tmp_path / "r.jsonl", 4, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = lines(tmp_path / "r.jsonl")
    assert 4 <= len(there) < len(expected)
    process = start(tmp_path, address)
    _, errors = process.communicate(timeout=240)
    answered = sum(isinstance(value, str) for value in there.values())
    assert f"{answered} were there already" in errors
    assert lines(tmp_path / "r.jsonl") == expected


def test_without_an_address_ray_starts_here(clips: Path, tmp_path: Path, expected: dict[str, Any]) -> None:
    manifest(tmp_path, clips)
    done = run(
        SHARPV,
        "batch",
        "m.jsonl",
        "-o",
        "-",
        "--runner",
        "ray",
        "--limit",
        "2",
        "--quiet",
        home=tmp_path,
        PYTHONPATH=paths(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = {document["id"]: document["answer"] for document in map(json.loads, done.stdout.splitlines())}
    assert answers == {id: expected[id] for id in ("00000#1", "00000#2")}


def test_an_index_is_kept_where_the_workers_run(address: str, clips: Path, tmp_path: Path) -> None:
    """Of a cluster that shares a home folder, as that of one machine does: what it has seen it knows."""
    (tmp_path / "clips").symlink_to(clips)
    command = ["index", "clips", "--seen", "auto", "--json", "--runner", "ray", "--address", address]
    told = []
    for _ in range(2):
        done = run(SHARPV, *command, home=tmp_path, PYTHONPATH=paths())
        assert done.returncode == 0, done.stderr
        told.append({one["video"]: one["seen"] for one in map(json.loads, done.stdout.splitlines())})
    names = {f"clips/{video.name}" for video in clips.iterdir()}
    assert told == [dict.fromkeys(names, False), dict.fromkeys(names, True)]
    assert f"0 looked at, {len(names)} known already" in done.stderr


def test_a_model_that_cannot_be_loaded_ends_the_run(address: str, clips: Path, tmp_path: Path) -> None:
    manifest(tmp_path, clips)
    process = start(tmp_path, address, "--device", "cuda:99")
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, out) == (5, ""), errors
    assert "error: device 'cuda:99' cannot be used" in errors


def test_no_cluster_at_the_address(clips: Path, tmp_path: Path) -> None:
    manifest(tmp_path, clips)
    process = start(tmp_path, "127.0.0.1:1")
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, out) == (5, ""), errors
    assert "no Ray cluster at 127.0.0.1:1" in errors


def test_a_job_that_kills_every_worker_costs_itself_alone(tmp_path: Path) -> None:
    helpers = Path(__file__).parent / "helpers"
    done = subprocess.run(
        [sys.executable, str(helpers / "deadly_jobs.py")],
        env=environment(tmp_path, PYTHONPATH=os.pathsep.join([paths(), str(helpers)])),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = {
        document["id"]: document for document in json.loads(done.stdout.splitlines()[-1])
    }  # Ray prints deaths
    assert sorted(told) == [str(number) for number in range(6)]
    lost = told.pop("1")
    assert lost["exit_code"] == 5
    assert lost["error"] == "answering 1.mp4: each Ray worker that it was given to ended"
    assert all(document["answer"] == "what?" for document in told.values())
