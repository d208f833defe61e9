"""ShapesQA-Hard: what a clip shows is what its world says, in its pixels, and answers follow from that."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import torch

from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.shapes.films import Film, Sign
from sharpv_cli.shapes.hard import FEWEST, MOST, NEAR, PALETTE, HardWorld, sample_film
from sharpv_cli.shapes.hard_questions import ANSWERS, NUMBERS, sample_hard_question
from sharpv_cli.shapes.letters import mask_of
from sharpv_cli.shapes.painting import Grid, plate
from sharpv_cli.shapes.questions import candidates
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.sampling import Sampling

INDICES = range(60)


def world_of(index: int) -> HardWorld:
    return shapes.held_out_hard(index)[0]


def films() -> list[Film]:
    """Small ones are quick to draw."""
    every = (shapes.held_out_hard(index)[1] for index in INDICES)
    return sorted(every, key=lambda film: film.width * film.height)[:3]


def test_worlds_are_what_the_name_says() -> None:
    worlds = [world_of(index) for index in INDICES]
    counts = {len(world.scene.objects) for world in worlds}
    assert counts == set(range(FEWEST, MOST + 1))
    for world in worlds:
        names = [name for shape in world.scene.objects for name in {shape.colour, shape.colour_end}]
        assert len(names) == len(set(names)), "a colour names one object"
    assert {shape.colour for world in worlds for shape in world.scene.objects} == set(PALETTE)
    assert any(world.speed != (0.0, 0.0) for world in worlds)
    assert any(not sign.text for world in worlds for sign in world.signs), "something hides a part"
    written = [text for world in worlds for text in world.written]
    assert any(text.isdigit() for text in written)
    assert any(text.isalpha() for text in written)


def test_near_colours_are_near_and_apart() -> None:
    """Each has a neighbour among ShapesQA's own, and jitter leaves every colour nearest to its own name."""
    for name, rgb in NEAR.items():
        nearest = min(math.dist(rgb, other) for other_name, other in PALETTE.items() if other_name != name)
        assert 30 < nearest < 125, name


def test_the_same_seed_is_the_same_film() -> None:
    one, other = sample_film(random.Random(5)), sample_film(random.Random(5))
    assert one == other
    assert (next(one.frames()) == next(other.frames())).all()
    assert sample_film(random.Random(6)) != one


def test_pixels_have_the_colours_that_are_told() -> None:
    """At the centre of whatever nothing else is in front of, in the first and last frames."""
    checked = 0
    for film in films():
        every = list(film.frames())
        for place in (0, len(every) - 1):
            time = (film.counts[place] + 0.5) / film.fps
            checked += seen_colours(film, every[place], time)
    assert checked > 15


def seen_colours(film: Film, picture: np.ndarray, time: float) -> int:
    """How many centres were looked at; each has to be nearest to its own name in the palette."""
    world = film.world
    assert isinstance(world, HardWorld)
    share, (dx, dy) = time / world.duration_sec, world.camera([time])[0].tolist()
    there = [shape for shape in world.scene.objects if shape.appears_at <= share <= shape.vanishes_at]
    placed = [
        (shape, shape.x0 + (shape.x1 - shape.x0) * share, shape.y0 + (shape.y1 - shape.y0) * share)
        for shape in there
    ]
    looked = 0
    for number, (shape, x, y) in enumerate(placed):
        hidden = any(
            math.hypot(x - ox, y - oy) < 1.2 * max(other.radius, other.radius_end)
            for other, ox, oy in placed[number + 1 :]
        )
        behind = any(covers(sign, x, y) for sign in world.signs)
        if shape.kind == "ring" or hidden or behind:
            continue
        row = int((y + dy) / world.height * film.height)
        column = int((x + dx) / world.width * film.width)
        name = shape.colour_end if share >= shape.turns_at else shape.colour
        rgb = picture[row, column]
        assert min(PALETTE, key=lambda colour: math.dist(PALETTE[colour], rgb)) == name, (shape, rgb)
        looked += 1
    return looked


def covers(sign: Sign, x: float, y: float) -> bool:
    return abs(x - sign.x) < sign.half_width + 0.02 and abs(y - sign.y) < sign.height / 2 + 0.02


def test_what_is_written_can_be_read_off_the_pixels() -> None:
    """Each point of each letter, in the middle of where it is drawn."""
    sign = Sign("K7Q", 0.5, 0.5, 0.36, (10, 10, 10), (250, 250, 250))
    grid = Grid.of(torch.tensor([[1.0, 1.0]]), 200, 200)
    where = torch.tensor([[[sign.x, sign.y, sign.height, 1.0]]])
    colours = torch.tensor([[sign.plate, sign.ink]]) / 255
    points = torch.tensor([sign.mask.shape])
    drawn = plate(torch.full((1, 1, 3, 200, 200), 0.5), sign.mask[None], points, where, colours, grid)[
        0, 0, 0
    ]
    point = sign.height / 9
    rows, columns = sign.mask.shape
    lines = []
    for row in range(rows):
        y = int((sign.y + (row - rows / 2 + 0.5) * point) * 200)
        xs = [int((sign.x + (column - columns / 2 + 0.5) * point) * 200) for column in range(columns)]
        lines.append("".join("#" if drawn[y, x] > 0.5 else "." for x in xs))
    assert lines == [
        "#...#.#####..###.",
        "#..#......#.#...#",
        "#.#......#..#...#",
        "##......#...#...#",
        "#.#....#....#.#.#",
        "#..#...#....#..#.",
        "#...#..#.....##.#",
    ]
    assert (
        len({tuple(mask_of(letter).flatten().tolist()) for letter in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
        == 36
    )


def test_answers_follow_from_the_world() -> None:
    """Those that can be counted or read are counted and read again here."""
    kinds = set()
    for index in range(300):
        world = world_of(index % 60)
        question = sample_hard_question(world, random.Random(f"again {index}"))
        text, objects = question.text.lower(), world.scene.objects
        kinds.add(question.type)
        possible = candidates(question, ANSWERS)
        assert question.answer in possible or not possible, question
        match question.type:
            case "read":
                assert question.answer in world.written
                assert question.answer.isdigit() == ("number" in text)
            case "count":
                assert NUMBERS.index(question.answer) == len(objects)
            case "kind":
                named = [
                    shape.kind for shape in objects if f"{shape.kind}s" in text or f"{shape.kind}es" in text
                ]
                assert NUMBERS.index(question.answer) == len(named)
            case "exists":
                there = {f"{c} {s.kind}" for s in objects for c in (s.colour, s.colour_end)}
                assert (question.answer == "yes") == any(
                    f"a {name}" in text or f"any {name}" in text for name in there
                )
    assert kinds >= {
        "read",
        "count",
        "kind",
        "exists",
        "choice",
        "place",
        "event",
        "moves",
        "shape",
        "colour",
    }


def test_the_file_shows_what_was_drawn(tmp_path: Path) -> None:
    film = films()[0]
    path = tmp_path / f"clip{film.suffix}"
    film.write(path)
    info, sample = sample_frames(path, Sampling(frames=1))
    drawn = list(film.frames())
    assert info.frames_total == len(drawn)
    (place,) = sample.indices
    assert np.abs(sample.images[0].astype(int) - drawn[place]).mean() < 8
