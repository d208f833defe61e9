"""Answers decoded together are those that each one gets alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
import schedules
import torch
from events import answer_about
from schedules import MOST_TOKENS, Wish, alone, differences, fast, together
from tiny_families import RECIPES
from tiny_model import clip, session

from sharpv_cli.engine import together as together_module
from sharpv_cli.engine.engine import Engine, Prefill
from sharpv_cli.engine.pool import Blocks
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.engine.rows import EagerRows, bytes_of
from sharpv_cli.engine.together import Together
from sharpv_cli.errors import ResourceError
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.question import whole_answer
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.types import Event, Finished, Waiting
from sharpv_cli.video.frames import Frames

FAMILY = "llava_onevision"


@pytest.mark.parametrize("family", RECIPES)
def test_every_answer_is_the_one_it_gets_alone(family: str) -> None:
    wishes = [
        Wish(family, prompt=0),
        Wish(family, prompt=1, memory=False, new=5),
        Wish(family, prompt=2, temperature=1.5, seed=3),
        Wish(family, prompt=3, held=5, logprobs=True),
        Wish(family, prompt=4, new=1),
    ]
    wishes.append(Wish(family, prompt=5, stop=(alone(Wish(family, prompt=5))[0][-1],)))
    want = [alone(wish) for wish in wishes]

    got = together(Together(fast(family)), wishes)

    assert [ids for ids, _ in got] == [ids for ids, _ in want]
    assert got[3][1] == pytest.approx(want[3][1], abs=1e-4)
    assert len({tuple(ids) for ids, _ in want}) > 3


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_whenever_is_answered_as_it_would_be_alone(seed: int) -> None:
    """`python tests/helpers/schedules.py 1000` tries more."""
    assert differences(seed) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("seed", range(20))
def test_so_it_is_on_a_gpu(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "device", "cuda")

    assert differences(seed) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_each_size_of_batch_has_its_graph_and_the_pool_keeps_to_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedules, "device", "cuda")
    from sharpv_cli.engine.paged import PagedRows  # imports triton

    wishes = [Wish(FAMILY, prompt=number % 6, new=3 + number % 9) for number in range(33)]
    engine = Together(fast(FAMILY), bound=8 << 20)

    got = together(engine, wishes)

    assert [ids for ids, _ in got] == [alone(wish)[0] for wish in wishes]
    assert isinstance(engine._rows, PagedRows)
    assert 0 < engine._rows.nbytes <= 8 << 20
    assert {64, 32, 16, 8} <= set(engine._rows._graphs)
    before = torch.cuda.memory_allocated()
    engine.release()
    assert torch.cuda.memory_allocated() < before - (4 << 20)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_where_a_gpu_has_less_memory_than_the_pool_wants_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedules, "device", "cuda")
    from sharpv_cli.engine.paged import PagedRows  # imports triton

    wishes = [Wish(FAMILY, prompt=number % 6) for number in range(12)]
    want, tried = [alone(wish)[0] for wish in wishes], list[int]()
    for wish, ids in zip(wishes, want, strict=True):  # room for thousands of tokens, of which a few come
        wish.new, wish.stop = 3000, (ids[-1],)
    allocate = PagedRows._allocate
    monkeypatch.setattr(
        PagedRows,
        "_allocate",
        lambda rows, blocks, *more: (tried.append(blocks), allocate(rows, blocks, *more))[1],
    )
    engine, total = Together(fast(FAMILY), bound=1 << 40), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (128 << 20)) / total)
    try:
        got = together(engine, wishes)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert [ids for ids, _ in got] == [ids[: ids.index(ids[-1])] for ids in want]
    assert len(tried) > 1
    assert isinstance(engine._rows, PagedRows)


def begun(engine: Engine, count: int, **how: Any) -> list[Iterator[int | None]]:
    """So many answers, each up to where it waits."""
    wishes = [Wish(FAMILY, prompt=number, **how) for number in range(count)]
    answers = [wish.begun(engine, []) for wish in wishes]
    for one in answers:
        assert len(upto_waiting(one)) == 1
    return answers


def upto_waiting(answer: Iterator[int | None]) -> list[int]:
    return [
        token for token in itertools.takewhile(lambda token: token is not None, answer) if token is not None
    ]


def pool(engine: Together) -> EagerRows:
    assert isinstance(engine._rows, EagerRows)
    return engine._rows


def test_a_pass_reads_the_tokens_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sizes = Together(fast(FAMILY)), list[int]()
    step = EagerRows.step
    monkeypatch.setattr(
        EagerRows, "step", lambda rows, seats: (sizes.append(len(seats)), step(rows, seats))[1]
    )

    together(engine, [Wish(FAMILY, prompt=number, new=4 + number) for number in range(3)])

    assert sizes == [3, 3, 3, 2, 1]


def test_one_that_ends_or_is_closed_makes_room_at_once() -> None:
    engine = Together(fast(FAMILY), most=2)
    first, second = begun(engine, 2)
    assert not engine.has_room
    assert engine.seated == 2

    first.close()  # type: ignore[attr-defined]

    assert engine.has_room
    assert engine.seated == 1
    (third,) = begun(engine, 1)
    assert engine.seated == 2
    second.close()  # type: ignore[attr-defined]
    third.close()  # type: ignore[attr-defined]
    assert pool(engine).nbytes == 0


def test_buffers_keep_to_the_bound_and_who_does_not_fit_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    wishes = [Wish(FAMILY, prompt=number % 6) for number in range(9)]
    each = bytes_of(wishes[2].read(fast(FAMILY)).cache, MOST_TOKENS)
    engine, most = Together(fast(FAMILY), bound=2 * each), list[int]()
    seat = EagerRows.seat
    monkeypatch.setattr(
        EagerRows, "seat", lambda rows, *asked: (seat(rows, *asked), most.append(rows.nbytes))[0]
    )

    got = together(engine, wishes)

    assert [ids for ids, _ in got] == [alone(wish)[0] for wish in wishes]
    assert each < max(most) <= 2 * each


def test_no_block_of_a_pool_has_two_owners() -> None:
    draw, blocks, owners = random.Random(0), Blocks(20), dict[int, list[int]]()
    for owner in range(200):
        counts, free = [draw.randint(1, 4) for _ in range(3)], 20 - sum(map(len, owners.values()))
        taken = blocks.take(owner, counts)
        assert (taken is None) == (sum(counts) > free)
        if taken is not None:
            assert [len(each) for each in taken] == counts
            owners[owner] = list(itertools.chain(*taken))
        everyone = list(itertools.chain(*owners.values()))
        assert len(set(everyone)) == len(everyone) == blocks.taken <= 20
        assert set(everyone) <= set(range(1, 21))  # number 0 is nobody's
        if owners and draw.random() < 0.6:
            left = draw.choice(list(owners))
            blocks.give_back(left)
            del owners[left]


def test_one_that_would_never_fit_is_decoded_by_itself() -> None:
    engine = Together(fast(FAMILY), bound=1)

    got = together(engine, [Wish(FAMILY, prompt=number) for number in range(3)])

    assert [ids for ids, _ in got] == [alone(Wish(FAMILY, prompt=number))[0] for number in range(3)]


def test_an_only_answer_needs_no_buffers_for_many() -> None:
    engine = Together(fast(FAMILY))

    together(engine, [Wish(FAMILY)])

    assert engine._rows is None


def test_buffers_go_back_when_nothing_runs() -> None:
    engine = Together(fast(FAMILY))
    left = begun(engine, 2)
    engine.release()
    assert engine._rows is not None
    for one in left:
        one.close()  # type: ignore[attr-defined]

    engine.release()

    assert engine._rows is None


def test_out_of_memory_in_a_step_shrinks_the_batch_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sizes = Together(fast(FAMILY), most=8), list[int]()
    step = EagerRows.step

    def tight(rows: EagerRows, seats: Any) -> Any:
        if len(seats) > 2:
            raise torch.OutOfMemoryError
        sizes.append(len(seats))
        return step(rows, seats)

    monkeypatch.setattr(EagerRows, "step", tight)
    wishes = [Wish(FAMILY, prompt=number % 6) for number in range(10)]

    got = together(engine, wishes)

    assert [ids for ids, _ in got] == [alone(wish)[0] for wish in wishes]
    assert max(sizes) == engine.most == 2


@pytest.mark.parametrize("where", ["argmax", "Late", "clone"])
def test_a_step_without_memory_for_what_it_gave_is_made_again_and_reads_the_same_tokens(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all keys and values were written."""
    wishes = [Wish(FAMILY, prompt=number, temperature=1.5 * (number % 2), seed=number) for number in range(5)]
    want = [alone(wish)[0] for wish in wishes]
    failed, step = list[str](), EagerRows.step
    of = together_module if where == "Late" else torch.Tensor
    right, stepping = getattr(of, where), list[int]()

    def tight(*given: Any, **more: Any) -> Any:
        if stepping and stepping[-1] > 1 and len(failed) < 3:
            failed.append(where)
            raise torch.OutOfMemoryError
        return right(*given, **more)

    monkeypatch.setattr(
        EagerRows, "step", lambda rows, seats: (stepping.append(len(seats)), step(rows, seats))[1]
    )
    monkeypatch.setattr(of, where, tight)

    got = together(Together(fast(FAMILY)), wishes)

    assert failed == [where] * 3 or stepping[-1] == 1
    assert len(failed) > 1
    assert [ids for ids, _ in got] == want


