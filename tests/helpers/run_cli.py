"""Running `sharpv` in sub-processes, for tests of what lands on stdout, on stderr and in the exit code.

As a script it is `sharpv` with torch and transformers forbidden and the pipeline replaced by a scripted one,
so that streams can be tested in a fraction of a second: `python run_cli.py SCENARIO ask clip.mp4 "what?"`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from forking import Forked
from waiting import LONG, until

ROOT = Path(__file__).resolve().parents[2]
SHARPV = [sys.executable, "-m", "sharpv_cli"]
_READ_BY_PYTHON = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "OMP_", "OPENBLAS_", "MKL_", "TZ")
_FOR_EVER = 3 * LONG  # seconds, of what a signal is to end
PIECES = ["[red] is ", "not :smile: markup, ", "naïve"]
TEXT = "".join(PIECES)
# What a terminal would obey: a title, a cleared screen, C1's own, text turned around; sequences come in two pieces.
HOSTILE = ["\x1b", "]0;mine\x07 \x1b[", "2J\x9b", "31m a\tb\n\u202ec\u200fd\r", "\x1b", "P+q\x1b", "\\ done"]


def scripted(scenario: str) -> list[str]:
    """The command of a scripted `sharpv`."""
    return [sys.executable, str(Path(__file__).resolve()), scenario]


def halting(lines: int) -> list[str]:
    """The command of a `sharpv` that stands still once its results file has so many lines."""
    return [sys.executable, str(Path(__file__).with_name("halting.py").resolve()), str(lines)]


def environment(home: Path, **changes: str) -> dict[str, str]:
    """A clean one: no settings of sharpv, no config folder, no wish for colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHARPV_", "XDG_"))}
    unset = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "PYTHONWARNINGS")
    plain = {name: value for name, value in kept.items() if name not in unset}
    alone = {"SHARPV_KEEP_WARM": "0", "SHARPV_SEEN": "off"}  # nothing outlives a test
    return {**plain, **alone, "HOME": str(home), "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **changes}


def browser(folder: Path) -> str:
    """For the variable BROWSER: a program that writes what it is to open into the file `opened` beside it."""
    program = folder / "browser"
    program.write_text(
        '#!/bin/sh\nprintf %s "$1" > "${0%browser}opened"\necho noise; echo noise >&2\n', "utf-8"
    )
    program.chmod(0o755)
    return f"{program} %s"


def run(
    command: list[str], *args: str, home: Path, stdin: str | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    file = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    with started(command, *args, home=home, stdin=file, **changes) as process:
        try:
            out, errors = process.communicate(stdin, timeout=LONG)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess([*command, *args], process.returncode, out, errors)


def started(
    command: list[str], *args: str, home: Path, stdin: int = subprocess.DEVNULL, **changes: str
) -> subprocess.Popen[str]:
    """Forked, unless a variable is for what the process that it is forked from has imported already."""
    pipe, forked = subprocess.PIPE, _as_fork(command, changes)
    return (Forked if forked else subprocess.Popen)(
        [*(forked or command), *args], env=environment(home, **changes), cwd=home,
        stdin=stdin, stdout=pipe, stderr=pipe, encoding="utf-8",
    )  # fmt: skip


def _as_fork(command: list[str], changes: Mapping[str, str]) -> list[str]:
    """What `Forked` is to run, nothing where it cannot."""
    own = all(name.startswith("SHARPV_") or name == "COLUMNS" for name in changes)
    if sys.platform != "linux" or any(name.startswith(_READ_BY_PYTHON) for name in changes):
        return []
    if command == SHARPV:
        return ["sharpv_cli.__main__"] if own else []
    scripts = {tuple(one[:2]): Path(one[1]).stem for one in (scripted(""), halting(0))}
    script = scripts.get(tuple(command[:2]))
    return [script, *command[2:]] if script else []


def grown(path: Path, lines: int, process: subprocess.Popen[str]) -> None:
    """Wait until a `halting` process has written so many."""

    def there() -> bool:
        assert process.poll() is None, process.communicate()
        return path.exists() and path.read_bytes().count(b"\n") >= lines

    until(there, "too few lines")


def _script(scenario: str) -> None:
    """`real` forbids torch and transformers and replaces nothing."""
    for name in ("torch", "transformers"):
        sys.modules[name] = None  # type: ignore[assignment]
    if scenario == "real":
        return
    if scenario == "quick":
        from sharpv_cli.terminal import progress

        progress._QUIET_START_SEC = _FOR_EVER  # however slow this machine is
    if scenario == "between":
        _press_ctrl_c_after("not :smile: markup, ")
    from sharpv_cli import pipeline
    from sharpv_cli.api import Sharpv
    from sharpv_cli.models import checkpoint

    checkpoint.check = lambda model, *, offline=False: None
    Sharpv.events = lambda self, video, question, scan, recall, form: _events(scenario, question, video.name)
    Sharpv.events_of_all = lambda self, video, questions, scan, recall, form: _events_of_all(
        scenario, questions, video.name
    )
    pipeline.profile = lambda video, question, settings, plan, scan: _profile_events(scenario, question, plan)


def _press_ctrl_c_after(piece: str) -> None:
    """Once, when this piece of the answer was written: neither the pipeline nor a read is at work then."""
    from sharpv_cli import terminal

    write = terminal.write_answer

    def write_then_press(text: str) -> None:
        write(text)
        if text == piece:
            signal.raise_signal(signal.SIGINT)

    terminal.write_answer = write_then_press


def _events(scenario: str, question: str, path: str) -> Iterator[object]:
    from make_answer import make_answer

    from sharpv_cli.errors import ResourceError, VideoError
    from sharpv_cli.types import Finished, PromptRead, StageStarted, TextPiece

    yield StageStarted("load")
    if scenario == "slow-load":
        print("loading", file=sys.stderr, flush=True)
        time.sleep(_FOR_EVER)
    if scenario == "bad-video":
        threading.Thread(target=time.sleep, args=(_FOR_EVER,)).start()  # as one that still imports torch
        raise VideoError("no frame can be decoded")
    warnings = ("only 7 of 8 frames were found", *(["".join(HOSTILE)] if scenario == "hostile" else []))
    count = 32 if scenario == "frames" else 8
    video = replace(make_answer(count).video, path=path)
    made = partial(make_answer, count, question=question, warnings=warnings, video=video)
    if scenario == "alternating":
        made = partial(made, similarities=[0.3, 0.1] * 14)
    yield PromptRead(made())
    yield StageStarted("generate")
    if scenario == "slow-start":
        time.sleep(1.2)
    text, reason = "", "stop"
    try:
        for piece in _pieces(scenario, question):
            text += piece
            yield TextPiece(piece)
            if scenario == "dripping":
                time.sleep(0.01)
            if scenario == "slow":
                print("piece", file=sys.stderr, flush=True)
                time.sleep(_FOR_EVER)
            if scenario == "no-memory":
                raise ResourceError("out of memory", hint="take fewer frames")
            if scenario == "interrupted":
                signal.raise_signal(signal.SIGINT)
            if scenario == "bug":
                raise ZeroDivisionError("a bug")
    except KeyboardInterrupt:
        reason = "interrupted"
    yield Finished(made(text=text, finish_reason=reason))


def _pieces(scenario: str, question: str) -> list[str]:
    if scenario == "dripping":
        return [question, *[f" {question}"] * 19]
    return HOSTILE if scenario == "hostile" else PIECES


def _events_of_all(scenario: str, questions: Iterable[str], path: str) -> Iterator[object]:
    """With any scenario the second question is so; one that holds "fail" has no answer."""
    from make_answer import make_answer

    from sharpv_cli.errors import UsageError
    from sharpv_cli.types import Loaded, QuestionFailed, QuestionStarted, StageStarted

    yield StageStarted("load")
    like = make_answer()
    yield Loaded(like.video, like.sample, like.model)
    for number, question in enumerate(questions, start=1):
        yield QuestionStarted(number, question)
        if "fail" in question:
            yield QuestionFailed(number, question, UsageError("not this one", hint="ask another"))
            continue
        events = _events(scenario if number == 2 else "answer", question, path)
        next(events)
        yield from events


def _profile_events(scenario: str, question: str, plan: Any) -> Iterator[object]:
    """A result after each method and each value of the sweep; "slow" takes its time over the last of them, and with
    "dropped" an engine and a value drop out."""
    from make_answer import make_profile

    from sharpv_cli.types import RunStarted, StageStarted

    yield StageStarted("load")
    methods = plan.methods
    sweep = [(point.key, point.value) for point in plan.sweep]
    known = {name: getattr(plan, name) for name in ("runs", "warmup", "new_tokens", "engines")}
    steps = [(methods[: index + 1], []) for index in range(len(methods))]
    steps += [(methods, sweep[: index + 1]) for index in range(len(sweep))]
    result: Any = None
    try:
        for number, (measured, swept) in enumerate(steps, start=1):
            yield RunStarted("run", "timed", number, len(steps))
            if scenario == "slow" and number == len(steps):
                print("measuring", file=sys.stderr, flush=True)
                time.sleep(_FOR_EVER)
            result = partial(make_profile, methods=measured, sweep=swept, question=question, **known)
            yield result()
        if scenario == "dropped":
            yield _dropped(result())
    except KeyboardInterrupt:
        yield result(interrupted=True)


def _dropped(profile: Any) -> Any:
    from sharpv_cli.types import Failure, SweepFailure

    engines = [
        replace(engine, answer=None, runs=(), failure=Failure("not this model", None))
        if engine.engine == "fast"
        else engine
        for engine in profile.engines
    ]
    failures = (SweepFailure("frames", 128.0, "dense", Failure("no room", None)),)
    return replace(profile, engines=tuple(engines), sweep_failures=failures)


def main() -> None:
    _script(sys.argv.pop(1))
    from sharpv_cli.__main__ import main

    main()


if __name__ == "__main__":
    main()
