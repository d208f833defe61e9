"""What the resident process does for commands: work of each between that of others, told to its own command only."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_answer import make_answer
from tiny_model import session

from sharpv_cli.engine.together import Together
from sharpv_cli.errors import ResourceError, VideoError
from sharpv_cli.pipeline.aside import Aside, go_on_beside, read_aside, take_aside
from sharpv_cli.pipeline.conveyor import Conveyor
from sharpv_cli.pipeline.frames import returned
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.shelf import SHELF
from sharpv_cli.types import Finished, Waiting
from sharpv_cli.video import wire
from sharpv_cli.video.local import LocalVideo
from sharpv_cli.warm.channel import Distant, Told, Wish, without_pictures
from sharpv_cli.warm.front import Front, Work
from sharpv_cli.warm.keeper import Keeper

SEEN: list[object] = []  # by what runs as work


@pytest.fixture(autouse=True)
def _unseen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # work leaves it
    SEEN.clear()
    yield
    SHELF.give_up()


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def ends(keeper: Keeper, tmp_path: Path) -> Iterator[tuple[Front, Connection]]:
    """A command's process as it is seen by the resident one, and its end of what they say to each other."""
    ours, theirs = Pipe()
    front = Front(ours, str(tmp_path), 0o027, keeper, lambda: None)
    with theirs:
        yield front, theirs
        front._telling.put(None)


def work_of(front: Front, what: Any, **options: Any) -> Work:
    return Work(front, Wish("work", 1, what, **options))


def told(connection: Connection) -> tuple[str, Any]:
    found: Told = wire.receive(connection)
    return found.kind, found.value


def counting(most: int, gives: object = None) -> Generator[int | Waiting, None, object]:
    for number in range(most):
        yield Waiting()
        yield number
    return gives


def lasting(*pieces: object) -> Generator[object]:
    """As an answer: Ctrl-C gives what there is, and a second time it goes through."""
    try:
        yield from pieces
        while True:
            yield Waiting()
    except KeyboardInterrupt:
        yield "rest"
        yield Waiting()
    finally:
        SEEN.append("closed")


def failing(error: Exception) -> Generator[Waiting]:
    yield Waiting()
    raise error


def looking_around() -> Generator[Waiting, None, tuple[str, int]]:
    mask = os.umask(0)
    os.umask(mask)
    yield Waiting()
    return str(Path.cwd()), mask


def test_work_tells_its_own_command_and_waits_in_between(ends: tuple[Front, Connection]) -> None:
    front, theirs = ends
    assert len(list(work_of(front, partial(counting, 2, "all")).steps())) == 2
    assert [told(theirs) for _ in range(3)] == [("item", 0), ("item", 1), ("end", "all")]


def test_names_of_files_mean_what_they_mean_to_the_command(
    ends: tuple[Front, Connection], tmp_path: Path
) -> None:
    front, theirs = ends
    for _ in work_of(front, looking_around).steps():
        assert str(Path.cwd()) == "/", "between pieces no folder is kept in use"
    assert told(theirs) == ("end", (str(tmp_path), 0o027))


def test_ctrl_c_is_heard_and_a_second_time_it_ends_the_work(ends: tuple[Front, Connection]) -> None:
    front, theirs = ends
    work = work_of(front, lasting)
    steps = work.steps()
    next(steps)
    work.hear("interrupt")
    next(steps)
    assert told(theirs) == ("item", "rest") and not SEEN
    work.hear("interrupt")
    assert next(steps, None) is None
    kind, (error, _) = told(theirs)
    assert kind == "error" and type(error) is KeyboardInterrupt and work.bug is None
    assert SEEN == ["closed"] and work.is_over


def test_what_nobody_wants_any_more_is_closed(ends: tuple[Front, Connection]) -> None:
    front, _ = ends
    work = work_of(front, lasting)
    steps = work.steps()
    next(steps)
    work.hear("leave")
    assert next(steps, None) is None
    assert SEEN == ["closed"] and work.is_over and work.bug is None


