"""What every dataset gives: questions about videos with the answers that count as right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal, Self

from sharpv_cli.tables.entries import Problem
from sharpv_cli.tables.shard import Shard
from sharpv_cli.video.names import existing
from sharpv_cli.video.stamp import stamp
from sharpv_cli.video.subtitle_files import stamps

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Of options, in their order."""
Scoring = Literal["letter", "text", "shapes", "time"]
"""How an answer is compared with the expected one (`sharpv_cli.evaluation.scoring`)."""
Score = Literal["exact", "likelihood"]
"""What counts as the answer: what is generated, or the likeliest of an item's choices."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question about one video.

    `id` is unique in its dataset and the same whenever it is loaded. `video` is where the file should be: it may be
    missing, which is found when the question is asked. `prompt` is the whole text for the model, as the benchmark's
    authors and lmms-eval word it; `answer` is the letter of the right option, or the right text; `options` are the
    texts of the options in the order of their letters, none for an open question. `group` is the task or type that
    tables break down by. `start_sec` and `end_sec` bound the part of the video that is asked about. `candidates` are
    all answers that there can be, where the dataset knows them and they are no options. `subtitles` is where the
    benchmark keeps those of the video, for `--subtitles auto`. `tolerance_sec` is how far off a time may be (scoring
    "time").
    """

    id: str
    video: Path
    prompt: str
    answer: str
    scoring: Scoring
    group: str
    options: tuple[str, ...] = ()
    start_sec: float | None = None
    end_sec: float | None = None
    candidates: tuple[str, ...] = ()
    subtitles: Path | None = None
    tolerance_sec: float | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """What an answer is one of: the letters of the options, or the candidates. None of an open question."""
        letters = tuple(LETTERS[: len(self.options)]) if self.scoring == "letter" else ()
        return letters if len(letters) > 1 else self.candidates

    def subtitles_for(self, wanted: str) -> str:
        """What `--subtitles` means for its video: with `auto` the benchmark's own, where there are any."""
        return str(self.subtitles.absolute()) if wanted == "auto" and self.subtitles is not None else wanted

    def words_stamp(self, wanted: str) -> str:
        """What tells the files of subtitles apart that may be used; folders may move. Empty where there are none."""
        found = [told[1:] for told in stamps(existing(str(self.video)), self.subtitles_for(wanted))]
        return f"-{sha256(repr(found).encode()).hexdigest()[:16]}" if found else ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """`items` in a stable order, those about one video together; `problems` are told, and the rest is evaluated.

    `name` is the benchmark's. `prepare` may be overridden by datasets that make their videos.
    """

    name: str
    items: Sequence[Item]
    problems: tuple[Problem, ...] = ()

    def prepare(self, item: Item) -> Path:
        """The item's video, ready to read."""
        return item.video

    def seen(self, item: Item, subtitles: str) -> str:
        """What tells its video, with the `subtitles` that are wanted, from another one in its place.

        Empty where there is none, or it was made by us and has no subtitles.
        """
        size, ends = stamp(existing(str(item.video)))
        return f"{size}-{ends}{item.words_stamp(subtitles)}" if ends else ""

    def limited(self, limit: int | None) -> Self:
        """`limit` of the items, evenly spread over all, so that no task or video is left out for its place."""
        if limit is None or limit >= len(self.items):
            return self
        count = len(self.items)
        return replace(self, items=tuple(self.items[place * count // limit] for place in range(limit)))

    def with_choices(self) -> Self:
        """The items whose answer is one of some."""
        return replace(self, items=tuple(item for item in self.items if item.choices))

    def part(self, shard: Shard) -> Self:
        """The items of one part, those about one video together, and of what could not be loaded its share."""
        return replace(
            self,
            items=tuple(shard.of(self.items, key=lambda item: item.video)),
            problems=tuple(shard.of(self.problems, key=lambda problem: problem.place)),
        )
