"""The Typer app, and how a run of it ends: exit codes, errors, Ctrl-C and closed pipes."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from sharpv_cli import __version__, session, shortage, signals, terminal
from sharpv_cli.commands.ask.command import ask
from sharpv_cli.commands.batch.command import batch
from sharpv_cli.commands.check import check
from sharpv_cli.commands.completion import find_shell
from sharpv_cli.commands.demo import demo
from sharpv_cli.commands.doctor.command import doctor
from sharpv_cli.commands.eval.command import evaluate
from sharpv_cli.commands.help import GroupedCommand
from sharpv_cli.commands.index import index
from sharpv_cli.commands.models import command as models
from sharpv_cli.commands.probe import probe
from sharpv_cli.commands.profile.command import profile
from sharpv_cli.commands.seen import app as seen_app
from sharpv_cli.commands.warm import app as warm_app
from sharpv_cli.errors import SharpvError, bug_code
from sharpv_cli.text import shown
from sharpv_cli.warm import client

shortage.neighbours.append(client.neighbour)

# Narrower than Typer goes by itself: below it, help would be broken in the middle of words.
_TYPER_LEAST_COLUMNS = 52
_columns = shutil.get_terminal_size().columns
_narrow = {"terminal_width": _columns} if _columns < _TYPER_LEAST_COLUMNS else {}

app = typer.Typer(
    name="sharpv",
    rich_markup_mode=None,  # Rich panels would double the time of `--help`
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], **_narrow},
)
app.command("ask", cls=GroupedCommand, short_help="Answer questions about a video.")(ask)
app.command(
    "check", cls=GroupedCommand, short_help="Exit 0 if the answer about a video is yes, 1 if it is no."
)(check)
app.command("batch", cls=GroupedCommand, short_help="Answer questions about many videos.")(batch)
app.command("index", cls=GroupedCommand, short_help="Look at videos now, for questions later.")(index)
app.command("profile", cls=GroupedCommand, short_help="Measure tokens, time and memory on a clip.")(profile)
app.command("eval", cls=GroupedCommand, short_help="Compare pruning methods on a benchmark.")(evaluate)
app.command("probe", cls=GroupedCommand, short_help="Show what a video holds, and what asking would cost.")(
    probe
)
app.add_typer(models.app, name="models", short_help="List, show and download models.")
app.add_typer(seen_app, name="seen", short_help="List, show, remove and export what was seen of videos.")
app.add_typer(warm_app, name="warm", short_help="Show, start or stop the process that keeps a model loaded.")
app.command("demo", short_help="Write small clips with known answers.")(demo)
app.command("doctor", short_help="Show what this machine has, and what is missing.")(doctor)

# Every usage error of Typer (unknown option, missing argument, bad value) shares the base of this one, the
# only one that it exports in all versions.
_TyperUsageError: type[Exception] = typer.BadParameter.__bases__[0]


# What to do about an argument too many, by command: each of these was somebody's first try.
_ONE_VIDEO = "one video a run"
_HINTS_FOR_EXTRA = {
    "profile": f"{_ONE_VIDEO}; the question goes after -q, in quotes",
    "probe": f'{_ONE_VIDEO}: for clip in *.mp4; do sharpv probe "$clip"; done',
}


def _print_version(wanted: bool) -> None:
    if wanted:
        terminal.write_answer(f"sharpv {__version__}\n")
        raise typer.Exit


@app.callback()
def sharpv(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Ask questions of video, with a VideoLLM pruned by SharpV.

    \b
    Examples:
      sharpv demo
      sharpv ask demo/moving.mp4 "Which direction does the red circle move?"
      sharpv ask talk.mp4 "what is on the slide?" -p llava-ov-7b
      sharpv check clip.mp4 "is there a red circle?" && echo yes
      sharpv batch clips/ -q "what moves?" -o answers.jsonl
      sharpv profile demo/moving.mp4
      sharpv models list
      sharpv doctor
    """


@cache
def command_line() -> Callable[..., object]:
    """What Typer makes of all commands and their options, which takes longer than most of them need."""
    return get_command(app)


