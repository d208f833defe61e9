"""ShapesQA: held-out clips of the built-in model's world, drawn from seeds and encoded once into a folder."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets import SHAPES, SHAPES_WORLDS
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.folders import user_folder
from sharpv_cli.shapes import films, hard, hard_questions, long
from sharpv_cli.shapes.clips import Clip, sample_clip
from sharpv_cli.shapes.filmed import Filmed
from sharpv_cli.shapes.hard import HardWorld
from sharpv_cli.shapes.hard_questions import sample_hard_question
from sharpv_cli.shapes.long_questions import sample_long_question
from sharpv_cli.shapes.long_world import LongWorld
from sharpv_cli.shapes.offtopic import UNKNOWN
from sharpv_cli.shapes.other import OtherClip, sample_other
from sharpv_cli.shapes.questions import ANSWERS, Question, candidates, sample_question
from sharpv_cli.shapes.stress import STRESS, stressed
from sharpv_cli.shapes.wordings import held_out_offtopic, sample_reworded
from sharpv_cli.shapes.world import Scene
from sharpv_cli.text import shown

QUESTIONS_PER_CLIP = 2
_PER_LONG_CLIP = 4  # they take longer to make, and more can be asked about them
DEFAULT_QUESTIONS = 500
_DRAWING = 1  # rises when the same clip is drawn or encoded in another way


Film = Callable[[Path], None]
"""Encodes a clip, as it is or under stress."""


@dataclass(frozen=True, slots=True)
class ShapesQA(Dataset):
    """`films` draw each video that is not in the folder yet."""

    films: Mapping[Path, Film] = field(default_factory=dict)

    def seen(self, item: Item, subtitles: str) -> str:
        return item.words_stamp(subtitles)

    def prepare(self, item: Item) -> Path:
        if not item.video.exists():
            self.films[item.video](item.video)
        return item.video


def load(variant: str | None, limit: int | None, folder: Path) -> ShapesQA:
    """The first `limit` held-out questions, two a clip; `folder` holds the clips. Raises UsageError.

    Variants: `hard` and `long` are worlds of their own, `other` is ShapesQA's drawn by another renderer; `reworded`
    asks in words that no phrasing of the benchmark has, `offtopic` the 200 questions that no clip answers; the others
    film the same clips so that SharpV may fail on them (`sharpv_cli.shapes.stress`).
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write {shown(folder)}: {error.strerror}", hint="choose another folder with --clips"
        ) from error
    items: list[Item] = []
    made: dict[Path, Film] = {}
    count = DEFAULT_QUESTIONS if limit is None else limit
    drawn = _worlds(variant, count) if variant in SHAPES_WORLDS else _drawn(variant, count)
    for clip, film, stem, asked in drawn:
        path = folder / f"{stem}-{_digest(clip)}{clip.suffix}"
        made[path] = film
        items += [_item(variant, stem, path, place, question) for place, question in enumerate(asked)]
    return ShapesQA(_name(variant), tuple(items[:count]), films=made)


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where clips are kept between runs: the user's cache folder."""
    return (user_folder("cache", environ) or Path(tempfile.gettempdir()) / "sharpv") / "shapesqa"


@cache
def held_out(index: int) -> tuple[Clip, list[Question]]:
    """Clip `index` of the test split and its questions. Training draws its seeds under another name.

    Once a process: tables of one dataset ask about the same clips.
    """
    rng = random.Random(f"test:{index}")
    clip = sample_clip(rng)
    return clip, [sample_question(clip.scene, rng) for _ in range(QUESTIONS_PER_CLIP)]


@cache
def held_out_hard(index: int) -> tuple[HardWorld, films.Film, list[Question]]:
    """As `held_out`, of ShapesQA-Hard."""
    rng = random.Random(f"test:hard:{index}")
    film = hard.sample_film(rng)
    world = film.world
    assert isinstance(world, HardWorld)
    return world, film, [sample_hard_question(world, rng) for _ in range(QUESTIONS_PER_CLIP)]


