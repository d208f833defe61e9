"""Jobs on the built-in model: every answer is the one that `sharpv ask` gives, and what fails fails alone."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import hostile_work
import pytest
from clips import encode, with_late_sound
from events import ask, ask_all

from sharpv_cli.batch import working
from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.batch.processes import Model
from sharpv_cli.batch.results import Left, Told
from sharpv_cli.batch.working import Worker, answered, outcome
from sharpv_cli.commands.batch.running import Tally, summarize
from sharpv_cli.engine.rows import EagerRows
from sharpv_cli.engine.together import Together
from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.models.capture import Prompt, VisualPrompt
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.conveyor import Conveyor
from sharpv_cli.settings import Resolved, Settings, resolve
from sharpv_cli.types import Finished, QuestionFailed
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.probe import probe
from sharpv_cli.video.read_ahead import ReadAhead

SETTINGS = resolve({}, {}).settings
QUESTIONS = ("how many objects are there?", "describe the video.", "what moves?")


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Model(Resolved(SETTINGS, {}, "tiny", "shipped", None)).load()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    dataset = shapes.load(None, 6, tmp_path_factory.mktemp("clips"))
    return [str(dataset.prepare(item)) for item in dataset.items[::2]]


def job(video: str, *questions: str, settings: Settings = SETTINGS) -> Job:
    return Job(video, settings, tuple(Asked(f"{n}", n, text, "d") for n, text in enumerate(questions, 1)))


def done(worker: Worker, *jobs: Job) -> list[Any]:
    return list(documents_of(worker, jobs))


def documents_of(worker: Worker, jobs: Iterable[Job]) -> Iterator[Told]:
    """One after the other, so that they come in their order."""
    with ReadAhead(working.read_frames, readers=2) as ahead:
        for one, coming in [(one, ahead.begin(one)) for one in jobs]:
            works = [worker.documents(one, outcome(coming.result))]
            yield from Conveyor(worker.session.several).told(
                lambda _, works=works: works.pop() if works else None
            )


def alone(video: str, question: str, settings: Settings = SETTINGS) -> str:
    events = ask(video, question, settings)
    return next(event.answer.text for event in events if isinstance(event, Finished))


def changed(**flags: object) -> Settings:
    return resolve({name.replace("_", "-"): value for name, value in flags.items()}, {}).settings


def test_answers_are_those_of_ask(worker: Worker, videos: list[str]) -> None:
    """The questions of one clip share a look; the last clip has one question alone."""
    jobs = [*(job(video, *QUESTIONS) for video in videos), job(videos[0], QUESTIONS[1])]
    documents = done(worker, *jobs)
    asked = [(one.video, question.question) for one in jobs for question in one.questions]
    assert [(doc["video"]["path"], doc["question"]) for doc in documents] == asked
    assert [doc["answer"] for doc in documents] == [alone(*one) for one in asked]
    assert all(list(doc)[:3] == ["schema", "id", "digest"] for doc in documents)
    assert [doc["timing"]["decode_sec"] > 0 for doc in documents[:3]] == [True, False, False]


@pytest.mark.usefixtures("quick_reader")
def test_clips_answered_together_have_the_answers_of_ask(
    worker: Worker, videos: list[str], tmp_path: Path
) -> None:
    """More than there is room for; some long, one cannot be read, one wants another setting, one question fails.

    On a GPU clips are encoded together, too.
    """
    long, warm = changed(max_new_tokens=40), changed(temperature=0.7, seed=3)
    jobs = [
        *(job(video, *QUESTIONS, settings=long) for video in videos),
        job(str(tmp_path / "gone.mp4"), "what?"),
        job(videos[0], "what? " * 5000, QUESTIONS[1]),
        job(videos[1], QUESTIONS[1], settings=warm),
    ]
    company = Worker(worker.session.together(3), worker.resolved)
    assert company.session.several is not None
    company.session.several.vision.full = 1 << 40
    at_once = _at_each_step(company.session.several, lambda engine: len(engine._answers))
    told = list(answered(company, jobs, readers=2))
    assert max(at_once) == company.session.several.vision.largest == 3
    for one in jobs:
        assert [_essence(doc) for of, doc in told if of is one] == [
            _essence(doc) for doc in done(worker, one)
        ]


def test_memory_that_runs_out_lets_fewer_go_on_together(
    worker: Worker, videos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clips in a step are more than there is memory for: all are answered all the same, and nobody fails."""
    step, refused = EagerRows.step, [0]

    def short(rows: EagerRows, seats: Any) -> Any:
        if len(seats) > 1:
            refused[0] += 1
            raise MemoryError("out of memory")
        return step(rows, seats)

    monkeypatch.setattr(EagerRows, "step", short)
    jobs = [job(video, QUESTIONS[1]) for video in videos]
    company = Worker(worker.session.together(8), worker.resolved)
    told = {one.video: document for one, document in answered(company, jobs, readers=2)}
    assert {video: doc["answer"] for video, doc in told.items()} == {
        video: alone(video, QUESTIONS[1]) for video in videos
    }
    assert refused[0] >= 1
    assert company.session.several.most == 1, "it asks for no more"  # type: ignore[union-attr]


