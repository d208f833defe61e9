"""One video after the other: looked at and asked, and what is wrong with one told while the others go on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.commands.announcing import announce_store
from sharpv_cli.commands.ask.answers import STAGES, Answers
from sharpv_cli.commands.ask.conversation import Conversation
from sharpv_cli.commands.ask.manner import Manner
from sharpv_cli.commands.preparing import (
    check_model,
    first_after_loading,
    name_demo_model,
    opened,
    scanned_or_seen,
)
from sharpv_cli.errors import ModelError, ResourceError, SharpvError, ShortageError
from sharpv_cli.text import address_without_secrets
from sharpv_cli.video.local import named

if TYPE_CHECKING:
    from sharpv_cli.api import Sharpv
    from sharpv_cli.seen.recall import Kept
    from sharpv_cli.settings import Resolved
    from sharpv_cli.types import Event
    from sharpv_cli.video.local import LocalVideo
    from sharpv_cli.video.probe import Scan

    Found = tuple[Scan | None, Kept | None]

_MANY = 100


@dataclass
class Asking:
    """Asks about videos by the settings in `resolved`; `with_frames` gives them with so many frames."""

    resolved: Resolved
    manner: Manner
    with_frames: Callable[[int], Resolved]
    _checked: bool = field(default=False, init=False)

    def answer(self, videos: list[str], questions: list[str]) -> int:
        """Answer all about each, with one model; the exit code. Raises what ends the run: of one video, anything."""
        from sharpv_cli.api import Sharpv

        if len(videos) > _MANY:
            terminal.say("note", f"{len(videos)} videos: `sharpv batch` would go on where it was interrupted")
        with terminal.Progress() as progress, Sharpv(self.resolved.settings) as model:
            model.with_pictures = self.manner.exports is not None
            answers = Answers(self.resolved, self.manner, progress)
            for video in videos:
                self._answer(video, questions, answers, model, progress)
                if answers.exit_code == terminal.INTERRUPTED:
                    break
            answers.conclude()
        announce_store(self.resolved.settings)
        return answers.exit_code

    def _answer(
        self, video: str, questions: list[str], answers: Answers, model: Sharpv, progress: terminal.Progress
    ) -> None:
        answers.begin(address_without_secrets(named(video)))
        with ExitStack() as files:
            with self._alone(questions, answers):
                local = files.enter_context(opened(video, self.resolved))
                found = scanned_or_seen(local, self.resolved)
            if answers.has_failed:
                return
            self._check_once()
            with (
                self._alone(questions, answers, model),
                closing(self._events(local, found, questions, answers, model)) as events,
            ):
                answers.follow(first_after_loading(events, progress, STAGES), events)

    @contextmanager
    def _alone(self, questions: list[str], answers: Answers, model: Sharpv | None = None) -> Iterator[None]:
        """What is wrong with one of several videos costs its questions alone; a `model` that cannot be loaded, all."""
        try:
            yield
        except SharpvError as error:
            of_model = isinstance(error, ModelError | ResourceError) and not isinstance(error, ShortageError)
            if not self.manner.labels or (of_model and model is not None and not model.is_loaded):
                raise
            answers.fail_rest(error, len(questions))

    def _check_once(self) -> None:
        """What can fail without torch, before it is imported, but for no video that cannot be read."""
        if not self._checked:
            check_model(self.resolved)
            name_demo_model(self.resolved)
        self._checked = True

    def _events(
        self, video: LocalVideo, found: Found, questions: list[str], answers: Answers, model: Sharpv
    ) -> Generator[Event, None, None]:
        if self.manner.loop:
            return Conversation(model, answers, self.with_frames).events(video, *found, self.manner.form)
        if self.manner.shares:
            return model.events_of_all(video, questions, *found, self.manner.form)
        return model.events(video, questions[0], *found, self.manner.form)