@cache
def held_out_long(index: int) -> tuple[LongWorld, films.Film, list[Question]]:
    """As `held_out`, of ShapesQA-Long."""
    rng = random.Random(f"test:long:{index}")
    film = long.sample_film(rng)
    world = film.world
    assert isinstance(world, LongWorld)
    return world, film, [sample_long_question(world, rng) for _ in range(_PER_LONG_CLIP)]


@cache
def held_out_other(index: int) -> tuple[Scene, OtherClip, list[Question]]:
    """As `held_out`, in the other renderer's drawing."""
    rng = random.Random(f"test:other:{index}")
    clip = sample_other(rng)
    asked = [sample_question(clip.scene, rng, offtopic=0.0) for _ in range(QUESTIONS_PER_CLIP)]
    return clip.scene, clip, asked


_WORLDS: Mapping[str, tuple[int, Callable[[int], tuple[object, Filmed, list[Question]]]]] = {
    "hard": (QUESTIONS_PER_CLIP, held_out_hard),
    "long": (_PER_LONG_CLIP, held_out_long),
    "other": (QUESTIONS_PER_CLIP, held_out_other),
}


def _worlds(variant: str, count: int) -> Iterator[tuple[Filmed, Film, str, list[Question]]]:
    per_clip, held_out_of = _WORLDS[variant]
    for index in range(-(-count // per_clip)):
        _, clip, asked = held_out_of(index)
        yield clip, clip.write, f"{variant}-{index:05d}", asked


def _drawn(variant: str | None, count: int) -> Iterator[tuple[Clip, Film, str, list[Question]]]:
    """Clips, their films, the stems of their files' names and their questions: as many as hold `count` questions."""
    if variant == "offtopic":
        count = min(count, len(held_out_offtopic()))
    for index in range(-(-count // QUESTIONS_PER_CLIP)):
        clip, asked = held_out(index)
        if variant in STRESS:
            under = stressed(clip, variant)
            asked = _asked_of(under.clip, variant, index)
            yield under.clip, under.write, f"{variant}-{index:05d}", asked
            continue
        if variant == "reworded":
            rng = random.Random(f"test:reworded:{index}")
            asked = [sample_reworded(clip.scene, rng) for _ in range(QUESTIONS_PER_CLIP)]
        elif variant == "offtopic":
            texts = held_out_offtopic()[QUESTIONS_PER_CLIP * index : QUESTIONS_PER_CLIP * (index + 1)]
            asked = [Question("offtopic", text, UNKNOWN) for text in texts]
        yield clip, clip.write, f"{index:05d}", asked


def _asked_of(clip: Clip, variant: str, index: int) -> list[Question]:
    """Questions about what a stressed clip shows, which may be another scene."""
    rng = random.Random(f"test:{variant}:{index}")
    return [sample_question(clip.scene, rng, offtopic=0.0) for _ in range(QUESTIONS_PER_CLIP)]


def _name(variant: str | None) -> str:
    return SHAPES if variant is None else f"{SHAPES}:{variant}"


def _digest(clip: Filmed) -> str:
    """So that a folder of clips from before a change of the generator does not stand in for today's.

    Kept answers name their clips by it: what is shown, how it is filmed, and the rest, wherever a class has its fields.
    """
    how = [one.name for one in fields(Filmed)]
    shown, *rest = (one.name for one in fields(clip) if one.name not in how)
    told = ", ".join(f"{name}={getattr(clip, name)!r}" for name in (shown, *how, *rest))
    return hashlib.sha256(f"{_DRAWING} {type(clip).__name__}({told})".encode()).hexdigest()[:8]


def _item(variant: str | None, stem: str, path: Path, place: int, question: Question) -> Item:
    name = f"{variant}-{stem}" if variant in ("reworded", "offtopic") else stem
    answers = hard_questions.ANSWERS if variant == "hard" else ANSWERS
    return Item(
        id=f"{name}-{place}",
        video=path,
        prompt=question.text,
        answer=question.answer,
        scoring="shapes" if question.tolerance_sec is None else "time",
        group=question.type,
        candidates=() if variant == "long" and question.type != "choice" else candidates(question, answers),
        tolerance_sec=question.tolerance_sec,
    )
