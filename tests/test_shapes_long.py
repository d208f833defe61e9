"""ShapesQA-Long: what happens is in the pixels when it is said to happen, and answers follow from the events."""

from __future__ import annotations

import math
import random
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.evaluation.scoring import is_right
from sharpv_cli.shapes.films import Film
from sharpv_cli.shapes.hard_questions import NUMBERS
from sharpv_cli.shapes.long import FEWEST, FLASH_SEC, LONGEST_SEC, MOST, SHORTEST_SEC, sample_film
from sharpv_cli.shapes.long_questions import retold, sample_long_question
from sharpv_cli.shapes.long_world import Actor, LongWorld
from sharpv_cli.shapes.world import COLOURS
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.sampling import Sampling

WORLDS = [shapes.held_out_long(index)[0] for index in range(80)]


def test_clips_are_what_the_name_says() -> None:
    lengths = [world.duration_sec for world in WORLDS]
    assert SHORTEST_SEC <= min(lengths) < 40
    assert 160 < max(lengths) <= LONGEST_SEC
    counts = [len(world.events) for world in WORLDS]
    assert (min(counts), max(counts)) == (FEWEST, MOST)
    kinds = {event.kind for world in WORLDS for event in world.events}
    assert kinds == {"appear", "pair", "leave", "turn", "cross", "hit", "flash"}
    for world in WORLDS:
        assert all(a.end < b.start for a, b in pairwise(world.events)), "one after the other"
        assert world.events[0].start > 0
        assert world.events[-1].end <= world.duration_sec
        for event in world.events:
            if event.kind == "flash":
                assert FLASH_SEC[0] - 0.01 <= event.end - event.start <= FLASH_SEC[1] + 0.01


def test_a_name_is_one_object_only() -> None:
    for world in WORLDS:
        names = [name for a in world.actors for name in {a.name, f"{a.colour_end} {a.kind}"}]
        assert len(names) == len(set(names))


def replayed(world: LongWorld, time: float) -> set[str]:
    """Who is there, by what is told alone: who was there at the start, and each clause since."""
    there = {f"the {actor.name}" for actor in world.actors if actor.born == 0}
    for event in world.events:
        passing = event.kind in ("cross", "flash")
        if passing and event.start <= time < event.end:
            there.add(event.who)
        if passing or event.start > time:
            continue
        if event.kind == "appear":
            there.add(event.who)
        elif event.kind == "pair":
            there |= set(event.who.split(" and "))
        elif event.kind == "leave":
            there.remove(event.who)
        elif event.kind == "turn":
            there.remove(event.who)
            there.add(f"the {event.verb.removeprefix('turns ')} {event.who.split()[-1]}")
    return there


def test_who_is_there_is_what_the_events_tell() -> None:
    for world in WORLDS:
        for step in range(40):
            time = (step + 0.37) / 40 * world.duration_sec
            assert {named(actor, time) for actor in world.there(time)} == replayed(world, time)


def named(actor: Actor, time: float) -> str:
    return f"the {actor.colour_end if time >= actor.turns else actor.colour} {actor.kind}"


def test_pixels_show_who_is_there() -> None:
    """In the middle of everyone who stands, and where those stood who are gone, before and after each event."""
    film = min((shapes.held_out_long(index)[1] for index in range(30)), key=lambda f: len(f.counts) * f.width)
    world = film.world
    assert isinstance(world, LongWorld)
    every = list(film.frames())
    looked = 0
    for event in world.events:
        for moment in (event.start - 0.5, event.end + 0.5):
            place = min(range(len(every)), key=lambda k: abs((film.counts[k] + 0.5) / film.fps - moment))
            looked += standing(film, world, every[place], (film.counts[place] + 0.5) / film.fps)
    assert looked > 6


def standing(film: Film, world: LongWorld, picture: np.ndarray, time: float) -> int:
    looked = 0
    for actor in world.actors:
        if actor.kind == "ring" or len(actor.path) > 1:
            continue
        _, x, y = actor.path[0]
        others = [other for other in world.there(time) if other is not actor]
        if any(math.hypot(x - o.path[0][1], y - o.path[0][2]) < 0.2 or len(o.path) == 2 for o in others):
            continue
        rgb = picture[int(y / world.height * film.height), int(x / world.width * film.width)]
        is_there = actor in world.there(time)
        shown = actor.rgb_end if time >= actor.turns else actor.rgb
        assert (math.dist(rgb, shown) < 30) == is_there, (actor, rgb)
        looked += 1
    return looked


