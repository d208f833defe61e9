"""The evaluation on the built-in model: every answer is the one that `sharpv ask` would give, at the matched budget."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from events import ask

from sharpv_cli.engine.fast import FastEngine
from sharpv_cli.engine.fastv import FastVEngine
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.engine.together import Together
from sharpv_cli.evaluation import running
from sharpv_cli.evaluation.datasets import SHAPES_VARIANTS, shapes
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item, Score
from sharpv_cli.evaluation.fewer import affordable, with_frames
from sharpv_cli.evaluation.matching import read_match
from sharpv_cli.evaluation.methods import EvalMethod, read_methods
from sharpv_cli.evaluation.results import Missed, Outcome, ResultsFile, item_key, open_results
from sharpv_cli.evaluation.rivals import Contest
from sharpv_cli.evaluation.running import Run
from sharpv_cli.pipeline import comparing
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import returned
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.shelf import SHELF
from sharpv_cli.types import Answer, Finished, Waiting
from sharpv_cli.video.local import Limits
from sharpv_cli.video.read_ahead import ReadAhead

Evaluate = Callable[..., tuple[dict[tuple[str, str], Outcome], list[Missed]]]
RIVALS = "random-dagger,random-star,stride,evs,vidcom2,dycoke,fastv"


def settings_for(changed: Mapping[str, object]) -> Settings:
    return resolve(changed, {}).settings


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(settings_for({}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def evaluated(session: Session, tmp_path: Path) -> Evaluate:
    """A function: dataset, methods and budget -> outcomes by item and method, and what was missed."""

    def run(
        dataset: Dataset,
        methods: str,
        match: str = "sharpv",
        out: str = "r.jsonl",
        score: Score = "exact",
        by: Session = session,
        most: int | None = None,
    ) -> tuple[dict[tuple[str, str], Outcome], list[Missed]]:
        """With at `most` so many answers, of all that there are to give, `by` a session."""
        listed = read_methods(methods, settings_for)
        contest = Contest(read_match(match), seed=0, score=score)
        work = Run(dataset, listed, settings_for({}), contest, by, Limits())
        digests = {method.label: "x" for method in listed}
        keys = {item.id: item_key(item) for item in dataset.items}
        with ResultsFile(open_results(tmp_path / out), digests, keys) as file:
            file.begin("cpu")
            with closing(work.outcomes(file)) as outcomes:
                list(islice(outcomes, most))
            return dict(file.done), work.missed

    return run


@cache
def alone() -> Session:
    """Another one than that of the evaluation, with an engine of its own."""
    return open_session(settings_for({}))


def asked(item: Item, method: EvalMethod) -> Answer:
    events = ask(item.video, item.prompt, method.settings, session=alone())
    return next(event.answer for event in events if isinstance(event, Finished))


def test_answers_and_budgets_are_those_of_ask(evaluated: Evaluate, folder: Path) -> None:
    """Two clips with two questions each: the second is put behind the first one's frames."""
    dataset = shapes.load(None, 4, folder)
    methods = "dense,sharpv,visual,memory,manual,sharpv:w=0.5,positions=contiguous"
    done, missed = evaluated(dataset, methods)
    assert missed == []
    for item in dataset.items:
        for method in read_methods(methods, settings_for):
            alone, ours = asked(item, method), done[item.id, method.label]
            assert ours.answer == alone.text
            assert ours.visual_retention == pytest.approx(alone.visual_retention, abs=1e-6)
            assert ours.kv_retention == pytest.approx(alone.memory.kv_retention, abs=1e-6)
            assert ours.generated == alone.generated_tokens