def test_many_clips_leave_nothing_behind(worker: Worker, videos: list[str]) -> None:
    """What the thousandth takes is what the tenth takes: no clip, reader or buffer stays when its answer is told."""
    company = Worker(worker.session.together(4), worker.resolved)
    few = changed(frames=2, max_new_tokens=2)
    held: list[int] = []
    for _ in answered(
        company, (job(videos[n % 3], QUESTIONS[0], settings=few) for n in range(20)), readers=1
    ):
        if len(held) % 10 == 9:
            gc.collect()  # what is held, not what waits to be collected
        held.append(sum(type(one) is Clip for one in gc.get_objects()))
    assert len(held) == 20
    assert max(held[9::10]) <= 8
    assert company.session.several.seated == 0  # type: ignore[union-attr]


@pytest.fixture
def quick_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip has been read whenever one could begin."""
    first = ReadAhead.first
    monkeypatch.setattr(ReadAhead, "first", lambda ahead, wait: first(ahead, wait=True))


@pytest.mark.usefixtures("quick_reader")
def test_open_clips_hold_what_the_host_has_for_them(worker: Worker, videos: list[str]) -> None:
    """Large ones go one after the other, small ones together; none waits for ever."""
    jobs = [job(video, QUESTIONS[1], settings=changed(frames=2)) for video in videos]
    want, each = {doc["answer"] for doc in done(worker, *jobs)}, 2 * 96 * 96 * 3
    for host, most in ((1, 1), (100 * each, 3)):
        engine = Together(worker.session.engine, host=host)
        held = _at_each_step(engine, lambda engine: (len(engine._answers), engine.held[0]))
        company = Worker(replace(worker.session, engine=engine), worker.resolved)
        assert {doc["answer"] for _, doc in answered(company, jobs)} == want  # type: ignore[index]
        assert max(count for count, _ in held) == most, host
        assert max(nbytes for _, nbytes in held) >= most * each
        assert engine.held == (0, 0)


@pytest.mark.usefixtures("quick_reader")
@pytest.mark.parametrize("count", [1, 2])
def test_an_answer_on_its_way_holds_no_prompt(worker: Worker, videos: list[str], count: int) -> None:
    """Neither for the store; of several questions, what they share is held until the last one has been read."""
    company = Worker(worker.session.together(4), worker.resolved)
    jobs = [
        job(video, *QUESTIONS[2 - count : 2], settings=changed(seen=seen))
        for video, seen in zip(videos, ("off", "refresh", "refresh"), strict=True)
    ]
    engine = company.session.several
    assert engine is not None
    others = _prompts()  # of other tests
    held = _at_each_step(engine, lambda engine: _embedded(others) if len(engine._answers) == 3 else None)
    assert len(list(answered(company, jobs))) == 3 * count
    of_three = [nbytes for nbytes in held if nbytes is not None]
    assert min(of_three) == 0
    assert max(of_three) > 0 or count == 1


def _prompts() -> list[Prompt | VisualPrompt]:
    """Those that are there with what the language model reads."""
    gc.collect()
    return [one for one in gc.get_objects() if type(one) in (Prompt, VisualPrompt)]


def _embedded(others: list[Prompt | VisualPrompt]) -> int:
    """Bytes of prompts, but for `others`."""
    known = {id(one) for one in others}
    return sum(one.embeds.nbytes for one in _prompts() if id(one) not in known)


def _at_each_step(engine: Together, look: Callable[[Together], Any]) -> list[Any]:
    """What is to be seen before each step."""
    step, seen = engine.step, list[Any]()
    engine.step = lambda: (seen.append(look(engine)), step())[1]  # type: ignore[method-assign]
    return seen


def _essence(document: Any) -> tuple[Any, ...]:
    return document["id"], document.get("answer"), document.get("error"), document.get("tokens")


def test_rows_have_their_own_settings(worker: Worker, videos: list[str]) -> None:
    few, dense = changed(frames=2, max_new_tokens=3), changed(prune="off", memory=False)
    documents = done(
        worker, job(videos[0], QUESTIONS[1], settings=few), job(videos[0], QUESTIONS[1], settings=dense)
    )
    assert [doc["answer"] for doc in documents] == [
        alone(videos[0], QUESTIONS[1], few),
        alone(videos[0], QUESTIONS[1], dense),
    ]
    assert (documents[0]["sampling"]["frames"], documents[0]["tokens"]["generated"]) == (2, 3)
    assert documents[1]["tokens"]["visual_retention"] == 1.0


def test_a_long_clip_comes_in_chunks_as_in_ask(worker: Worker, tmp_path: Path) -> None:
    video = str(encode(tmp_path / "long.mp4", 90))
    settings = changed(frames=80)
    (document,) = done(worker, job(video, QUESTIONS[1], settings=settings))
    assert document["answer"] == alone(video, QUESTIONS[1], settings)
    assert document["sampling"]["frames"] == 80
    assert done(worker, job(video, *QUESTIONS, settings=settings))[1]["answer"] == document["answer"]


def test_an_flv_whose_sound_begins_late_is_read_by_all(worker: Worker, tmp_path: Path) -> None:
    """PyAV fails at its end, where a stream has come that was not there when it was opened."""
    film = encode(tmp_path / "film.flv", 300, fps=10, options={"g": "10"})
    video = str(with_late_sound(tmp_path / "late.flv", film, 20_000))
    with av.open(video) as container, pytest.raises(IndexError):
        list(container.demux(container.streams.video[0]))
    assert probe(video).frames_total == 300
    (document,) = done(worker, job(video, QUESTIONS[1]))
    assert document["answer"] == alone(video, QUESTIONS[1])
    assert document["video"]["frames_total"] == 300


def test_what_fails_has_the_exit_code_it_would_have_had(
    worker: Worker, videos: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(Path(videos[0]).read_bytes()[:200])
    jobs = [
        job("gone.mp4", "what?", "who?"),
        job(str(broken), "what?"),
        job(videos[0], "what? " * 5000, QUESTIONS[0]),
        job("gone.mp4", "what?", settings=changed(frames=80)),
        job(videos[0], QUESTIONS[0], settings=changed(start=100)),
    ]
    documents = done(worker, *jobs)
    assert [doc.get("exit_code") for doc in documents] == [3, 3, 3, 2, None, 3, 2]
    assert [(doc["id"], doc["line"]) for doc in documents[:2]] == [("1", 1), ("2", 2)]
    assert documents[4]["answer"] == alone(videos[0], QUESTIONS[0])
    failed = ask_all(videos[0], ["what? " * 5000], SETTINGS)
    (error,) = [event.error for event in failed if isinstance(event, QuestionFailed)]
    assert documents[3]["error"] == str(error)


def test_a_bug_in_a_reader_costs_its_video(
    worker: Worker, videos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = working.read_frames

    def read_or_fail(reader: Any, one: Job) -> Any:
        if one.video == "bug":
            raise ZeroDivisionError("a bug")
        return read(reader, one)

    monkeypatch.setattr(working, "read_frames", read_or_fail)
    first, second = done(worker, job("bug", "what?"), job(videos[0], QUESTIONS[0]))
    assert (first["exit_code"], first["error"]) == (1, "unexpected ZeroDivisionError: a bug")
    assert second["schema"] == "sharpv.ask/1"


def test_a_row_whose_reader_is_killed_is_left_by_name_and_costs_no_other(
    worker: Worker, videos: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing tells whether the machine or the file is to blame; nothing is kept of it, so each run goes alike."""
    read = working.decode_isolated

    def killed(reader: IsolatedReader, video: FilePath, sampling: Any) -> Frames:
        if str(video) == videos[0]:
            return reader.read(video, partial(hostile_work.always, "import os; os.kill(os.getpid(), 9)"))  # type: ignore[return-value]
        return read(reader, video, sampling)

    monkeypatch.setattr(working, "decode_isolated", killed)
    left, answered = done(worker, *(job(video, QUESTIONS[0]) for video in videos[:2]))
    assert isinstance(left, Left)
    assert answered["answer"] == alone(videos[1], QUESTIONS[0])
    tally = Tally(0, 25)
    for number in range(25):
        tally.count(Left(number, f"row{number}", left.error))
    summarize(tally, None, interrupted=False, goes_on=True)
    told = capsys.readouterr().err
    assert "row1 is left for the next run" in told
    assert "was killed, as the system does when memory runs out" in told
    assert "and 5 more are left" in told


def test_ctrl_c_gives_no_half_of_an_answer(
    worker: Worker, videos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sharpv_cli.models.streaming import TextStream

    push, pushed = TextStream.push, []

    def push_or_stop(self: TextStream, token: int) -> str:
        pushed.append(token)
        if len(pushed) == 6:
            raise KeyboardInterrupt
        return push(self, token)

    monkeypatch.setattr(TextStream, "push", push_or_stop)
    documents: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        documents.extend(_each(documents_of(worker, [job(videos[0], *QUESTIONS)]), documents))
    assert [document["id"] for document in documents] == ["1"]


def _each(source: Iterator[Told], into: list[Any]) -> Iterator[Told]:
    for document in source:
        into.append(document)
    return iter(())
