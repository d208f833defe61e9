"""Where `sharpv eval` takes its questions from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets import SHAPES, SHAPES_VARIANTS
from sharpv_cli.evaluation.datasets.loading import load

if TYPE_CHECKING:
    from sharpv_cli.evaluation.datasets.dataset import Dataset
    from sharpv_cli.tables.shard import Shard


@dataclass(frozen=True, slots=True)
class Source:
    """Where the questions come from, as the user gave it."""

    given: str
    layout: str | None
    clips: Path | None
    limit: int | None
    shard: Shard

    @property
    def _shapes(self) -> tuple[bool, str | None]:
        """Whether it is ShapesQA, and which variant of it; a file or folder of that name is meant by `./shapes`."""
        name, colon, variant = self.given.partition(":")
        return name == SHAPES, variant if colon else None

    def read_early(self) -> Dataset | None:
        """The questions, where they can be read without torch; None of ShapesQA. Raises UsageError."""
        is_shapes, variant = self._shapes
        if is_shapes and variant is not None and variant not in SHAPES_VARIANTS:
            raise UsageError(
                f"no such variant: {self.given}", hint=f"choose from {', '.join(SHAPES_VARIANTS)}"
            )
        if is_shapes and self.layout is not None:
            raise UsageError("--layout is for files, not for shapes", hint="leave it out")
        if not is_shapes and self.clips is not None:
            raise UsageError("--clips is for shapes", hint="leave it out")
        return None if is_shapes else self.read()

    @property
    def place(self) -> str:
        """What tells one dataset from another of its kind: ShapesQA is the same everywhere, and folders may move."""
        return "" if self._shapes[0] else Path(os.path.realpath(self.given)).name

    def read(self) -> Dataset:
        """The questions of this part of the first or evenly spread `limit`. Raises UsageError."""
        dataset = self._whole()
        if self.limit is not None and len(dataset.items) < self.limit:
            terminal.say("note", f"--limit {self.limit}: {dataset.name} has {len(dataset.items)} questions")
        part = dataset.part(self.shard)
        if dataset.items and not part.items:
            terminal.say("note", f"--shard {self.shard}: no video is left for this part")
        return part

    def _whole(self) -> Dataset:
        is_shapes, variant = self._shapes
        if is_shapes:
            from sharpv_cli.evaluation.datasets import shapes

            folder = self.clips or shapes.default_folder(os.environ)
            return shapes.load(variant, self.limit, folder)
        return load(Path(self.given), self.layout).limited(self.limit)