@pytest.mark.parametrize(("free", "times"), [(1 << 40, 1), (0, 2)])
def test_what_a_method_keeps_of_a_clip_is_read_once_where_it_may_stay(
    free: int, times: int, evaluated: Evaluate, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two questions about one clip; each tells of the whole prefill. What is drawn anew is read anew."""
    reads, read_prefix, ticks = [], FastEngine.read_prefix, count(0, 1000)
    monkeypatch.setattr(FastEngine, "read_prefix", lambda *a, **k: reads.append(1) or read_prefix(*a, **k))
    monkeypatch.setattr(comparing, "available_bytes", lambda _: free)
    monkeypatch.setattr(comparing, "now", lambda: next(ticks))
    done, missed = evaluated(shapes.load(None, 2, folder), "dense,sharpv,dycoke,random-star")
    assert (len(done), missed) == (8, [])
    assert len(reads) == 3 * times + 2
    told = [outcome.prefill_sec for outcome in done.values()]
    assert sum(seconds >= 1000 for seconds in told) == (3 if times == 1 else 0)


def test_a_further_comparison_of_a_process_that_holds_clips_encodes_none_again(
    evaluated: Evaluate, session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, capture = [], Clip.capture
    monkeypatch.setattr(Clip, "capture", lambda *given: encoded.append(1) or capture(*given))
    dataset, methods = shapes.load(None, 4, folder), "dense,sharpv,evs"
    want, _ = evaluated(dataset, methods, "all:0.2")
    monkeypatch.setattr(SHELF, "places", 8)
    try:
        for out in ("first.jsonl", "again.jsonl"):
            found, missed = evaluated(dataset, methods, "all:0.2", out=out, by=session.together(4))
            assert (len(found), missed) == (12, [])
            assert all(untimed(one) == untimed(want[key]) for key, one in found.items())
        assert len(encoded) == 2 + 2
        evaluated(dataset, methods, "all:0.2", out="other.jsonl", by=alone())
        assert len(encoded) == 2 + 2 + 2, "another model sees them for itself"
    finally:
        SHELF.give_up()


def untimed(outcome: Outcome) -> Outcome:
    return replace(outcome, prune_sec=0.0, prefill_sec=0.0, tpot_sec=None)


@pytest.fixture
def quick_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip has been read whenever one could begin."""
    first = ReadAhead.first
    monkeypatch.setattr(ReadAhead, "first", lambda ahead, wait: first(ahead, wait=True))


@pytest.mark.usefixtures("quick_reader")
@pytest.mark.parametrize(
    ("seed", "match", "methods"),
    [
        (0, "sharpv", "dense,sharpv,stride,vidcom2,fastv,dense-fewer-frames"),
        (1, "sharpv:kv", "sharpv,memory,random-dagger,random-star,evs,dycoke"),
    ],
)
def test_clips_together_have_the_answers_of_one_by_one(
    seed: int,
    match: str,
    methods: str,
    evaluated: Evaluate,
    session: Session,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Clips in any order, little room, encoded together; it is stopped on the way, and goes on later."""
    first = ReadAhead.first
    monkeypatch.setattr(ReadAhead, "first", lambda ahead, wait: first(ahead, wait=True))
    draw, dataset = random.Random(seed), some_clips(folder)
    want, missed = evaluated(dataset, methods, match, out="alone.jsonl")
    assert (len(want), missed) == (24, [])
    mixed = replace(dataset, items=tuple(draw.sample(dataset.items, len(dataset.items))))
    company, at_once = session.together(draw.randint(2, 4)), list[int]()
    assert company.several is not None
    company.several.vision.full = 1 << 40
    step = Together.step
    monkeypatch.setattr(
        Together, "step", lambda engine: (at_once.append(len(engine._answers)), step(engine))[1]
    )

    evaluated(mixed, methods, match, by=company, most=draw.randint(3, 9))
    done, missed = evaluated(mixed, methods, match, by=company)

    assert missed == []
    assert told(done) == told(want)
    assert max(at_once) > 1
    assert company.several.vision.largest > 1
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    asked = [(line["item"], line["method"]) for line in lines if "item" in line]
    assert len(asked) == len(set(asked)) == len(want), "nothing is asked twice"


def some_clips(folder: Path) -> Dataset:
    """A question about each of four clips, one with a long answer."""
    dataset = shapes.load(None, 8, folder)
    return replace(dataset, items=dataset.items[1::2])


def told(outcomes: Mapping[tuple[str, str], Outcome]) -> dict[tuple[str, str], Outcome]:
    """Without their times, and cosines to what is the same whatever the shape of a product."""
    return {
        key: replace(one, prune_sec=0, prefill_sec=0, tpot_sec=None, similarities=None)
        for key, one in outcomes.items()
    }


def test_by_likelihood_the_answer_is_one_of_the_choices(evaluated: Evaluate, folder: Path) -> None:
    """Whatever prunes: of a question with options their letters, of others all that an answer of its type can be."""
    dataset = shapes.load(None, 20, folder).with_choices().limited(7)
    done, missed = evaluated(dataset, "dense,sharpv,stride,fastv", score="likelihood")
    assert missed == []
    assert any(item.choices[0] == "A" for item in dataset.items)
    for (name, method), outcome in done.items():
        item = next(item for item in dataset.items if item.id == name)
        assert outcome.answer in item.choices
        assert item.answer in item.choices
        assert outcome.right or method not in ("dense", "sharpv")


def test_a_question_without_end_to_its_answers_has_no_choices(folder: Path) -> None:
    items = shapes.load(None, 100, folder).items
    assert {item.group for item in items if not item.choices} == {"describe", "offtopic"}
    assert all(item.answer in item.choices for item in items if item.choices)
    letters = Item("a", Path("a.mp4"), "Which? A. one B. two", "A", "letter", "", options=("one", "two"))
    assert letters.choices == ("A", "B")
    assert replace(letters, options=(), scoring="text").choices == ()


def test_rivals_keep_as_many_visual_tokens_as_sharpv(evaluated: Evaluate, folder: Path) -> None:
    dataset = shapes.load(None, 4, folder)
    done, missed = evaluated(dataset, f"sharpv,visual,{RIVALS}")
    assert missed == []
    for item in dataset.items:
        budget = done[item.id, "visual"].visual_retention
        for name in ("random-dagger", "random-star", "stride", "vidcom2"):
            assert done[item.id, name].visual_retention == budget, name
            assert done[item.id, name].kv_retention == budget, name
        # One frame of eight, two of eight: they cannot go lower.
        assert done[item.id, "evs"].visual_retention == pytest.approx(max(budget, 1 / 8), abs=1e-6)
        assert done[item.id, "dycoke"].visual_retention == pytest.approx(max(budget, 2 / 8), abs=1e-6)
        # Two of ten layers hold everything, the others what the budget allows.
        fastv = done[item.id, "fastv"]
        assert fastv.visual_retention == 1.0
        assert fastv.kv_retention == pytest.approx(0.2 + 0.8 * budget, abs=1e-6)


def test_rivals_hold_as_many_kv_entries_as_sharpv(evaluated: Evaluate, folder: Path) -> None:
    dataset = shapes.load(None, 4, folder)
    done, missed = evaluated(dataset, "sharpv,stride,vidcom2,fastv", "sharpv:kv")
    assert missed == []
    for item in dataset.items:
        budget = done[item.id, "sharpv"].kv_retention
        for name in ("stride", "vidcom2"):
            assert done[item.id, name].kv_retention == pytest.approx(budget, abs=1 / 512), name
        assert done[item.id, "fastv"].kv_retention == pytest.approx(max(0.2, budget), abs=1 / 512)


def test_a_ratio_is_kept_by_all_others(evaluated: Evaluate, folder: Path) -> None:
    dataset = shapes.load(None, 2, folder)
    done, _ = evaluated(dataset, "stride,evs,vidcom2,dycoke,stride+memory", "0.5")
    assert {o.visual_retention for o in done.values()} == {0.5}
    assert done["00000-0", "stride+memory"].kv_retention <= 0.5


def test_fewer_frames_are_those_that_the_budget_buys(evaluated: Evaluate, folder: Path) -> None:
    """The answer is that of `ask --frames N` without pruning, N rounded up; shares are of the whole clip's tokens."""
    dataset = shapes.load(None, 2, folder)
    for match, frames in (("0.26", 3), ("0.001", 1), ("1", 8), ("tokens:150", 3)):
        done, missed = evaluated(dataset, "dense-fewer-frames", match, out=f"{frames}{match[0]}.jsonl")
        assert missed == []
        for item in dataset.items:
            ours = done[item.id, "dense-fewer-frames"]
            assert (ours.frames, ours.visual_tokens) == (frames, 64 * frames)
            assert ours.visual_retention == ours.kv_retention == frames / 8
    fewer = read_methods("dense", lambda changed: settings_for({**changed, "frames": 3}))[0]
    done, _ = evaluated(dataset, "dense-fewer-frames", "0.26", out="3.jsonl")
    assert {key[0]: o.answer for key, o in done.items()} == {
        i.id: asked(i, fewer).text for i in dataset.items
    }


@pytest.mark.usefixtures("quick_reader")
def test_while_fewer_frames_are_read_others_are_answered(
    evaluated: Evaluate, session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, answered, threads = shapes.load(None, 4, folder), threading.Event(), set[threading.Thread]()
    first, last = dataset.items[0].video, dataset.items[-1].video
    decode, outcome = running.decode_isolated, running._outcome

    def slow(reader: Any, video: Any, settings: Settings) -> Any:
        threads.add(threading.current_thread())
        if settings.sampling.frames == 3 and Path(video) == first:
            assert answered.wait(20), "it holds up the other clip"
        return decode(reader, video, settings)

    def noted(item: Item, *given: Any) -> Outcome:
        if item.video == last:
            answered.set()
        return outcome(item, *given)

    monkeypatch.setattr(running, "decode_isolated", slow)
    monkeypatch.setattr(running, "_outcome", noted)
    monkeypatch.setattr(Run, "_order", lambda run, item: run.methods[:: 1 if item.video == first else -1])
    done, missed = evaluated(dataset, "dense-fewer-frames,dense", "0.26", by=session.together(2))
    assert (len(done), missed) == (8, [])
    assert len(threads) == 1, "one reads all, within its share of the cores"


@dataclass
class Looked:
    """Stands for a compared clip: frames that a model merges, with tokens that may grow as there are fewer."""

    frames: int
    merged: int
    tokens_at: Callable[[int], int]

    @property
    def clip(self) -> SimpleNamespace:
        return SimpleNamespace(sample=range(self.frames))

    def ask(self, question: str) -> tuple[()]:
        return ()

    @property
    def tokens(self) -> tuple[int, int]:
        return -(-self.frames // self.merged), self.tokens_at(self.frames)

    def fewer(self, frames: int) -> Generator[Waiting, None, Looked]:
        yield from ()
        return replace(self, frames=frames)


@pytest.mark.parametrize(
    ("frames", "merged", "tokens_at", "budget", "taken"),
    [
        (32, 1, lambda n: 100, 800, 8),
        (32, 1, lambda n: 100, 801, 9),
        (32, 2, lambda n: 100, 350, 8),  # pairs: four of them
        (7, 2, lambda n: 100, 400, 7),  # the last of an odd number is a pair of its own: all are needed
        (7, 2, lambda n: 100, 300, 6),
        (32, 1, lambda n: 100 if n > 8 else 400, 800, 2),  # a limit on the clip's pixels: fewer are larger
        (4, 1, lambda n: 100, 4000, 4),
    ],
)
def test_as_few_frames_as_hold_the_budget(
    frames: int, merged: int, tokens_at: Callable[[int], int], budget: int, taken: int
) -> None:
    whole: Any = Looked(frames, merged, tokens_at)
    found = returned(affordable(whole, "what?", budget))
    assert found.frames == taken
    assert (found is whole) == (taken == frames)


def test_fewer_of_given_moments_are_spread_over_them() -> None:
    few = with_frames(settings_for({"at": "1,2,3,4,5,6"}), 2)
    assert few.sampling.strategy == "at"
    assert few.sampling.at == "2.0,5.0"
    fps = with_frames(settings_for({"fps": 2.0}), 3).sampling
    assert (fps.strategy, fps.frames) == ("uniform", 3)


def test_a_budget_in_tokens_holds_for_sharpv_too(evaluated: Evaluate, folder: Path) -> None:
    """Above and below what the settings' own scale keeps; all others keep the same total."""
    dataset = shapes.load(None, 2, folder)
    for tokens in (24, 120):
        done, missed = evaluated(
            dataset,
            "dense,sharpv,visual,stride,vidcom2,random-dagger",
            f"tokens:{tokens}",
            out=f"{tokens}.jsonl",
        )
        assert missed == []
        for (_, method), outcome in done.items():
            assert outcome.visual_tokens is not None
            if method == "dense":
                assert (outcome.visual_tokens, outcome.budget) == (512, None)
            else:
                assert outcome.budget == pytest.approx(tokens / 512, abs=1e-6)
                lowest = tokens - 8 if method in ("sharpv", "visual") else tokens  # frames of equal ratios
                assert lowest <= outcome.visual_tokens <= tokens, method


def test_no_scale_keeps_less_than_the_smallest_number_of_each_frame(
    evaluated: Evaluate, folder: Path
) -> None:
    done, missed = evaluated(shapes.load(None, 1, folder), "visual,stride", "tokens:3")
    assert missed == []
    assert {key[1]: outcome.visual_tokens for key, outcome in done.items()} == {"visual": 8, "stride": 3}


def test_chance_follows_the_question_not_the_order(evaluated: Evaluate, folder: Path) -> None:
    dataset = shapes.load(None, 4, folder)
    whole, _ = evaluated(dataset, "random-star,random-dagger", out="a.jsonl")
    last, _ = evaluated(replace(dataset, items=dataset.items[2:]), "random-dagger", out="b.jsonl")
    again = {key: outcome.answer for key, outcome in last.items()}
    assert again == {key: whole[key].answer for key in again}


def test_what_is_done_is_not_asked_again(evaluated: Evaluate, folder: Path, tmp_path: Path) -> None:
    dataset = shapes.load(None, 4, folder)
    evaluated(replace(dataset, items=dataset.items[:3]), "dense")
    before = (tmp_path / "r.jsonl").read_text().splitlines()
    evaluated(dataset, "dense,visual")
    after = (tmp_path / "r.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    added = [(d["item"], d["method"]) for d in map(json.loads, after[len(before) :]) if "item" in d]
    ids = [item.id for item in dataset.items]
    assert sorted(added) == sorted([(ids[3], "dense"), *((name, "visual") for name in ids)])


def test_bad_videos_cost_their_own_questions(evaluated: Evaluate, folder: Path, tmp_path: Path) -> None:
    good = shapes.load(None, 2, folder)
    good.prepare(good.items[0])
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    bad = [
        replace(good.items[0], id="gone", video=tmp_path / "gone.mp4"),
        replace(good.items[0], id="broken", video=tmp_path / "broken.mp4"),
        replace(good.items[0], id="late", start_sec=99.0),
    ]
    done, missed = evaluated(Dataset("mixed", (*bad, *good.items)), "dense,stride")
    assert {key[0] for key in done} == {item.id for item in good.items}
    told = {(one.item, one.exit_code): one.error for one in missed}
    assert sorted(told) == [("broken", 3), ("gone", 3), ("late", 2)]
    assert "gone.mp4" in told["gone", 3]
    assert "broken.mp4" in told["broken", 3]
    assert len(missed) == 6, "each method of each question"


def test_a_part_of_a_video_is_asked_about(evaluated: Evaluate, folder: Path, tmp_path: Path) -> None:
    """Bounds change what is seen: the features, and so the tokens that SharpV keeps."""
    whole = shapes.load(None, 1, folder).items[0]
    shapes.load(None, 1, folder).prepare(whole)
    part = replace(whole, id="part", end_sec=0.5)
    done, missed = evaluated(Dataset("two", (whole, part)), "visual")
    assert missed == []
    alone = asked(part, read_methods("visual", lambda c: settings_for({**c, "end": 0.5}))[0])
    assert done["part", "visual"].visual_retention == pytest.approx(alone.visual_retention, abs=1e-6)
    assert done["part", "visual"].visual_retention != done[whole.id, "visual"].visual_retention


def test_held_out_questions_are_answered(evaluated: Evaluate, folder: Path) -> None:
    """A slice of what docs/results.md measures: both far above what a broken path would give."""
    done, _ = evaluated(shapes.load(None, 16, folder), "dense,sharpv")
    for method in ("dense", "sharpv"):
        assert sum(o.right for (_, label), o in done.items() if label == method) >= 14
    assert all(0 < o.kv_retention <= o.visual_retention < 0.4 for (_, m), o in done.items() if m == "sharpv")


@pytest.mark.parametrize("variant", SHAPES_VARIANTS)
def test_every_variant_can_be_asked(evaluated: Evaluate, folder: Path, variant: str) -> None:
    dataset = shapes.load(variant, 2, folder)
    assert dataset.name == f"shapes:{variant}"
    done, missed = evaluated(dataset, "sharpv")
    assert (len(done), missed) == (2, [])
    assert shapes.load(variant, 2, folder).items == dataset.items


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, *, only: str | None = None) -> None:
    """Answers raise, all of them or those with one method."""
    answer = Contest.answer

    def wrapped(self, method, clip, item, kv_retention):
        if only in (None, method.label):
            raise error
        return answer(self, method, clip, item, kv_retention)

    monkeypatch.setattr(Contest, "answer", wrapped)


@pytest.mark.usefixtures("quick_reader")
@pytest.mark.parametrize(("of", "name"), [(FastVEngine, "read"), (Clip, "capture")])
def test_what_has_no_memory_beside_others_waits_for_them(
    of: type[Any],
    name: str,
    evaluated: Evaluate,
    session: Session,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FastV too, which shares no step with them."""
    company, work, refused = session.together(4), getattr(of, name), list[int]()

    def tight(self: Any, *given: Any) -> Any:
        if seated := company.several.seated:  # type: ignore[union-attr]
            refused.append(seated)
            raise MemoryError
        return work(self, *given)

    monkeypatch.setattr(of, name, tight)
    done, missed = evaluated(some_clips(folder), "dense,fastv", by=company)
    assert (len(done), missed) == (8, [])
    assert refused


@pytest.mark.usefixtures("quick_reader")
def test_clips_that_hold_too_much_go_one_after_the_other(
    evaluated: Evaluate, session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, at_once = Together(session.engine, host=1), list[int]()
    step = engine.step
    monkeypatch.setattr(engine, "step", lambda: (at_once.append(len(engine._answers)), step())[1])
    done, missed = evaluated(some_clips(folder), "sharpv", by=replace(session, engine=engine))
    assert (len(done), missed, set(at_once), engine.held) == (4, [], {1}, (0, 0))


@pytest.mark.usefixtures("quick_reader")
def test_an_error_of_one_of_several_is_its_own(
    evaluated: Evaluate, session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = some_clips(folder)
    want, _ = evaluated(dataset, "dense,sharpv", out="alone.jsonl")
    bad, answer = dataset.items[0].id, Contest.answer

    def failing_there(self, method, clip, item, kv_retention):
        coming = answer(self, method, clip, item, kv_retention)
        if (item.id, method.label) == (bad, "dense"):
            yield from islice(coming, 3)
            raise ValueError("a kernel failed")
        return (yield from coming)

    monkeypatch.setattr(Contest, "answer", failing_there)
    done, missed = evaluated(dataset, "dense,sharpv", by=session.together(3))
    assert [(one.item, one.method, one.exit_code) for one in missed] == [(bad, "dense", 1)]
    assert told(done) == {key: one for key, one in told(want).items() if key != (bad, "dense")}


def test_what_nobody_foresaw_costs_one_answer(evaluated: Evaluate, folder: Path, monkeypatch) -> None:
    failing(monkeypatch, RuntimeError("a kernel failed"), only="stride")
    done, missed = evaluated(shapes.load(None, 2, folder), "visual,stride")
    assert [key[1] for key in done] == ["visual", "visual"]
    assert {(one.method, one.exit_code, one.error) for one in missed} == {
        ("stride", 1, "unexpected RuntimeError: a kernel failed")
    }


def test_a_device_that_has_failed_for_good_ends_the_run(
    evaluated: Evaluate, folder: Path, monkeypatch
) -> None:
    failing(monkeypatch, RuntimeError("device-side assert"))
    with pytest.raises(RuntimeError, match="20 times in a row: unexpected RuntimeError: device-side assert"):
        evaluated(shapes.load(None, 24, folder), "visual")


def test_an_interrupted_answer_is_no_answer(
    evaluated: Evaluate, session: Session, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    """Ctrl-C while tokens come: what came so far must not be kept as the answer."""

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt
        yield 0

    for engine in (FastEngine, ReferenceEngine, Together):
        monkeypatch.setattr(engine, "decode", interrupted)
    for company in (session, session.together(3)):
        with pytest.raises(KeyboardInterrupt):
            evaluated(shapes.load(None, 2, folder), "dense", by=company)
    assert "sharpv.eval.answer" not in (tmp_path / "r.jsonl").read_text()
