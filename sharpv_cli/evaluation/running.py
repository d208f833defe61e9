"""The evaluation itself: several clips at once, each question by question, method by method; it prints nothing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from sharpv_cli.cores import cores
from sharpv_cli.errors import SharpvError, unforeseen
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.evaluation.fewer import with_frames
from sharpv_cli.evaluation.methods import SHARPV, EvalMethod
from sharpv_cli.evaluation.results import Missed, Outcome, ResultsFile, item_key
from sharpv_cli.evaluation.scoring import is_right
from sharpv_cli.pipeline.conveyor import Conveyor, Patient
from sharpv_cli.pipeline.frames import decode_isolated, may_come_in_chunks, with_subtitles
from sharpv_cli.seen.recall import Kept, Recall
from sharpv_cli.settings import visual_part
from sharpv_cli.shelf import SHELF
from sharpv_cli.types import Waiting
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.local import LocalVideo
from sharpv_cli.video.names import existing
from sharpv_cli.video.read_ahead import ReadAhead

if TYPE_CHECKING:
    from sharpv_cli.evaluation.rivals import Contest, Reply
    from sharpv_cli.pipeline.comparing import ComparedClip
    from sharpv_cli.seen.entry import Entry
    from sharpv_cli.session import Session
    from sharpv_cli.settings import Settings
    from sharpv_cli.types import Answer
    from sharpv_cli.video.frames import Frames
    from sharpv_cli.video.local import Limits


class _Work(NamedTuple):
    """The questions about one clip, and which of them a method has not answered; `frames` of it, where so few count."""

    items: list[Item]
    todo: set[tuple[str, str]]
    frames: int | None = None


_Told = Outcome | Missed


@dataclass(frozen=True, slots=True)
class _Read:
    """A clip's frames, and what was kept of them, or is to be."""

    frames: Frames
    recall: Kept | None
    entry: Entry | None = None


_Again = Callable[[_Work], Generator[Waiting, None, _Read]]
"""Reads a clip once more, while other work goes on."""
_AHEAD = 2  # clips made and decoded while the model answers