def test_answers_follow_from_the_events() -> None:
    kinds = set()
    for index in range(400):
        world = WORLDS[index % len(WORLDS)]
        question = sample_long_question(world, random.Random(f"again {index}"))
        kinds.add(question.type)
        text = question.text
        assert text.startswith(f"The clip lasts {world.duration_sec:.0f} s. ")
        clauses = [event.clause for event in world.events]
        asked = sorted((clause for clause in clauses if clause in text), key=clauses.index)
        match question.type:
            case "first":
                early = re.search(r"first", text, re.I) is not None
                assert question.answer == asked[0 if early else -1]
            case "next":
                near = {
                    clauses[k]
                    for one in asked
                    for k in (clauses.index(one) - 1, clauses.index(one) + 1)
                    if 0 <= k < len(clauses)
                }
                assert question.answer in near
            case "when":
                starts = [event.start for event in world.events if event.clause in text]
                ends = [event.end for event in world.events if event.clause in text]
                assert min(starts) - 0.5 <= float(question.answer.removesuffix(" s")) <= max(ends) + 0.5
                assert question.tolerance_sec == max(1.0, 0.05 * world.duration_sec)
            case "count" if (at := re.search(r"(\d+) s(?: in)?\??$", text)) is not None:
                assert NUMBERS.index(question.answer) == len(replayed(world, float(at[1])))
            case "count":
                came = sum(2 if event.kind == "pair" else event.kind == "appear" for event in world.events)
                assert NUMBERS.index(question.answer) == came
            case "needle":
                assert [event.who for event in world.events if event.kind == "flash"] == [question.answer]
            case "describe":
                assert question.answer == ". ".join(clauses) + "."
    assert kinds == {"first", "next", "when", "count", "needle", "describe", "choice"}


def test_a_time_is_right_within_its_tolerance(tmp_path: Path) -> None:
    item = next(item for item in shapes.load("long", 40, tmp_path).items if item.scoring == "time")
    right, within = float(item.answer.removesuffix(" s")), item.tolerance_sec
    assert within is not None
    assert is_right(item.answer, item)
    assert is_right(f"{right + within:.2f} s", item)
    assert is_right(f"at about {right - within + 0.01:.2f} seconds", item)
    assert not is_right(f"{right + within + 0.1:.2f} s", item)
    assert not is_right("the red circle", item)


def test_a_long_clip_is_drawn_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few frames at a time: memory does not grow with the clip."""
    film = max((shapes.held_out_long(index)[1] for index in range(20)), key=lambda f: len(f.counts))
    assert len(film.counts) > 1000
    drawn: list[int] = []
    draw = Film._drawn

    def counted(self, canvas, times):
        drawn.append(len(times))
        return draw(self, canvas, times)

    monkeypatch.setattr(Film, "_drawn", counted)
    frames = film.frames()
    for _ in range(9):
        next(frames)
    assert drawn == [8, 8]


def test_rates_vary_and_the_file_says_so(tmp_path: Path) -> None:
    films = [shapes.held_out_long(index)[1] for index in range(40)]
    varied = [film for film in films if film.counts != tuple(range(len(film.counts)))]
    assert 5 < len(varied) < 25
    film = min(varied, key=lambda f: len(f.counts))
    path = tmp_path / f"clip{film.suffix}"
    film.write(path)
    info, sample = sample_frames(path, Sampling(frames=5))
    assert info.frames_total == len(film.counts)
    told = [film.counts[place] / film.fps for place in sample.indices]
    assert sample.timestamps_sec == pytest.approx(told, abs=0.002)
    assert info.duration_sec == pytest.approx(film.duration_sec, abs=1.0)


def test_the_same_seed_is_the_same_film() -> None:
    assert sample_film(random.Random(3)) == sample_film(random.Random(3))
    assert sample_film(random.Random(3)) != sample_film(random.Random(4))


def test_colours_are_shapesqas_own() -> None:
    assert {actor.colour for world in WORLDS for actor in world.actors} == set(COLOURS)


def test_a_clip_as_few_frames_show_it_leaves_out_only_what_left_no_trace() -> None:
    """Passing events need a frame in which they happen; every other is seen before or after."""
    dropped = kept = 0
    for world in WORLDS:
        times = [world.duration_sec * (k + 0.5) / 16 for k in range(16)]
        shown = world.shown_at(times)
        assert shown.actors == world.actors
        for event in world.events:
            during = any(event.start <= time < event.end for time in times)
            stays = event.kind not in ("flash", "cross", "hit")
            assert (event in shown.events) == (during or stays)
            dropped, kept = dropped + (not during and not stays), kept + (during and not stays)
    assert dropped and kept


def test_retold_is_every_event_in_its_order() -> None:
    world = max(WORLDS, key=lambda world: len(world.events))
    answer = retold(world, random.Random(0)).answer
    assert answer.count(".") == len(world.events) > 5
    places = [answer.index(event.clause) for event in world.events]
    assert places == sorted(places)