@pytest.mark.parametrize(
    ("error", "kind", "is_bug"),
    [
        (VideoError("no video", hint="another"), VideoError, False),
        (MemoryError(), ResourceError, False),
        (OSError(24, "Too many open files"), ResourceError, False),
        (ZeroDivisionError("by zero"), ZeroDivisionError, True),
    ],
    ids=str,
)
def test_a_failure_is_that_of_one_command_and_a_bug_is_noted(
    error: Exception, kind: type[Exception], is_bug: bool, ends: tuple[Front, Connection]
) -> None:
    front, theirs = ends
    work = work_of(front, partial(failing, error))
    assert len(list(work.steps())) == 1
    name, (came, trace) = told(theirs)
    assert name == "error" and isinstance(came, kind) and "in failing" in trace
    assert (work.bug is error) == is_bug
    assert getattr(came, "hint", None) or is_bug


class StrangeError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_an_error_that_cannot_be_sent_is_told_all_the_same(ends: tuple[Front, Connection]) -> None:
    front, theirs = ends
    list(work_of(front, partial(failing, StrangeError(1, 2))).steps())
    _, (came, _) = told(theirs)
    assert str(came) == "StrangeError: 1 and 2"


def test_a_command_whose_output_nobody_reads_holds_up_none(keeper: Keeper, tmp_path: Path) -> None:
    """What it is told waits for it, and not the conveyor."""
    ours, theirs = Pipe()
    front = Front(ours, str(tmp_path), 0o077, keeper, lambda: None)
    with theirs:
        many = partial(counting, 1 << 13)
        assert len(list(work_of(front, many).steps())) == 1 << 13
        assert [told(theirs) for _ in range(1 << 13)][-1] == ("item", (1 << 13) - 1)
        front._telling.put(None)


def test_frames_are_sent_only_where_somebody_looks_at_them() -> None:
    answer = make_answer()
    event = without_pictures(Finished(answer))
    assert isinstance(event, Finished)
    sample = event.answer.sample
    assert sample.size == answer.sample.size and len(sample) == len(answer.sample)
    assert not isinstance(sample.images, np.ndarray)


@pytest.fixture
def resident(keeper: Keeper, tmp_path: Path) -> Iterator[Distant]:
    """The resident process as a command sees it; here it is a thread."""
    ours, theirs = Pipe()
    front = Front(ours, str(tmp_path), 0o077, keeper, lambda: None)

    def begin(work: Work) -> None:
        threading.Thread(target=lambda: [None for _ in work.steps()], daemon=True).start()

    threading.Thread(target=front.attend, args=(begin, lambda _: 0), daemon=True).start()
    with theirs:
        yield Distant(theirs)


def test_a_command_gets_what_its_work_tells_and_gives(resident: Distant) -> None:
    assert list(resident.done(partial(counting, 3), pictures=False)) == [0, 1, 2]
    assert returned(resident.done(partial(counting, 3, "all"), pictures=False)) == "all"
    with pytest.raises(VideoError, match="no video") as caught:
        list(resident.done(partial(failing, VideoError("no video", hint="another")), pictures=False))
    assert caught.value.hint == "another"


def test_a_command_passes_ctrl_c_on_and_what_it_leaves_ends(resident: Distant) -> None:
    work = resident.done(partial(lasting, 0), pictures=False)
    assert next(work) == 0
    assert work.throw(KeyboardInterrupt()) == "rest"
    work.close()
    assert list(resident.done(partial(counting, 2), pictures=False)) == [0, 1], "nothing of the work before"


def settings_of(model: str = "builtin") -> Settings:
    return Settings.model_validate({"model": {"id": model}, "keep_warm": "7s"})


def turn(keeper: Keeper, who: object, settings: Settings) -> Generator[Waiting, None, Session | None]:
    """As work does it for `who`."""
    steps = keeper.turn(settings)
    while True:
        keeper.now = who
        try:
            waiting = next(steps)
        except StopIteration as end:
            return end.value
        yield waiting