@dataclass
class Run:
    """One evaluation. `missed` are the questions without an answer, by method, of this run.

    `settings` are those of the run, which SharpV's own budget follows; `limits` those of reading a video.
    """

    dataset: Dataset
    methods: Sequence[EvalMethod]
    settings: Settings
    contest: Contest
    session: Session
    limits: Limits
    missed: list[Missed] = field(default_factory=list)
    _in_a_row: int = field(default=0, init=False)

    def outcomes(self, file: ResultsFile) -> Generator[_Told]:
        """What is not done yet, written to `file` and yielded as it comes. Close it.

        Raises what nobody expected where it has happened too often for chance.
        """
        work = list(self._todo(file))  # before anything is added to the file
        with ReadAhead(self._decoded, share=cores()) as ahead:
            ahead.feed(work, ahead=1 + _AHEAD)

            steps = None if self.session.several is None else Patient(self.session.several)

            def again(work: _Work) -> Generator[Waiting, None, _Read]:
                coming = ahead.begin(work)
                return coming.result() if steps is None else (yield from steps.until(coming))

            def begin(wait: bool) -> Generator[_Told | Waiting] | None:
                read = ahead.first(wait=wait)
                return None if read is None else self._clip(*read, again, file)

            conveyor: Conveyor[_Told] = Conveyor(steps)
            with closing(conveyor.told(begin)) as told:
                for outcome in told:
                    self._guard(outcome)
                    file.add(outcome)
                    if isinstance(outcome, Missed):
                        self.missed.append(outcome)
                    yield outcome

    def _todo(self, file: ResultsFile) -> Iterator[_Work]:
        """Clips with a question that a method has not answered, and which these are."""
        for _, group in groupby(self.dataset.items, lambda item: (item.video, item.start_sec, item.end_sec)):
            items = list(group)
            wanted = {(item.id, method.label) for item in items for method in self.methods}
            if todo := {pair for pair in wanted if pair not in file.done}:
                yield _Work(items, todo)

    def _guard(self, outcome: _Told) -> None:
        unexpected = isinstance(outcome, Missed) and outcome.exit_code == _UNEXPECTED
        self._in_a_row = self._in_a_row + 1 if unexpected else 0
        if self._in_a_row >= _MOST_IN_A_ROW:
            assert isinstance(outcome, Missed)
            raise RuntimeError(f"{self._in_a_row} times in a row: {outcome.error}")

    def _clip(
        self, work: _Work, coming: Future[_Read], again: _Again, file: ResultsFile
    ) -> Generator[_Told | Waiting]:
        """What the methods answer about one clip, in its order: work on a conveyor."""
        from sharpv_cli.pipeline.fitting import counted
        from sharpv_cli.pipeline.recalling import keep_seen

        items, todo, _ = work
        try:
            read = coming.result()
            clip = self._compared(read, work, again)
            open_clip = counted(clip.clip)
        except (SharpvError, *_UNFORESEEN) as error:
            for item in items:
                yield from (_missed(item, m, error) for m in self.methods if (item.id, m.label) in todo)
            return
        with open_clip:
            for item in items:
                for method in self._order(item):
                    if (item.id, method.label) in todo:
                        yield (yield from self._ask(item, method, clip, file))
        if SHELF.places and clip.prompts.complete:
            SHELF.put(self._key(work), clip.prompts)
            SHELF.fit()
        yield from keep_seen(read.recall, clip.prompts.take_first())

    def _decoded(self, reader: IsolatedReader, work: _Work) -> _Read:
        """The video of the questions, made where it is missing, read in a child process; or what was kept of it."""
        item = work.items[0]
        video, settings = self._video(item), self._settings_for(item)
        if work.frames is not None:
            return _Read(decode_isolated(reader, video, with_frames(settings, work.frames)), None)
        recall = self._recall(video, settings, work)
        if recall is not None and recall.expected and (entry := recall.entry(self.session)) is not None:
            from sharpv_cli.pipeline.recalling import frames_seen

            return _Read(with_subtitles(video, settings, frames_seen(video, entry), reader), recall, entry)
        read = _Read(decode_isolated(reader, video, settings), recall)
        if recall is not None:
            recall.read_whole()
        return read

    def _video(self, item: Item) -> LocalVideo:
        path = self.dataset.prepare(item)
        return LocalVideo(existing(str(path)), str(path), self.limits)

    def _settings_for(self, item: Item) -> Settings:
        """With the part of the video and the subtitles that the question is about."""
        settings = self.settings
        if item.start_sec is not None or item.end_sec is not None:
            part = {"start": item.start_sec, "end": item.end_sec}
            settings = settings.model_copy(update={"sampling": settings.sampling.model_copy(update=part)})
        words = {"subtitles": item.subtitles_for(settings.prompt.subtitles)}
        return settings.model_copy(update={"prompt": settings.prompt.model_copy(update=words)})

    def _recall(self, video: LocalVideo, settings: Settings, work: _Work) -> Kept | None:
        """What is kept serves SharpV's own methods, of one way to prune; others want to see every visual token."""
        items, todo, _ = work
        methods = [m for m in self.methods if any((item.id, m.label) in todo for item in items)]
        same = all(not m.is_rival and m.settings.visual == self.settings.visual for m in methods)
        if not same or self.contest.match.holds_for_sharpv or may_come_in_chunks(self.settings):
            return None
        return Recall.at(video, settings)

    def _compared(self, read: _Read, work: _Work, again: _Again) -> ComparedClip:
        from sharpv_cli.pipeline.clip import Clip
        from sharpv_cli.pipeline.comparing import ComparedClip
        from sharpv_cli.pipeline.prompts import SharedPrompts

        def fewer(frames: int) -> Generator[Waiting, None, Frames]:
            return (yield from again(work._replace(frames=frames))).frames

        clip, key = Clip(self.session, read.frames, self.settings, entry=read.entry), self._key(work)
        prompts, held = SharedPrompts(clip), SHELF.get(key) if SHELF.places else None
        if held is not None and held.clip.loaded is self.session.loaded:
            prompts = held.asked_again(self.session, self.settings, clip.info.path, held=False)
        return ComparedClip(clip, prompts, again=fewer)

    def _key(self, work: _Work) -> object:
        """What an encoded clip is held by, for the next comparison of a process that makes several."""
        settings = self._settings_for(work.items[0])
        return str(work.items[0].video), json.dumps(visual_part(settings)), settings.prompt.model_dump_json()

    def _ask(
        self, item: Item, method: EvalMethod, clip: ComparedClip, file: ResultsFile
    ) -> Generator[Waiting, None, _Told]:
        sharpv = file.done.get((item.id, SHARPV))
        retention = None if sharpv is None else sharpv.kv_retention
        try:
            reply = yield from self.contest.answer(method, clip, item, retention)
        except (SharpvError, *_UNFORESEEN) as error:
            return _missed(item, method, error)
        return _outcome(item, method, reply, self.dataset.seen(item, self.settings.prompt.subtitles))

    def _order(self, item: Item) -> list[EvalMethod]:
        """Each comes first in turn, for the first one finds cold caches; SharpV does where others need its budget."""
        start = zlib.crc32(item.id.encode()) % len(self.methods)
        turned = [*self.methods[start:], *self.methods[:start]]
        if self.contest.match.kind == "kv":
            turned.sort(key=lambda method: method.label != SHARPV)
        return turned


# What a processor, a kernel or a lost child process may raise for one video; it must not end an evaluation of days.
_UNFORESEEN = (RuntimeError, ValueError, OSError, EOFError, MemoryError)
_UNEXPECTED = SharpvError.exit_code
_MOST_IN_A_ROW = 20


def _missed(item: Item, method: EvalMethod, error: Exception) -> Missed:
    told = error if isinstance(error, SharpvError) else unforeseen(error)
    return Missed(item.id, method.label, item_key(item), str(told), told.hint, told.exit_code)


def _outcome(item: Item, method: EvalMethod, reply: Reply, video: str) -> Outcome:
    answer, budget = reply.answer, reply.budget
    return Outcome(
        item=item.id,
        method=method.label,
        key=item_key(item),
        answer=answer.text,
        right=is_right(answer.text, item),
        visual_retention=round(answer.visual_retention * reply.share, 6),
        kv_retention=round(answer.memory.kv_retention * reply.share, 6),
        budget=None if budget is None else round(budget, 6),
        layers_discarded=sum(not layer.visual_kv_kept for layer in answer.layers),
        generated=answer.generated_tokens,
        engine=answer.engine,
        prune_sec=round(answer.timing.prune_sec, 6),
        prefill_sec=round(answer.timing.prefill_sec, 6),
        tpot_sec=None if answer.timing.tpot_sec is None else round(answer.timing.tpot_sec, 6),
        similarities=_similarities(answer),
        warnings=list(answer.warnings),
        video=video,
        frames=len(answer.retention),
        visual_tokens=answer.visual_kept,
        kv_bytes=answer.memory.kv_bytes,
    )


def _similarities(answer: Answer) -> list[float | None] | None:
    """None where nothing was measured; a layer whose cosine is not finite counts as not measured."""
    values = [layer.similarity for layer in answer.layers]
    known = [None if value is None or not isfinite(value) else round(value, 4) for value in values]
    return known if any(value is not None for value in known) else None
