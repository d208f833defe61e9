"""Questions that are typed about one video, and commands between them, which may have it looked at anew."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.commands.ask import loop
from sharpv_cli.errors import UsageError

if TYPE_CHECKING:
    from sharpv_cli.api import Sharpv
    from sharpv_cli.commands.ask.answers import Answers
    from sharpv_cli.seen.recall import Kept
    from sharpv_cli.settings import Resolved
    from sharpv_cli.types import Event, Form
    from sharpv_cli.video.local import LocalVideo
    from sharpv_cli.video.probe import Scan


@dataclass
class Conversation:
    """`answers` writes what `model` says about the video; both are told when other frames are to be looked at.

    `settings_with` gives the settings of the command line with so many frames; it raises UsageError.
    """

    model: Sharpv
    answers: Answers
    settings_with: Callable[[int], Resolved]
    _anew: Resolved | None = field(default=None, init=False)

    def events(
        self, video: LocalVideo, scan: Scan | None, recall: Kept | None, form: Form
    ) -> Generator[Event, None, None]:
        """As `Sharpv.events_of_all`, of whatever is typed until the user leaves."""
        terminal.say("note", "one question per line, each on its own; /help lists commands, Ctrl-D quits")
        commands = {
            "/frames": loop.Command("the frames that are looked at; /frames 16: take 16", self._frames),
            "/stats": loop.Command("chart and figures of the last answer", self._stats),
        }
        while True:
            yield from self.model.events_of_all(video, loop.typed_questions(commands), scan, recall, form)
            if self._anew is None:
                return
            recall = None  # of other frames there is another one
            self.answers.resolved, self._anew = self._anew, None
            self.model.settings = self.answers.resolved.settings

    def _frames(self, words: str) -> bool:
        if words:
            return self._take(words)
        if (seen := self.answers.seen) is not None:
            stamps = " ".join(f"{stamp:.2f}" for stamp in seen.timestamps_sec)
            terminal.show(f"{len(seen)} frames, at {stamps} s", soft_wrap=True)
        return False

    def _take(self, words: str) -> bool:
        """Whether other frames can be taken; else why not is said."""
        try:
            self._anew = self.settings_with(int(words))
        except ValueError:
            terminal.report_error(UsageError(f"/frames {words}: no number", hint="for example: /frames 16"))
        except UsageError as error:
            terminal.report_error(error)
        return self._anew is not None

    def _stats(self, _words: str) -> bool:
        if not self.answers.show_last():
            terminal.show("no answer yet")
        return False
