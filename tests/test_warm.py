"""The resident process, in real processes: every way of `ask` through it equals one that does everything itself."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from mounts import on_full_disk
from run_cli import SHARPV, browser, environment, run, started
from terminals import screen_of
from waiting import LONG, alive, descendants, until

from sharpv_cli import app, shortage
from sharpv_cli.errors import ResourceError
from sharpv_cli.models.known import known
from sharpv_cli.models.memory_check import require_weights
from sharpv_cli.settings import ModelSettings
from sharpv_cli.shapes.demo import write_demo
from sharpv_cli.warm import address, client, wire

QUESTION = "Which direction does the red circle move?"
CLIP = "demo/moving.mp4"
WARM = {"SHARPV_KEEP_WARM": "5m", "CI": ""}
COLD = {"SHARPV_KEEP_WARM": "0"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with the demo clips; the process that serves it ends with the module."""
    folder = tmp_path_factory.mktemp("h")
    (folder / "run").mkdir(mode=0o700)
    write_demo(folder / "demo")
    yield folder
    run(SHARPV, "warm", "stop", home=folder, **surroundings(folder))


def surroundings(home: Path, **changes: str) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(home / "run"), **WARM, **changes}


def ask(home: Path, *args: str, stdin: str | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    return run(SHARPV, "ask", *args, home=home, stdin=stdin, **surroundings(home, **changes))


def server(home: Path) -> client.Status:
    found = client.status(where(home))
    assert found is not None, "no resident process"
    return found


def where(home: Path) -> Path:
    path = address.socket_path(environment(home, **surroundings(home)))
    assert path is not None
    return path


def killed(process: int) -> None:
    """With its children, which share its lock and end a little later: meanwhile nobody can take its place."""
    family = {process, *descendants(process)}
    os.kill(process, signal.SIGKILL)
    until(lambda: not any(map(alive, family)), "they are still there")


def files_of(process: str) -> set[str]:
    """What it holds open."""
    found = set()
    for file in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # it closes one while we look
            found.add(str(file.readlink()))
    return found


def shell(home: Path, line: str, **changes: str) -> subprocess.CompletedProcess[str]:
    line = re.sub(r"\bSHARPV\b", shlex.join(SHARPV), line)
    return run(["bash", "-c", line], home=home, **surroundings(home, **changes))


def endless(home: Path) -> list[str]:
    """A question whose answer does not end by itself: the built-in model, forbidden its end token."""
    folder = home / "endless"
    if not folder.exists():
        shutil.copytree(Path(address.__file__).parents[1] / "assets" / "tiny", folder)
        (folder / "generation_config.json").write_text('{"eos_token_id": 2, "min_new_tokens": 7000}')
    options = ["--quiet", "--stream", "--model", "./endless", "--max-new-tokens", "7000"]
    return [*SHARPV, "ask", CLIP, QUESTION, *options]


def without_times(text: str) -> list[Any]:
    """JSON lines without what may differ; other lines as they are."""
    return [_plain(json.loads(line)) if line.startswith("{") else line for line in text.splitlines()]


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    document.pop("timing", None)
    document.pop("warm", None)
    document.get("memory", {}).pop("peak_bytes", None)
    document.get("profile", {}).get("settings", {}).pop("keep_warm", None)
    return document


LINES = [
    (0, f"SHARPV ask {CLIP} --questions <(echo '{QUESTION}'; echo 'Is there a red circle?') --json"),
    (
        0,
        "cd demo && echo 'Describe the video.' | PYTHONIOENCODING=ascii SHARPV_FRAMES=5 SHARPV ask moving.mp4 - --json "
        "--prune off --temperature 1 --seed 3",
    ),
    (0, f"cat {CLIP} | SHARPV ask - '{QUESTION}' --quiet | cat"),
    (
        0,
        f"umask 077; SHARPV ask {CLIP} '{QUESTION}' --stats --chart-out a.png && "
        "stat -c %a a.png && head -c 4 a.png | tail -c 3 && rm a.png",
    ),
    (2, f"SHARPV ask {CLIP} 'Describe the video.' > /dev/full"),
    (3, "SHARPV ask demo/nowhere.mp4 what?"),
    (2, f"SHARPV ask {CLIP} what? --frames none"),
    (4, f"SHARPV ask {CLIP} what? --model ./nowhere"),
    (2, f"SHARPV ask {CLIP} '{QUESTION}' >&-"),
]


@pytest.mark.parametrize(("code", "line"), LINES)
def test_every_way_of_asking_is_the_same(home: Path, code: int, line: str) -> None:
    cold = shell(home, line, **COLD)
    assert cold.returncode == code, cold.stderr
    for warm in (shell(home, line), shell(home, line)):  # the same clip again
        assert warm.returncode == cold.returncode, warm.stderr
        assert without_times(warm.stdout) == without_times(cold.stdout)
        assert shape(warm.stderr) == shape(cold.stderr)


def test_the_page_is_opened_by_who_asked(home: Path, tmp_path: Path) -> None:
    line = f"cd demo && SHARPV ask moving.mp4 '{QUESTION}' --quiet --open --chart-out page.html"
    done = shell(home, line, BROWSER=browser(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
    page = home / "demo" / "page.html"
    assert (tmp_path / "opened").read_text("utf-8") == page.as_uri()
    page.unlink()


def test_a_terminal_shows_the_same(home: Path) -> None:
    """Its size is that of the caller's, also where the process has another one of its own."""
    ask(home, CLIP, QUESTION, "--quiet")
    cold, warm = (
        screen_of(SHARPV, "ask", CLIP, QUESTION, home=home, columns=70, rows=19, **surroundings(home, **way))
        for way in (COLD, {})
    )
    assert [line.partition("TTFT")[0] for line in warm] == [line.partition("TTFT")[0] for line in cold]
    assert any(line.startswith("time") for line in warm)
    assert [line.split()[0] for line in warm[-3:]] == [">", "left", "TTFT"]


def shape(told: str) -> list[str]:
    """What is said on stderr, without the notice of the process and without times, which differ."""
    lines = [line for line in told.splitlines() if "the model stays loaded" not in line]
    return [line for line in lines if not re.search(r"\d (ms|s)\b|peak", line)]


def test_the_model_is_loaded_once_and_json_says_so(home: Path) -> None:
    first = json.loads(ask(home, CLIP, QUESTION, "--json").stdout)
    process = server(home).process
    second = json.loads(ask(home, CLIP, QUESTION, "--json").stdout)
    assert second["warm"] and second["answer"] == first["answer"] == "left"
    assert second["timing"]["load_sec"] < 1
    assert server(home).process == process


def test_a_clip_that_was_asked_about_is_neither_decoded_nor_encoded_again(home: Path) -> None:
    """By whatever name; a new file in its place is."""
    clip = home / "asked.mp4"
    shutil.copy(home / CLIP, clip)
    time.sleep(2.1)  # a file that was written just now may be written again within one tick of its clock
    first, again, linked = (timing(home, name) for name in ("asked.mp4", "demo/../asked.mp4", str(clip)))
    assert first["decode_sec"] and first["vision_sec"]
    assert not any(timing_[stage] for timing_ in (again, linked) for stage in ("decode_sec", "vision_sec"))
    assert server(home).clips
    shutil.copy(home / "demo" / "arriving.mp4", clip)
    assert timing(home, "asked.mp4")["vision_sec"]


def test_who_lacks_memory_is_told_of_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `batch`, `eval` and `profile` may, which are processes of their own."""
    assert shortage.neighbours == [client.neighbour], app
    ask(home, CLIP, QUESTION)
    monkeypatch.setattr(os, "environ", environment(home, **surroundings(home)))
    with pytest.raises(ResourceError) as caught:
        require_weights(known(ModelSettings()), 4, "cpu", 1000)
    assert f"`sharpv warm stop` ends process {server(home).process}, which keeps builtin loaded (" in str(
        caught.value.hint
    )
    monkeypatch.setattr("sharpv_cli.signals._stays", True)
    assert client.neighbour() is None


def timing(home: Path, clip: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(ask(home, clip, QUESTION, "--json").stdout)["timing"]
    return found


def test_it_holds_nothing_of_a_command_that_is_over(home: Path) -> None:
    """Neither its pipes nor its folder, and nor do its children, the readers of videos and chat templates."""
    ours, theirs = os.pipe()
    own = str(Path(f"/proc/self/fd/{theirs}").readlink())
    env = environment(home, **surroundings(home))
    with subprocess.Popen(
        [*SHARPV, "ask", CLIP, QUESTION], env=env, cwd=home, stdout=theirs, stderr=theirs
    ) as asking:
        asking.wait(LONG)
    os.close(theirs)
    process = Path("/proc") / str(server(home).process)
    children = (process / "task" / process.name / "children").read_text().split()
    assert children
    for number in (process.name, *children):
        assert own not in files_of(number)
        assert str(Path(f"/proc/{number}/cwd").readlink()) != str(home)
    with os.fdopen(ours) as pipe:
        assert "left\n" in pipe.read()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_more_at_once_than_have_turns_start_one_process_and_none_is_lost(home: Path) -> None:
    """As of `xargs -P 12`: one core gives eight a turn, others wait in line; bad videos cost nobody but themselves."""
    whole = (home / CLIP).read_bytes()
    (home / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (home / "text.mp4").write_text("no video\n" * 99)
    wrong = {"cut.mp4": "error: cut.mp4 is incomplete", "text.mp4": "error: text.mp4 is a text file"}
    clips = [*wrong, *[CLIP] * 8, *wrong]
    core = min(os.sched_getaffinity(0))  # another process serves those who have this one only
    with ThreadPoolExecutor(len(clips), initializer=lambda: os.sched_setaffinity(0, {core})) as pool:
        told = list(pool.map(lambda clip: ask(home, clip, QUESTION), clips))
        pool.submit(run, SHARPV, "warm", "stop", home=home, **surroundings(home)).result()
    for clip, done in zip(clips, told, strict=True):
        assert (done.returncode, done.stdout) == ((3, "") if clip in wrong else (0, "left\n")), done.stderr
        assert clip not in wrong or wrong[clip] in done.stderr
    assert sum("the model stays loaded" in done.stderr for done in told) == 1


@pytest.mark.parametrize("seed", range(2))
def test_sigkill_at_any_time_loses_nothing_and_doubles_nothing(home: Path, seed: int) -> None:
    ask(home, CLIP, QUESTION)
    process = server(home).process
    command = [*SHARPV, "ask", CLIP, "Describe the video.", "--quiet"]
    env = environment(home, **surroundings(home))
    with subprocess.Popen(
        command, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asking:
        time.sleep(random.Random(seed).uniform(0.0, 1.0))
        killed(process)
        out, errors = asking.communicate(timeout=LONG)
    whole = ask(home, CLIP, "Describe the video.", "--quiet").stdout
    if asking.returncode:
        assert asking.returncode == 5 and "the resident process ended" in errors
        assert whole.startswith(out)
    else:
        assert out == whole


def test_ctrl_c_ends_the_answer_and_not_the_process(home: Path) -> None:
    ask(home, CLIP, QUESTION)
    process = server(home).process
    env = environment(home, **surroundings(home))
    with subprocess.Popen(endless(home), env=env, cwd=home, stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        asking.stdout.read(1)
        asking.send_signal(signal.SIGINT)
        asking.communicate(timeout=LONG)
    assert asking.returncode == 130
    assert ask(home, CLIP, QUESTION).stdout == "left\n"
    assert server(home).process == process


def test_who_goes_away_is_dropped(home: Path) -> None:
    ask(home, CLIP, QUESTION)
    env = environment(home, **surroundings(home))
    with subprocess.Popen(endless(home), env=env, cwd=home, stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        asking.stdout.read(1)
        asking.kill()
    assert ask(home, CLIP, QUESTION).stdout == "left\n"


def test_several_are_answered_at_once_and_none_minds_the_others(home: Path) -> None:
    """One that is interrupted, one that is killed, one about no video, and one whose own process dies."""
    short = [*endless(home), "--max-new-tokens", "9", "--temperature", "1", "--seed", "7"]
    alone = run(short, home=home, **surroundings(home))
    assert alone.returncode == 0 and alone.stdout, alone.stderr
    process = server(home).process
    with answering(home) as interrupted, answering(home) as killed, answering(home) as orphaned:
        beside = run(short, home=home, **surroundings(home))
        assert (beside.returncode, beside.stdout) == (0, alone.stdout)
        assert server(home).together >= 3, "the first has steps of its own, the others share theirs"
        assert ask(home, "demo/nowhere.mp4", QUESTION).returncode == 3
        interrupted.send_signal(signal.SIGINT)
        assert interrupted.wait(60) == 130
        killed.kill()
        os.kill(_fronts(process)[-1], signal.SIGKILL)
        _, told = orphaned.communicate(timeout=60)
        assert orphaned.returncode == 5 and "the resident process ended in the middle" in told
        assert run(short, home=home, **surroundings(home)).stdout == alone.stdout
    assert server(home).process == process


def test_another_model_waits_until_nobody_needs_the_first_and_says_so(home: Path) -> None:
    with (
        answering(home) as first,
        started(SHARPV, "ask", CLIP, QUESTION, home=home, **surroundings(home)) as second,
    ):
        assert second.stderr is not None
        assert any(line == "note: another command is before this one\n" for line in second.stderr)
        first.send_signal(signal.SIGINT)
        assert second.communicate(timeout=120)[0] == "left\n"


@contextmanager
def answering(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A command whose answer does not end by itself, and has begun."""
    with started(endless(home), home=home, **surroundings(home)) as asking:
        try:
            assert asking.stdout is not None and asking.stdout.read(1)
            yield asking
        finally:
            asking.kill()


def _fronts(process: int) -> list[int]:
    """The processes of commands, in the order in which they were started."""
    forks = [child for child in _children(process) if _children(child)]
    return sorted(front for child in forks for front in _children(child))


def _children(process: int) -> list[int]:
    """Of all of its threads."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_a_hanging_or_foreign_process_is_passed_by(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts and says nothing, hangs up, or speaks otherwise: the command does the work itself."""
    run(SHARPV, "warm", "stop", home=home, **surroundings(home))
    path = where(home)
    path.unlink(missing_ok=True)
    for reply in (b"\x00\x00\x00\x02{}", b"HTTP/1.1 400 Bad Request\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
            listener.settimeout(LONG)
            listener.bind(str(path))
            listener.listen()
            pool.submit(_reply_once, listener, reply)
            done = ask(home, CLIP, QUESTION, "--quiet")
        path.unlink()
        assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")


def _reply_once(listener: socket.socket, reply: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1 << 20)
        connection.sendall(reply)


def test_a_stale_socket_is_replaced(home: Path) -> None:
    ask(home, CLIP, QUESTION)
    process = server(home).process
    killed(process)
    assert where(home).exists()
    assert ask(home, CLIP, QUESTION).stdout == "left\n"
    assert server(home).process != process


def test_on_a_full_disk_and_with_a_home_that_is_read_only_commands_do_the_work_themselves(
    home: Path, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    place.mkdir(mode=0o700)
    before = on_full_disk(place, "sharpv/run", read_only=home)
    done = run(
        [*before, *SHARPV], "ask", CLIP, QUESTION, "--quiet", home=home, **WARM, XDG_RUNTIME_DIR=str(place)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
    done = run([*before, *SHARPV], "warm", home=home, **WARM)
    assert done.returncode == 5
    assert done.stderr.startswith("error: no model can be kept loaded here")


def test_nobody_else_may_reach_it(home: Path) -> None:
    ask(home, CLIP, QUESTION)
    path = where(home)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_another_user_is_not_served(home: Path) -> None:
    """Neither would be taken in by the other, also if the folder and the socket were open to all."""
    ask(home, CLIP, QUESTION)
    path = where(home)
    code = f"""
import os, socket
from sharpv_cli.warm import wire
os.chdir({str(path.parent)!r})
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.connect({path.name!r})
assert not wire.peer_is_us(connection)
try:
    wire.send(connection, {{"status": True}})
    raise SystemExit(f"it was served: {{wire.receive(connection)}}")
except wire.WireError:
    pass
"""
    path.parent.chmod(0o711)
    path.chmod(0o666)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(home), check=False, capture_output=True, text=True
        )
    finally:
        path.chmod(0o600)
        path.parent.chmod(0o700)
    assert done.returncode == 0, done.stderr


def test_an_older_version_ends(home: Path) -> None:
    """After an upgrade, which a process of another version time stands for."""
    ask(home, CLIP, QUESTION)
    old, path = server(home).process, where(home)
    place, _, environ = path.stem.split("-")
    for suffix in (".sock", ".lock"):
        path.with_suffix(suffix).rename(path.with_name(f"{place}-00000000-{environ}{suffix}"))
    assert ask(home, CLIP, QUESTION).stdout == "left\n"
    until(lambda: not alive(old), "the older process is still there")


def test_newer_files_of_a_checkout_are_another_version(home: Path, tmp_path: Path) -> None:
    package = Path(address.__file__).parents[1]
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("assets", "__pycache__"))
    code = "import os; from sharpv_cli.warm import address; print(address.socket_path(os.environ))"
    environ = surroundings(home, PYTHONPATH=str(tmp_path))
    found = []
    for _ in range(2):
        os.utime(tmp_path / package.name / "text.py")
        done = run([sys.executable, "-P", "-c", code], home=home, **environ)
        found.append(Path(done.stdout.strip()))
    assert address.is_older(*found), found


@pytest.mark.parametrize(
    "changes",
    [{"CI": "true", "SHARPV_KEEP_WARM": ""}, {"SLURM_JOB_ID": "7", "SHARPV_KEEP_WARM": ""}, COLD],
    ids=["ci", "slurm", "zero"],
)
def test_no_process_where_none_is_wanted(tmp_path: Path, changes: dict[str, str]) -> None:
    assert not client.wanted(["ask"], environment(tmp_path, **{**WARM, **changes}))


def test_settings_files_are_heeded(tmp_path: Path) -> None:
    config = tmp_path / ".config" / "sharpv" / "config.yaml"
    config.parent.mkdir(parents=True)
    environ = environment(tmp_path, CI="", SHARPV_KEEP_WARM="")
    assert client.wanted(["ask"], environ)
    config.write_text("keep_warm: 0\n")
    assert not client.wanted(["ask"], environ)
    assert client.wanted(["ask", "--keep-warm", "1m"], environ)
    config.write_text("keep_warm: forever\n")
    assert client.wanted(["ask"], environ)


@pytest.mark.parametrize("kind", ["read-only", "open to others", "a link", "a long name"])
def test_without_a_private_folder_commands_do_the_work_themselves(tmp_path: Path, kind: str) -> None:
    base = tmp_path / ("x" * 100 if kind == "a long name" else "base")
    place = base / "sharpv" / "run"
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.parent.mkdir(parents=True)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir(parents=True)
        place.chmod(0o777 if kind == "open to others" else 0o700)
    if kind == "read-only":
        place.chmod(0o500)
        if os.geteuid() == 0:
            pytest.skip("root may write anywhere")
    assert address.socket_path({"XDG_RUNTIME_DIR": str(base)}) is None
    done = run(SHARPV, "warm", home=tmp_path, XDG_RUNTIME_DIR=str(base), XDG_CACHE_HOME=str(base))
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("error: no model can be kept loaded here")


def test_what_changes_where_a_model_comes_from_is_another_process(home: Path) -> None:
    environ = environment(home, **surroundings(home))
    own = address.socket_path(environ)
    for name in ("CUDA_VISIBLE_DEVICES", "HF_HOME", "OMP_NUM_THREADS", "PYTHONPATH", "LD_LIBRARY_PATH"):
        assert address.socket_path({**environ, name: "7"}) != own, name
    for name in ("SHARPV_FRAMES", "COLUMNS", "PWD"):
        assert address.socket_path({**environ, name: "7"}) == own, name


def test_the_client_imports_nothing_heavy(home: Path) -> None:
    code = "import sys, sharpv_cli.warm.client; print(*sorted(sys.modules))"
    loaded = run([sys.executable, "-c", code], home=home).stdout.split()
    assert not {"torch", "transformers", "av", "numpy", "pydantic", "yaml", "rich", "typer"} & set(loaded)


@pytest.mark.parametrize("content", [b"\xff\xff\xff\xff{}", b"\x00\x00\x00\x02[]"], ids=["long", "a list"])
def test_what_is_no_message_says_nothing(content: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(content)
        assert wire.receive(theirs) == ({}, [])


@pytest.mark.parametrize(
    "content", [b"\x00\x00\x00\x05[[[[[", b"\x00", b""], ids=["no json", "cut", "nothing"]
)
def test_a_torn_message_is_an_error(content: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(content)
        with pytest.raises(wire.WireError):
            wire.receive(theirs)


def test_who_was_sent_all_of_a_message_may_answer_and_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    send = socket.send_fds

    def answered(connection: socket.socket, *given: Any) -> int:
        sent = send(connection, *given)
        wire.receive(theirs)
        theirs.close()
        return sent

    monkeypatch.setattr(socket, "send_fds", answered)
    with ours:
        wire.send(ours, {"command": []}, [ours.fileno()])


def test_it_says_what_it_is(home: Path) -> None:
    done = run(SHARPV, "warm", "start", home=home, **surroundings(home))
    assert done.returncode == 0, done.stderr
    shown = run(SHARPV, "warm", home=home, **surroundings(home)).stdout
    assert shown.startswith("builtin on cpu (float32), ") and "without use" in shown
    assert shown.split(" process ")[1].split(",")[0] == str(server(home).process)
    assert run(SHARPV, "warm", "stop", home=home, **surroundings(home)).returncode == 0
    assert run(SHARPV, "warm", home=home, **surroundings(home)).stdout == "no model is kept loaded\n"
    assert (
        json.loads(run(SHARPV, "warm", "--json", home=home, **surroundings(home)).stdout)["running"] is False
    )
