"""ShapesQA: held-out clips of the built-in model's world, drawn from seeds and encoded once into a folder."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets import SHAPES, SHAPES_VARIANTS
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.shapes.clips import Clip, sample_clip, write
from sharpv_cli.shapes.questions import Question, sample_question
from sharpv_cli.text import shown

QUESTIONS_PER_CLIP = 2
DEFAULT_QUESTIONS = 500


@dataclass(frozen=True, slots=True)
class ShapesQA(Dataset):
    """`clips` draws each video that is not in the folder yet."""

    clips: Mapping[Path, Clip] = field(default_factory=dict)

    def prepare(self, item: Item) -> Path:
        if not item.video.exists():
            write(self.clips[item.video], item.video)
        return item.video


def load(variant: str | None, questions: int, folder: Path) -> ShapesQA:
    """The first `questions` held-out questions, two a clip; `folder` holds the clips. Raises UsageError."""
    assert variant is None or variant in SHAPES_VARIANTS, variant
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write {shown(folder)}: {error.strerror}", hint="choose another folder with --clips"
        ) from error
    items: list[Item] = []
    clips: dict[Path, Clip] = {}
    for index, (clip, asked) in enumerate(_drawn(variant, questions)):
        path = folder / f"{index:05d}{clip.suffix}"
        clips[path] = clip
        items += [_item(index, place, path, question) for place, question in enumerate(asked)]
    name = SHAPES if variant is None else f"{SHAPES}:{variant}"
    return ShapesQA(name, tuple(items[:questions]), clips=clips)


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where clips are kept between runs: the user's cache folder."""
    cache = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    return Path(cache) / "sharpv" / "shapesqa"


def held_out(index: int) -> tuple[Clip, list[Question]]:
    """Clip `index` of the test split and its questions. Training draws its seeds under another name."""
    rng = random.Random(f"test:{index}")
    clip = sample_clip(rng)
    return clip, [sample_question(clip.scene, rng) for _ in range(QUESTIONS_PER_CLIP)]


def _drawn(variant: str | None, questions: int) -> Iterator[tuple[Clip, list[Question]]]:
    for index in range(-(-questions // QUESTIONS_PER_CLIP)):
        yield held_out(index)


def _item(index: int, place: int, path: Path, question: Question) -> Item:
    return Item(
        id=f"{path.stem}-{place}",
        video=path,
        prompt=question.text,
        answer=question.answer,
        scoring="shapes",
        group=question.type,
    )
