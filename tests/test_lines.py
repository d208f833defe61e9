"""Results in real processes: killed at any moment, several at once, in places that take no rename, and into pipes."""

from __future__ import annotations

import errno
import fcntl
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest
from mounts import in_read_only_folder, mounted_alone
from run_cli import environment, run, scripted

from sharpv_cli.batch.results import ResultsFile
from sharpv_cli.errors import UsageError
from sharpv_cli.lines import rewriting
from sharpv_cli.lines.appending import Lines

SCHEMAS = ("sharpv.ask/1", "sharpv.error/1")


def answer(number: int, digest: str = "d") -> dict[str, object]:
    return {"schema": "sharpv.ask/1", "id": str(number), "digest": digest, "answer": "left" * 50}


def opened(path: Path) -> Lines:
    return Lines(path, SCHEMAS, command="sharpv batch")


def filled(path: Path, count: int) -> None:
    path.write_text("".join(json.dumps(answer(number)) + "\n" for number in range(count)))


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


# Each answer of the file is replaced by a newer one.
RERUN = """
import sys
from pathlib import Path
from sharpv_cli.batch.results import ResultsFile
with ResultsFile(Path(sys.argv[1])) as file:
    for id in sorted(file.done):
        file.add({"schema": "sharpv.ask/1", "id": id, "digest": "new", "answer": "right"})
"""