def run() -> None:
    """Run the command line and exit with its code (docs/cli.md; 1 through `terminal.report_crash`)."""
    terminal.wait_for_readers()
    code = exit_code(sys.argv[1:])
    assert code is not None, "only a resident process hands its work on"
    terminal.leave(code)


def exit_code(arguments: list[str]) -> int | None:
    """Run one command; None where a process of its own has to run it. What is a bug of ours is raised."""
    terminal.start_over()
    _forget_useless_width()
    shortage.make_do_with_one_thread()
    try:
        with signals.interruptible():
            return _exit_code(arguments)
    except session.Elsewhere:
        return None
    except KeyboardInterrupt:  # a second one, while the first was dealt with
        return terminal.INTERRUPTED
    finally:
        sys.excepthook = terminal.report_crash


def _forget_useless_width() -> None:
    """Rich believes COLUMNS as it is: at 0 it would draw nothing, errors neither."""
    with suppress(ValueError):
        if int(os.environ.get("COLUMNS", "1")) > 0:
            return
    del os.environ["COLUMNS"]


def _exit_code(arguments: list[str]) -> int:
    try:
        find_shell(arguments)
        result = command_line()(args=arguments or ["--help"], prog_name="sharpv", standalone_mode=False)
    except SharpvError as error:
        terminal.report_error(error)
        return bug_code(arguments) if error.exit_code == SharpvError.exit_code else error.exit_code
    except _TyperUsageError as error:
        return _report_usage(error, arguments)
    except terminal.ReaderClosed:
        return 0
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # Typer's way with `sharpv --help | head -1`
            return 0
        raise
    except (OSError, MemoryError, ImportError, RuntimeError) as error:
        return _report_surroundings(error)
    except (KeyboardInterrupt, typer.Abort):
        return terminal.INTERRUPTED
    return result if isinstance(result, int) else 0


def _report_surroundings(error: Exception) -> int:
    """What is no bug of ours wherever it shows: a full disk (Typer writes `--help` itself), a deleted folder.

    Under `ulimit -v` and in small containers, torch's libraries do not even fit into memory.
    """
    if what := shortage.lack(error):
        short = shortage.short(what)
        terminal.report_error(short)
        return short.exit_code
    if "home directory" in str(error):  # Typer's, where it installs completion
        terminal.say("error", "there is no home folder")
        terminal.say("hint", "set HOME to one")
        return 2
    if not isinstance(error, OSError):
        raise error
    if error.errno == errno.ENOSPC:
        terminal.say("error", f"cannot write {error.filename or 'the output'}: {error.strerror}")
    elif not _has_working_folder():
        terminal.say("error", "the folder that this runs in was deleted")
        terminal.say("hint", "change to another folder, for example with `cd`")
    else:
        raise error
    return 2


def _has_working_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - pathlib says no more
    except FileNotFoundError:
        return False
    return True


def _report_usage(error: Exception, arguments: list[str]) -> int:
    message = getattr(error, "format_message", error.__str__)().rstrip(".").replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "sharpv"
    terminal.say("error", message[:1].lower() + message[1:])
    terminal.say("hint", _hint(path, message, arguments))
    return 2


def _hint(path: str, message: str, arguments: list[str]) -> str:
    """What to do about a mistake in the arguments of a command."""
    command = path.rpartition(" ")[2]
    if "extra argument" in message and command in _HINTS_FOR_EXTRA:
        return _HINTS_FOR_EXTRA[command]
    if path == "sharpv" and _is_about_a_video(arguments[:1]):
        return f"a command comes first: {shown(shlex.join(['sharpv', 'ask', *_question_last(arguments)]))}"
    help = f"`{path} --help` shows the arguments and options"
    dash = command == "ask" and "no such option" in message.lower()
    return f"{help}; a question that begins with a dash goes behind --" if dash else help


def _question_last(words: list[str]) -> list[str]:
    """A question before a file that is there behind it."""
    first, *others = words
    wrong = not os.path.lexists(first) and any(map(os.path.lexists, others))
    return [*others, first] if wrong else words


def _is_about_a_video(words: list[str]) -> bool:
    """Whether what was typed in the place of a command is a file, or a question."""
    return any(os.path.lexists(word) or Path(word).suffix or " " in word for word in words)
