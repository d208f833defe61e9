"""What becomes of the pipeline's events: answers on stdout as they come, all else on stderr."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.commands.ask.manner import Manner
from sharpv_cli.commands.details import say_decoding, say_details, say_engine
from sharpv_cli.commands.following import follow
from sharpv_cli.commands.videos import with_name
from sharpv_cli.errors import SharpvError
from sharpv_cli.report.sizes import format_bytes
from sharpv_cli.text import printable, shortened, shown

if TYPE_CHECKING:
    from sharpv_cli.report.document import Asked
    from sharpv_cli.settings import Resolved
    from sharpv_cli.types import Answer, Event, FrameSample, QuestionFailed, Reading

STAGES = {
    "load": "loading the model and the video",
    "decode": "loading the model and the video",
    "preprocess": "preparing the frames",
    "vision": "encoding the frames",
    "prefill": "reading the prompt",
    "generate": "answering",
}
_LINES_BELOW = 6  # a chart: one that is empty, three of the answer, its figures, and the shell's prompt


class Answers:
    """Writes the answers of a run as its events come; `exit_code` says afterwards how it went.

    `resolved` are the settings that documents tell of, `seen` the frames that are looked at, and `has_failed` says
    whether the video could not be used.
    """

    def __init__(self, resolved: Resolved, manner: Manner, progress: terminal.Progress) -> None:
        self.exit_code = 0
        self.resolved = resolved
        self.seen: FrameSample | None = None
        self.has_failed = False
        self._manner = manner
        self._progress = progress
        self._label = self._path = ""
        self._done = 0  # questions about this video
        self._warned: set[str] = set()
        self._drawn: object = None
        self._last: Answer | None = None
        self._to_export: list[Asked] = []
        self._count = 0
        self._written = 0
        self._line_open = False
        self._named = False

    def begin(self, path: str) -> None:
        """What comes is about the video of this name, as far as it is known to the user."""
        self._path, self._done, self._drawn, self.has_failed = path, 0, None, False
        self._written, self._named = 0, False
        self._label = f"{shown(path)}: " if self._manner.labels else ""

    def follow(self, event: Event, events: Generator[Event, None, None]) -> None:
        """Act on `event` and all after it. A streamed answer ends with its newline however it ends."""
        try:
            follow(event, events, self._acted_on_last)
        finally:
            self._close_line()

    def show_last(self) -> bool:
        """The chart of the last answer, whether or not it was shown with it; False before there is one."""
        from sharpv_cli.report.chart import AnswerChart

        if self._last is not None:
            terminal.show(AnswerChart(self._last))
        return self._last is not None

    def _acted_on_last(self, event: Event) -> bool:
        self._act(event)
        return self.exit_code == terminal.INTERRUPTED

    def _act(self, event: Event) -> None:
        from sharpv_cli.types import (
            Finished,
            Loaded,
            Noted,
            PromptRead,
            QuestionFailed,
            QuestionStarted,
            StageStarted,
            TextPiece,
        )

        match event:
            case StageStarted(stage):
                self._progress.stage(STAGES[stage])
            case Loaded():
                self._progress.stop()
                self.seen = event.sample
                say_details(event)
            case QuestionStarted():
                self._written, self._named = 0, False
            case PromptRead(reading):
                self._introduce(reading)
            case TextPiece(text):
                self._write(text)
            case Finished(answer):
                self._finish(answer)
            case QuestionFailed():
                self._fail(event)
            case Noted(text):
                terminal.say("note", text)

    def _introduce(self, reading: Reading) -> None:
        """All there is to say before the answer, so that this is what one sees last."""
        self._progress.stop()
        if self._last is None:
            say_engine(reading)
        self._warn(reading)
        self._name(reading.question, below_chart=self._manner.shows and self._draw(reading))

    def _draw(self, reading: Reading) -> bool:
        """Draw what was kept, unless that stands above already: questions about one video differ in it rarely."""
        from sharpv_cli.report.live_chart import ReadingChart

        verdicts = [(layer.similarity, layer.visual_kv_kept) for layer in reading.layers]
        before, self._drawn = self._drawn, (reading.retention, verdicts)
        if self._drawn == before:
            return False
        terminal.show(ReadingChart(reading, _room(reading.question)))
        return True

    def _name(self, question: str, *, below_chart: bool) -> None:
        if self._manner.names(below_chart=below_chart) and not self._named:
            self._named = True
            if below_chart or self._count:
                terminal.show("")
            terminal.show(_named(question))

    def _write(self, text: str) -> None:
        if self._manner.stream:
            self._progress.hide()
            labelled = self._labelled(text, begins=not self._line_open)
            self._line_open = True
            self._written += len(text)  # before the write, which Ctrl-C ends only once the text is under way
            terminal.write_answer(labelled)

    def _labelled(self, text: str, *, begins: bool) -> str:
        """Each line behind the video's name, where there are several."""
        lines = text.replace("\n", f"\n{self._label}")
        return f"{self._label}{lines}" if begins else lines

    def _close_line(self) -> None:
        if self._line_open:
            self._line_open = False
            terminal.write_answer("\n")
        self._progress.stop()

    def _finish(self, answer: Answer) -> None:
        """A piece that Ctrl-C kept from us is part of the answer all the same."""
        if answer.finish_reason == "interrupted" and not self._manner.loop:
            self.exit_code = terminal.INTERRUPTED
        self._write(answer.text[self._written :])
        self._progress.hide()
        if self._manner.as_json:
            terminal.write_json(self._document(answer), several=self._manner.several)
        elif not self._manner.stream:
            terminal.write_answer(f"{self._labelled(answer.text, begins=True)}\n")
        self._close_line()
        self._tell_figures(answer)
        if answer.finish_reason == "length" and not answer.is_complete:
            self._tell_incomplete(answer)
        self._last, self._count, self._done = answer, self._count + 1, self._done + 1
        self._remember(answer)

    def _remember(self, answer: Answer) -> None:
        """With the settings of now, where it goes to a file at the end."""
        from sharpv_cli.report.document import Asked

        if self._manner.exports is not None:
            self._to_export.append(Asked(answer, self.resolved.told))

    def _tell_figures(self, answer: Answer) -> None:
        from sharpv_cli.report.figures import margin
        from sharpv_cli.report.live_chart import ClosingLine

        if self._last is None:
            say_decoding(answer)
        if self._manner.shows:
            terminal.show(ClosingLine(answer), soft_wrap=True)
            if answer.choices:
                terminal.say("note", margin(answer.choices))

    def _tell_incomplete(self, answer: Answer) -> None:
        """What was cut off has not the form that was asked for: as good as no answer, but for people to see."""
        terminal.say(
            "error", f"the answer is not complete: --max-new-tokens {answer.generated_tokens} ended it"
        )
        terminal.say("hint", "raise it, or bound the texts and lists of the schema")
        if not self._manner.loop:
            self.exit_code = terminal.SOME_FAILED

    def _fail(self, event: QuestionFailed) -> None:
        """The error of one question among several, in its place; the others go on."""
        self._close_line()
        self._name(event.question, below_chart=False)
        self._write_failed(event.error, event.number)
        self._report(event.error)
        self._done += 1
        if not self._manner.loop:
            self.exit_code = terminal.SOME_FAILED

    def fail_rest(self, error: SharpvError, questions: int) -> None:
        """The error of a video, in the place of those of its `questions` that have no answer; others go on."""
        self._progress.stop()
        for number in range(self._done + 1, questions + 1):
            self._write_failed(error, number)
        self._report(error)
        self.has_failed = True
        self.exit_code = terminal.SOME_FAILED

    def _report(self, error: SharpvError) -> None:
        """Of several videos, with the name of this one."""
        terminal.report_error(with_name(error, self._path) if self._manner.labels else error)

    def _write_failed(self, error: SharpvError, number: int) -> None:
        from sharpv_cli.report.document import error_document

        if self._manner.as_json:
            terminal.write_json(error_document(error, line=number, path=self._path), several=True)

    def _document(self, answer: Answer) -> dict[str, object]:
        from sharpv_cli.report.document import ask_document

        return ask_document(answer, self.resolved.told)

    def _warn(self, reading: Reading) -> None:
        for warning in reading.warnings:
            told = f"{self._label}{warning}"
            if told not in self._warned:
                terminal.say("warning", told)
            self._warned.add(told)

    def conclude(self) -> None:
        """What there is to say and to write once all has been asked."""
        if self._last is None:
            return
        if self._manner.tells_shared:
            self._say_shared(self._last)
        if (exports := self._manner.exports) is not None:
            exports.write(self._to_export)
            for what, path in exports.written:
                terminal.say("note", f"{what} written to {path}")

    def _say_shared(self, answer: Answer) -> None:
        if (shared := answer.memory.shared_prefix_bytes) is not None:
            terminal.say(
                "note",
                f"{self._count} questions shared one look at the video ({format_bytes(shared)} of KV cache)",
            )


def _named(question: str) -> str:
    return f"> {shortened(printable(question))}"


def _room(question: str) -> int | None:
    """Lines for a chart on this terminal: below it stay the question, some of the answer and what comes after it."""
    left = terminal.lines_left(_named(question))
    return None if left is None else left - _LINES_BELOW