def test_out_of_memory_for_buffers_makes_it_wait_and_alone_is_its_own_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seat = EagerRows.seat

    def tight(rows: EagerRows, start: Prefill, count: int) -> int | None:
        if len(rows._seated) == 2:
            raise torch.OutOfMemoryError
        return seat(rows, start, count)

    monkeypatch.setattr(EagerRows, "seat", tight)
    wishes = [Wish(FAMILY, prompt=number) for number in range(4)]
    got = together(Together(fast(FAMILY)), wishes)
    assert [ids for ids, _ in got] == [alone(wish)[0] for wish in wishes]

    def none(*_: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(EagerRows, "seat", none)
    monkeypatch.setattr("sharpv_cli.engine.together.Alone.seat", none)
    engine = Together(fast(FAMILY))
    (first,) = begun(engine, 1)
    for one in (Wish(FAMILY).begun(engine, []), first):
        with pytest.raises(torch.OutOfMemoryError):
            list(one)


def test_an_error_of_one_answer_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from schedules import Held

    engine = Together(fast(FAMILY))
    held = Wish(FAMILY, prompt=1, held=5)
    monkeypatch.setattr(Held, "take", lambda *_: (_ for _ in ()).throw(ResourceError("too large", hint="")))
    (good,) = begun(engine, 1)
    bad = held.begun(engine, [])
    upto_waiting(bad)

    engine.step()

    with pytest.raises(ResourceError, match="too large"):
        upto_waiting(bad)
    ids, _ = alone(Wish(FAMILY))
    rest = []
    for token in good:
        engine.step() if token is None else rest.append(token)
    assert rest == ids[1:]


def test_a_step_that_one_answer_breaks_is_made_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    step, most = EagerRows.step, list[int]()

    def broken(rows: EagerRows, seats: Any) -> Any:
        most.append(len(seats))
        if 2 in seats:
            raise RuntimeError("a kernel failed")
        return step(rows, seats)

    monkeypatch.setattr(EagerRows, "step", broken)
    engine = Together(fast(FAMILY))
    answers, told = begun(engine, 4), list[list[int] | str]()

    for number, one in enumerate(answers):
        told.append(ids := list[int]())
        try:
            for token in one:
                engine.step() if token is None else ids.append(token)
        except RuntimeError as error:
            told[number] = str(error)

    want = [alone(Wish(FAMILY, prompt=number))[0][1:] for number in range(4)]
    assert told == [*want[:2], "a kernel failed", want[3]]
    assert engine.most == 64, "it goes on with as many as before"
    assert most[:3] == [4, 2, 2]


def test_a_device_that_has_failed_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EagerRows, "step", lambda *_: (_ for _ in ()).throw(torch.AcceleratorError("gone")))
    engine = Together(fast(FAMILY))
    left = begun(engine, 2)
    with pytest.raises(torch.AcceleratorError):
        engine.step()
    assert engine.seated == len(left)


