"""sharpv from Python: a model that is loaded once and asked about videos. docs/python.md shows how it is used.

The command answers through this as well.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sized
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from sharpv_cli.errors import ModelError, ResourceError, UsageError
from sharpv_cli.forms import Schema, form_of
from sharpv_cli.pipeline.frames import returned, source
from sharpv_cli.pipeline.looks import Look, open_look
from sharpv_cli.pipeline.opening import VideoPath
from sharpv_cli.seen.recall import Kept, Recall
from sharpv_cli.session import Session, done, has_loaded_there
from sharpv_cli.settings import Flags, Settings, in_place, resolve
from sharpv_cli.types import (
    ANY_TEXT,
    Answer,
    Event,
    Finished,
    Form,
    Noted,
    QuestionFailed,
    QuestionStarted,
    TextPiece,
    VideoInfo,
    Waiting,
)

if TYPE_CHECKING:
    from sharpv_cli.pipeline.question import Spent
    from sharpv_cli.video.probe import Scan


class Wanted(TypedDict, total=False):
    """What an answer has to look like (`Sharpv.ask`)."""

    choices: Iterable[str]
    json_schema: Schema | str | None
    regex: str | None
    logprobs: bool


class Asked(Flags, Wanted, total=False):
    """All that may be said with a question."""


class Sharpv:
    """A model that answers questions about videos. It is loaded with the first video, while that is decoded.

    `profile` is a name or a path, as of `--profile`, or settings that were resolved already. What is given neither here
    nor with a question comes from SHARPV_* variables, the profile, the config file and the defaults, as for the
    command. A context manager: in the end the model's memory is given back. For one thread at a time.

    Raises kinds of SharpvError: UsageError for settings, and for what a model cannot be asked; VideoError; ModelError;
    ResourceError for memory and devices.
    """

    def __init__(
        self, profile: str | os.PathLike[str] | Settings | None = None, **flags: Unpack[Flags]
    ) -> None:
        self._profile, self._flags = profile, flags
        self._session: Session | None = None
        self.with_pictures = True  # answers have the frames, also where they come from another process
        self.settings = self._resolved({})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the model's memory back; another question loads it again."""
        if (session := self._session) is not None:
            self._session = None
            session.release()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is here."""
        return self._session is not None or has_loaded_there()

    def ask(self, video: VideoPath, question: str, **asked: Unpack[Asked]) -> Answer:
        """The answer to one question. `video` is a file, `-` for stdin, or with `allow_url` an address.

        It is one of the `choices`, JSON of a schema (`answer.value`), or text that a regular expression matches.
        """
        with self.stream(video, question, **asked) as stream:
            return stream.answer

    @contextmanager
    def stream(
        self,
        video: VideoPath,
        question: str,
        *,
        choices: Iterable[str] = (),
        json_schema: Schema | str | None = None,
        regex: str | None = None,
        logprobs: bool = False,
        **flags: Unpack[Flags],
    ) -> Iterator[Stream]:
        """As `ask`, with the answer's text piece by piece, as it comes."""
        form = form_of(choices=choices, json_schema=json_schema, regex=regex, logprobs=logprobs)
        with self.open(video, **flags) as opened:
            yield Stream(opened.events(question, last=True, form=form))

    @contextmanager
    def open(self, video: VideoPath, **flags: Unpack[Flags]) -> Iterator[Video]:
        """A video for several questions, which share one look at it."""
        settings = self._settings_for(flags)
        with (
            source(os.fspath(video), settings) as local,
            returned(self._opened(local, settings, None)) as opened,
        ):
            yield opened
            for _ in opened.kept():
                pass  # there is nobody to tell

    def events(
        self,
        video: VideoPath,
        question: str,
        scan: Scan | None = None,
        recall: Kept | None = None,
        form: Form = ANY_TEXT,
    ) -> Generator[Event, None, None]:
        """What happens while one question is answered: stages, what was kept, pieces of text, then Finished.

        `video` is a file; a `scan` or `recall` of it that was made before saves another one; `form` is what the answer
        has to look like. KeyboardInterrupt while tokens come ends the answer where it is, with finish_reason
        "interrupted"; a caller that is interrupted itself, between two events, gets the same Finished from
        `events.throw(KeyboardInterrupt())`. Closing the generator at any time cleans up.
        """
        work = partial(self._events, video, question, scan, recall, form)
        return done(work, pictures=self.with_pictures)

    def _events(
        self, video: VideoPath, question: str, scan: Scan | None, recall: Kept | None, form: Form
    ) -> Generator[Event, None, None]:
        opened = yield from self._opened(video, self.settings, scan, recall)
        with opened:
            yield from opened.events(question, last=True, form=form)
            yield from opened.kept()

    def events_of_all(
        self,
        video: VideoPath,
        questions: Iterable[str],
        scan: Scan | None = None,
        recall: Kept | None = None,
        form: Form = ANY_TEXT,
    ) -> Generator[Event, None, None]:
        """As `events`, of several questions about a video, which is decoded, encoded and read once.

        For each: QuestionStarted, its events, and Finished or, where this question cannot be answered, QuestionFailed.
        Each gets the answer that it would get alone. What all share counts in the timings of the first. `questions` is
        asked for the next one when the answer before it is complete, so they may come as the user thinks of them;
        where its length is known, the last one uses up the memory that is shared. A question may follow an interrupted
        one.
        """
        work = partial(self._events_of_all, video, questions, scan, recall, form)
        return done(work, pictures=self.with_pictures)

    def _events_of_all(
        self,
        video: VideoPath,
        questions: Iterable[str],
        scan: Scan | None,
        recall: Kept | None,
        form: Form,
    ) -> Generator[Event, None, None]:
        count = len(questions) if isinstance(questions, Sized) else None
        opened = yield from self._opened(video, self.settings, scan, recall)
        with opened:
            for number, question in enumerate(questions, start=1):
                yield QuestionStarted(number, question)
                try:
                    yield from opened.events(question, last=number == count, form=form)
                except (UsageError, ModelError, ResourceError) as error:
                    yield QuestionFailed(number, question, error)
            yield from opened.kept()

    def _opened(
        self, video: VideoPath, settings: Settings, scan: Scan | None, recall: Kept | None = None
    ) -> Generator[Event, None, Video]:
        recall = recall or Recall.at(video, settings)
        look = yield from open_look(video, settings, scan, self._session, recall)
        self._session = look.prompts.clip.session
        return Video(look)

    def _settings_for(self, flags: Flags) -> Settings:
        """The settings of a question. Raises UsageError where they are wrong, or would need another model."""
        settings = self._resolved(flags)
        if _of_the_model(settings) != _of_the_model(self.settings):
            raise UsageError(
                "a model is loaded once, and a question cannot change it",
                hint="give model, revision, dtype, attention, device and engine to Sharpv(...)",
            )
        return settings

    def _resolved(self, flags: Flags) -> Settings:
        if isinstance(self._profile, Settings):
            assert not self._flags and not flags, "settings that are resolved are complete"
            return self._profile
        profile = None if self._profile is None else os.fspath(self._profile)
        return resolve(in_place(_named(self._flags), _named(flags)), os.environ, profile=profile).settings