def test_another_model_waits_for_those_that_use_this_one_and_nobody_passes_it_by(
    keeper: Keeper, tmp_path: Path
) -> None:
    first, other = settings_of(), settings_of(str(tmp_path))
    assert returned(turn(keeper, "a", first)) is None
    loaded = keeper.open(first, session)
    assert isinstance(loaded.engine, Together) and not loaded.warm
    beside = returned(turn(keeper, "b", first))
    assert beside is not None and beside.warm and beside.engine is loaded.engine
    waits, behind = turn(keeper, "c", other), turn(keeper, "d", first)
    assert next(waits) == Waiting() == next(behind) and keeper.waits("c") and keeper.waits("d")
    keeper.over("a")
    assert next(waits) == Waiting() == next(behind)
    keeper.over("b")
    assert next(waits, None) is None and not keeper.waits("c")
    assert next(behind) == Waiting(), "it needs the model before"
    keeper.now = "c"
    assert keeper.open(other, session).engine is not loaded.engine
    keeper.over("c")
    assert next(behind, None) is None


def test_who_loaded_a_model_finds_it_cold_for_all_of_the_command(keeper: Keeper) -> None:
    for _ in range(2):  # videos of one command
        held = returned(turn(keeper, "a", settings_of()))
        if held is None:
            held = keeper.open(settings_of(), session)
        assert not held.warm
        keeper.over("a")
    held = returned(turn(keeper, "b", settings_of()))
    assert held is not None and held.warm
    assert keeper.keep_sec == 7.0


def test_one_that_goes_away_while_it_waits_keeps_nobody_waiting(keeper: Keeper, tmp_path: Path) -> None:
    returned(turn(keeper, "a", settings_of()))
    keeper.open(settings_of(), session)
    waits, behind = turn(keeper, "b", settings_of(str(tmp_path))), turn(keeper, "c", settings_of())
    next(waits)
    next(behind)
    waits.close()
    assert next(behind, None) is None and not keeper.waits("b")


def test_a_slow_video_holds_up_no_other_work() -> None:
    """While it is read elsewhere, another piece of work goes all of its way."""
    may_end = threading.Event()

    class Steps:
        most, has_room = 8, True

        def step(self) -> None:
            """Nobody decodes."""

    def slow() -> Generator[str | Waiting]:
        yield (yield from read_aside(lambda: may_end.wait(60) and "slow"))

    def quick() -> Generator[str | Waiting]:
        yield from (Waiting(), "quick")
        may_end.set()

    works = [slow(), quick()]
    go_on_beside(Aside(1, lambda: None))
    try:
        told = list(Conveyor[str](Steps()).told(lambda _: works.pop(0) if works else None))
    finally:
        go_on_beside(None)
    assert told == ["quick", "slow"]


def test_what_was_read_for_nobody_is_disposed_of() -> None:
    may_end, disposed = threading.Event(), threading.Event()
    go_on_beside(Aside(1, lambda: None))
    try:
        work = read_aside(lambda: may_end.wait(60), unwanted=lambda came: disposed.set() if came else None)
        next(work)
        work.close()
        may_end.set()
        assert disposed.wait(60)
    finally:
        go_on_beside(None)


def test_who_leaves_while_frames_come_waits_for_no_reader_that_hangs() -> None:
    given_up = threading.Event()
    go_on_beside(Aside(1, lambda: None))
    try:
        work = take_aside(lambda: given_up.wait(60), given_up.set)
        next(work)
        work.close()
        assert given_up.is_set()
    finally:
        go_on_beside(None)


def test_another_process_finds_a_file_that_has_a_name_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"some")
    with (tmp_path / "clip").open("rb") as file:
        for name in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            theirs = LocalVideo(name, name).for_others()
            assert theirs.path == f"/proc/{os.getpid()}/fd/{file.fileno()}" and theirs.name == name
    plain = LocalVideo("clips/a.mp4", "clips/a.mp4").for_others()
    assert plain.path == plain.name and plain.folder == str(Path.cwd())