def test_engines_that_cannot_batch_answer_one_by_one() -> None:
    inner = ReferenceEngine(fast(FAMILY).model)

    got = together(Together(inner), [Wish(FAMILY, prompt=number) for number in range(2)])

    assert [ids for ids, _ in got] == [alone(Wish(FAMILY, prompt=number))[0] for number in range(2)]


def test_it_tells_of_the_engine_that_it_wraps() -> None:
    engine = Together(fast(FAMILY))

    assert (engine.name, engine.reason) == ("fast", fast(FAMILY).reason)
    assert engine.always_in_two
    assert not Together(ReferenceEngine(fast(FAMILY).model)).always_in_two


def questions(engine: Together, count: int) -> list[Iterator[Event]]:
    info, sample = clip()
    settings = Settings.model_validate({"generation": {"max_new_tokens": 6}})
    shared = Session(session().loaded, engine)
    asked = (f"What is shown in picture {number}?" for number in range(count))
    return [answer_about(Clip(shared, Frames(info, sample), settings), question) for question in asked]


def driven(engine: Together, answers: list[Iterator[Event]]) -> list[list[Event]]:
    told: list[list[Event]] = [[] for _ in answers]
    going = dict(enumerate(answers))
    while going:
        for number, events in list(going.items()):
            for event in events:
                told[number].append(event)
                if isinstance(event, Waiting):
                    break
            else:
                del going[number]
        engine.step()
    return told