@pytest.mark.parametrize("place", [mounted_alone, in_read_only_folder])
def test_where_nothing_can_be_renamed_a_rerun_settles_in_place(
    tmp_path: Path, place: Callable[[Path], list[str]]
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    path = folder / "r.jsonl"
    filled(path, 50)
    inode = path.stat().st_ino
    command = [*place(path), sys.executable, "-c", RERUN, str(path)]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(ids(path)) == sorted(map(str, range(50)))
    assert {json.loads(line)["digest"] for line in path.read_text().splitlines()} == {"new"}
    assert (path.stat().st_ino, list(folder.iterdir())) == (inode, [path])


@pytest.mark.parametrize("step", [1, 10, 20, 21, 22, 23, 24, 25, 26])
def test_a_crash_at_any_step_of_writing_in_place_loses_nothing(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is gone at its n-th write, sync or cut; half of what it was writing is there."""
    path = tmp_path / "r.jsonl"
    filled(path, 40)
    pid = os.fork()
    if pid == 0:
        _die_at(step)
        rewriting.replacing = _refuse  # type: ignore[assignment]
        with opened(path) as lines:
            lines.keep(lambda number, _: number % 2 == 1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    with opened(path) as lines:
        found = {str(document["id"]) for document in lines.documents()}
    assert {str(number) for number in range(1, 40, 2)} <= found
    with ResultsFile(path) as file:
        assert found == set(file.done)
    assert len(ids(path)) in (20, 40, *range(40, 61))
    assert os.WEXITSTATUS(status) == (9 if step < 26 else 0), (
        "20 parts, a mark, 2 syncs, 2 pieces to the front"
    )


def _refuse(target: Path) -> None:
    raise OSError(errno.EBUSY, "Device or resource busy")


def _die_at(step: int) -> None:
    left = [step]

    def dying(real: Callable[..., object], half: bool) -> Callable[..., object]:
        def call(*args: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                if half:
                    file, content = args
                    assert isinstance(file, FileIO) and isinstance(content, bytes)
                    file.write(content[: len(content) // 2])
                os._exit(9)
            return real(*args)

        return call

    rewriting._CHUNK = 3000  # type: ignore[misc]
    rewriting.write_all = dying(rewriting.write_all, True)  # type: ignore[attr-defined]
    os.fsync = dying(os.fsync, False)  # type: ignore[assignment]


def test_what_killed_runs_leave_is_whole(tmp_path: Path) -> None:
    """SIGKILL at random moments while answers replace answers: none is lost, and in the end there is one a question."""
    path = tmp_path / "r.jsonl"
    filled(path, 3000)
    for wait in (0.15, 0.2, 0.25, 0.3):
        with subprocess.Popen([sys.executable, "-c", RERUN, str(path)], env=environment(tmp_path)) as process:
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        with ResultsFile(path) as file:
            assert set(file.done) == {str(number) for number in range(3000)}
    assert sorted(map(int, ids(path))) == list(range(3000))


def test_overlapping_starts_lose_nothing(tmp_path: Path) -> None:
    """Three at once, two on one file with answers and one on a file beside it, each as process 1 of its container."""
    shared, own = tmp_path / "r.jsonl", tmp_path / "own.jsonl"
    filled(shared, 500)
    filled(own, 400)
    code = f"import os; os.getpid = lambda: 1\n{RERUN}"
    command = [sys.executable, "-c", code]
    processes = [
        subprocess.Popen([*command, str(path)], env=environment(tmp_path), stderr=subprocess.PIPE, text=True)
        for path in (shared, own, shared)
    ]
    told = [process.communicate(timeout=60)[1] for process in processes]
    assert all(
        "another run writes to" in text for text, one in zip(told, processes, strict=True) if one.returncode
    )
    assert sorted(map(int, ids(shared))) == list(range(500))
    assert sorted(map(int, ids(own))) == list(range(400))
    assert sorted(tmp_path.iterdir()) == [own, shared]


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    filled(tmp_path / "r.jsonl", 3)
    with opened(tmp_path / "r.jsonl") as lines:
        assert not lines.locked
        lines.keep(lambda number, _: number > 0)
    assert ids(tmp_path / "r.jsonl") == ["1", "2"]


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_is_taken_away_is_told_with_the_next_answer(tmp_path: Path, how: str) -> None:
    path = tmp_path / "r.jsonl"
    with opened(path) as lines:
        lines.append(answer(1))
        if how == "removed":
            path.unlink()
        else:
            (tmp_path / "other").touch()
            (tmp_path / "other").replace(path)
        with pytest.raises(UsageError, match="was removed or replaced"):
            lines.append(answer(2))


def test_what_can_only_be_appended_to_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    filled(path, 2)
    if subprocess.run(["chattr", "+a", path], check=False, capture_output=True).returncode:
        pytest.skip("this system does not let us mark files")
    try:
        with pytest.raises(UsageError, match="cannot write"):
            opened(path)
    finally:
        subprocess.run(["chattr", "-a", path], check=True)


# What a run writes without a model: each row is one that cannot be used.
BROKEN = "".join(f'{{"id": "{number}", "video": "a.mp4", "question": ""}}\n' for number in range(200))


def batch(tmp_path: Path, line: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "m.jsonl").write_text(BROKEN)
    return subprocess.run(
        ["bash", "-c", line.replace("BATCH", " ".join([*scripted("real"), "batch", "m.jsonl", "--quiet"]))],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def errors(text: str) -> list[str]:
    found = [json.loads(line) for line in text.splitlines()]
    assert {line["schema"] for line in found} == {"sharpv.error/1"}
    return [line["id"] for line in found]


ALL = [str(number) for number in range(200)]


def test_results_go_into_another_program(tmp_path: Path) -> None:
    done = batch(
        tmp_path,
        "BATCH -o >(gzip > r.gz; touch got); code=$?; until [ -e got ]; do sleep 0.01; done; exit $code",
    )
    assert done.returncode == 6, done.stderr
    assert errors(gzip.decompress((tmp_path / "r.gz").read_bytes()).decode()) == ALL


def test_results_go_into_a_fifo_once_it_is_read(tmp_path: Path) -> None:
    done = batch(tmp_path, "mkfifo f; (sleep 1; cat f > got) & BATCH -o f; code=$?; wait; exit $code")
    assert done.returncode == 6, done.stderr
    assert errors((tmp_path / "got").read_text()) == ALL


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "-", "/dev/stderr"])
@pytest.mark.parametrize("way", ["pipe", "file"])
def test_results_go_where_a_descriptor_leads(tmp_path: Path, name: str, way: str) -> None:
    stream = "2" if name == "/dev/stderr" else "1"
    line = f"BATCH -o {name}" if way == "pipe" else f"echo before > got; BATCH -o {name} {stream}>> got"
    done = batch(tmp_path, line)
    assert done.returncode == 6
    if way == "pipe":
        text = done.stderr if stream == "2" else done.stdout
    else:
        text = (tmp_path / "got").read_text().removeprefix("before\n")
    lines = [line for line in text.splitlines() if line.startswith("{")]
    assert errors("\n".join(lines)) == ALL


def test_every_line_goes_into_a_pipe_that_does_not_wait(tmp_path: Path) -> None:
    """As /dev/stdout, whose flag is that of the pipe, and as a full one at that."""
    (tmp_path / "m.jsonl").write_text(BROKEN)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ
    os.set_blocking(writer, False)
    command = [*scripted("real"), "batch", "m.jsonl", "--quiet", "-o", "/dev/stdout"]
    with subprocess.Popen(
        command, env=environment(tmp_path), cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE
    ) as process:
        os.close(writer)
        time.sleep(1)
        with os.fdopen(reader, "rb") as pipe:
            got = pipe.read()
    assert process.returncode == 6
    assert errors(got.decode()) == ALL


@pytest.mark.parametrize("name", ["f", "/dev/stdout", "-"])
def test_resuming_what_cannot_be_read_back_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    reader = "mkfifo f; cat f > got &" if name == "f" else ""
    done = batch(tmp_path, f"{reader} BATCH -o {name} --resume; code=$?; wait; exit $code")
    assert done.returncode == 2
    assert "--resume: " in done.stderr and "cannot be read back" in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("BATCH -o /dev/full", "/dev/full is a device"),
        ("BATCH -o /dev/zero", "/dev/zero is a device"),
        (  # more lines than a pipe holds
            "for _ in 1 2 3 4 5 6 7 8; do cat m.jsonl m.jsonl > n; mv n m.jsonl; done; "
            "mkfifo f; (head -c 100 f > got) & BATCH -o f",
            "cannot write f: whoever read it is gone",
        ),
        ("BATCH -o /dev/stdout > /dev/full", "cannot write /dev/stdout: No space left on device"),
        ("BATCH -o /dev/fd/77", "cannot write /dev/fd/77: Bad file descriptor"),
    ],
)
def test_a_line_that_cannot_be_written_fails_the_run(tmp_path: Path, line: str, told: str) -> None:
    done = batch(tmp_path, line)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_dev_null_takes_all(tmp_path: Path) -> None:
    done = batch(tmp_path, "BATCH -o /dev/null")
    assert (done.returncode, done.stdout) == (6, "")
    assert not Path(os.devnull).is_file()


def test_a_fifo_that_nobody_reads_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpv_cli.lines.piped._READER_SEC", 0.1)
    os.mkfifo(tmp_path / "f")
    with pytest.raises(UsageError, match="nobody reads this pipe"):
        ResultsFile(tmp_path / "f")


@pytest.mark.parametrize("place", [mounted_alone, in_read_only_folder])
def test_the_command_works_on_a_file_that_is_mounted_alone(
    tmp_path: Path, place: Callable[[Path], list[str]]
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "r.jsonl").touch()
    (tmp_path / "m.jsonl").write_text(BROKEN)
    for _ in range(2):
        command = [*place(results / "r.jsonl"), *scripted("real")]
        done = run(command, "batch", "m.jsonl", "-o", str(results / "r.jsonl"), "--quiet", home=tmp_path)
        assert done.returncode == 6, done.stderr
        assert errors((results / "r.jsonl").read_text()) == ALL
