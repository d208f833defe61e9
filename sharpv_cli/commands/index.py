"""`sharpv index`: look at videos now, so that questions about them need not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.announcing import announce_store
from sharpv_cli.commands.batch.command import check_runner
from sharpv_cli.commands.batch.running import Runner, Tally, make_plan, read_rows, run, say_failures
from sharpv_cli.commands.options import (
    AddressOption,
    Flags,
    JsonOption,
    ProcessesOption,
    ProfileOption,
    QuietOption,
    ReadersOption,
    RunnerOption,
    VerboseOption,
    takes_settings,
)
from sharpv_cli.commands.preparing import name_demo_model, read_settings
from sharpv_cli.errors import UsageError
from sharpv_cli.tables.shard import read_shard
from sharpv_cli.video.names import existing

if TYPE_CHECKING:
    from sharpv_cli.batch.manifest import Manifest
    from sharpv_cli.batch.planning import Plan
    from sharpv_cli.batch.results import Document


@takes_settings
def index(
    flags: Flags,
    videos: Annotated[
        str, typer.Argument(metavar="VIDEO|FOLDER|MANIFEST", help="A video, a folder, or a list as of batch.")
    ],
    profile: ProfileOption = None,
    processes: ProcessesOption = None,
    readers: ReadersOption = None,
    runner: RunnerOption = "local",
    address: AddressOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Look at videos without asking: what is kept answers `ask` and `batch` later, with the same settings.

    What is known already is passed over, so that the same command goes on after Ctrl-C. Exit code 6: some failed.

    \b
    Examples:
      sharpv index clips/ -p llava-ov-7b
      sharpv batch clips/ -q "what moves?" -p llava-ov-7b -o answers.jsonl
      sharpv index lecture.mp4 --fps 1
    """
    from sharpv_cli.batch.indexing import LookingModel

    terminal.set_level(quiet=quiet, verbose=verbose)
    place = Runner(runner, address, None, None, processes, readers)
    check_runner(place)
    resolved = read_settings(flags, profile)
    if resolved.settings.seen == "off":
        raise UsageError("nothing is kept with --seen off", hint="leave it out")
    plan = _each_once(make_plan(_rows(videos), flags, profile, resolved, read_shard(None), None))
    if plan.jobs:
        name_demo_model(resolved)
    looked = Looked(as_json)
    tally, interrupted = run(plan, looked, LookingModel(resolved), place)
    announce_store(resolved.settings)
    _conclude(tally, looked, interrupted=interrupted)


def _rows(videos: str) -> Manifest:
    """Of one video, a folder of videos, or a manifest, whose questions are of no account."""
    from sharpv_cli.batch.indexing import QUESTION
    from sharpv_cli.batch.manifest import Manifest, Row

    lists = (".jsonl", ".ndjson", ".csv", ".tsv", ".json", ".parquet")
    path = existing(videos)
    if videos == "-" or os.path.isdir(path) or videos.lower().endswith(lists):  # noqa: PTH112 - never raises
        return read_rows(videos, (QUESTION,))
    return Manifest((Row(videos, 1, videos, videos, (QUESTION,), several=False, settings={}),), ())


def _each_once(plan: Plan) -> Plan:
    return replace(plan, jobs=tuple(replace(job, questions=job.questions[:1]) for job in plan.jobs))


@dataclass
class Looked:
    """Documents of videos, which go to stdout where JSON is wanted; `known` were known already."""

    as_json: bool
    known: int = 0
    done: dict[str, str] = field(default_factory=dict, init=False)
    cut: set[str] = field(default_factory=set, init=False)

    def add(self, document: Document) -> None:
        self.known += document.get("seen") is True
        if self.as_json:
            terminal.write_json(document, several=True)


def _conclude(tally: Tally, looked: Looked, *, interrupted: bool) -> None:
    say_failures(tally, ", on stdout" if looked.as_json else "")
    failed = tally.failures + len(tally.left)
    told = f"{tally.answered - looked.known} looked at, {looked.known} known already"
    terminal.say("note", told + (f", {failed} failed" if failed else ""))
    if interrupted:
        terminal.say("note", "interrupted; the same command goes on")
        raise typer.Exit(terminal.INTERRUPTED)
    if failed:
        raise typer.Exit(terminal.SOME_FAILED)