def test_questions_wait_for_steps_and_are_answered_as_before() -> None:
    engine = Together(session().engine)

    told = driven(engine, questions(engine, 3))

    want = [whole_answer(events) for events in questions(session().engine, 3)]
    got = [whole_answer(iter(events)) for events in told]
    assert [answer.text for answer in got] == [answer.text for answer in want]
    assert [answer.memory.kv_bytes for answer in got] == [answer.memory.kv_bytes for answer in want]
    assert all(isinstance(events[-1], Finished) for events in told)
    assert all(sum(isinstance(event, Waiting) for event in events) == 5 for events in told)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), ResourceError("it does not fit", hint="")])
def test_a_prompt_without_memory_waits_until_others_have_ended(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Together(session().engine)
    want = [whole_answer(events).text for events in questions(session().engine, 3)]
    read, refused = type(session().engine).read, list[int]()

    def tight(self: Any, *given: Any) -> torch.Tensor:
        if engine.seated:
            refused.append(engine.seated)
            raise error
        return read(self, *given)

    answers = questions(engine, 3)
    begun = [
        list(itertools.takewhile(lambda event: not isinstance(event, Waiting), one)) for one in answers[:2]
    ]
    assert engine.seated == 2
    monkeypatch.setattr(type(session().engine), "read", tight)

    told = driven(engine, answers)

    assert refused == [2]
    assert [event.answer.text for events in told for event in events if isinstance(event, Finished)] == want
    assert begun
    monkeypatch.setattr(type(session().engine), "read", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(ResourceError):
        list(questions(engine, 1)[0])