class Video:
    """A video that was opened: questions about it share one look. A context manager."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._spent: Spent | None = look.spent
        self._open = ExitStack()

    def __enter__(self) -> Self:
        from sharpv_cli.pipeline.fitting import counted

        with ExitStack() as opened:
            opened.enter_context(self._look)
            opened.enter_context(counted(self._look.prompts.clip))
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def info(self) -> VideoInfo:
        """What the file holds."""
        return self._look.prompts.clip.info

    def ask(self, question: str, **wanted: Unpack[Wanted]) -> Answer:
        """The answer, which is the one that the question gets alone (`Sharpv.ask`)."""
        return self.stream(question, **wanted).answer

    def stream(self, question: str, *, last: bool = False, **wanted: Unpack[Wanted]) -> Stream:
        """The answer's text piece by piece; the `last` question uses up the memory that is shared."""
        return Stream(self.events(question, last=last, form=form_of(**wanted)))

    def events(
        self, question: str, *, last: bool = False, form: Form = ANY_TEXT
    ) -> Generator[Event, None, None]:
        """As `Sharpv.events`, from "preprocess" on."""
        from sharpv_cli.pipeline.question import Spent, answer

        spent, self._spent = self._spent or Spent(), None
        yield from answer(self._look.prompts, question, last=last, spent=spent, form=form)

    def kept(self) -> Iterator[Noted | Waiting]:
        """As `Look.kept`."""
        return self._look.kept()


class Stream(Iterator[str]):
    """Pieces of an answer's text; `answer` has all of it, and everything else that is known of it."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._answer: Answer | None = None

    def __next__(self) -> str:
        for event in self._events:
            if isinstance(event, TextPiece):
                return event.text
            if isinstance(event, Finished):
                self._answer = event.answer
        raise StopIteration

    @property
    def answer(self) -> Answer:
        """Complete: pieces that were not taken are passed over. Raises KeyboardInterrupt for one that was cut short."""
        for _ in self:
            pass
        if self._answer is None or self._answer.finish_reason == "interrupted":
            raise KeyboardInterrupt
        return self._answer


def _named(flags: Flags) -> dict[str, object]:
    """By the names of the command's flags; without what is left unset."""
    return {name.replace("_", "-"): value for name, value in flags.items() if value is not None}


def _of_the_model(settings: Settings) -> tuple[object, ...]:
    return settings.model, settings.device, settings.engine
