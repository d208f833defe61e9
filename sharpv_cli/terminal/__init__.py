"""The terminal: what goes to stdout, what goes to stderr, and what happens when one of them is gone.

Rich is imported where it draws: otherwise it would take half of the time of `sharpv --help`.
"""

from sharpv_cli import signals
from sharpv_cli.terminal.messages import (
    debug,
    draws,
    is_verbose,
    lines_left,
    report_crash,
    report_error,
    say,
    say_warning,
    set_level,
    show,
    start_over,
    stderr,
)
from sharpv_cli.terminal.output import (
    INTERRUPTED,
    SOME_FAILED,
    ReaderClosed,
    leave,
    require_stdout,
    stdout_is_terminal,
    stdout_kept,
    write_answer,
    write_json,
    write_report,
)
from sharpv_cli.terminal.patient import wait_for_readers
from sharpv_cli.terminal.progress import Counting, Progress, Transfer

# KeyboardInterrupt must not be raised while torch is imported.
heavy_imports = signals.uninterruptible
