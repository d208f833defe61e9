"""The evidence of docs/results.md, measured and written: `python -m sharpv_cli.docs.results --processes 15`.

Asks what docs/results/tables.toml lists with so many single-threaded processes; whatever ends it, the same command goes
on with the answers in `--parts`. What is complete is kept in docs/results as NAME.jsonl.gz. Then, and without
`--processes` only then, the kept answers become NAME.md and NAME.svg, the curve, and the tables and figures in
docs/results.md, docs/model-card.md and README.md; what shows a table that is not complete stays as it was (exit 6).
`--shard I/N` is one of the processes, for machines of your own. `--draw` makes the clips only, which takes no model.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sharpv_cli import terminal
from sharpv_cli.benchmarks import budget_curve
from sharpv_cli.docs import DOCS, blocks, takeaway
from sharpv_cli.docs.tables import CURVE, Table, read
from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.files import write_whole
from sharpv_cli.report.eval_document import eval_document, eval_markdown
from sharpv_cli.report.eval_picture import eval_picture
from sharpv_cli.session import Session, keep_with
from sharpv_cli.settings import Settings
from sharpv_cli.shelf import SHELF
from sharpv_cli.types import Evaluation, Waiting

PARTS = Path("sharpv-results")
_PAGES = ("results.md", "model-card.md", "../README.md")
_MODULE = "sharpv_cli.docs.results"
_CLIPS = 1000  # of ours: what the model sees of one takes a few MiB at most


class _OneModel:
    """The session of all tables of a process, which ask the same model on the same device."""

    _session: Session | None = None

    def turn(self, settings: Settings) -> Generator[Waiting, None, Session | None]:
        del settings
        yield from ()
        return self._session

    def open(self, settings: Settings, make: Callable[[], Session]) -> Session:
        del settings
        self._session = self._session or make()
        return self._session


def hold() -> None:
    """From now on tables share the model, and what it saw of their clips."""
    keep_with(_OneModel())
    SHELF.places = _CLIPS


def work(tables: Mapping[str, Table], parts: Path, shard: str, clips: Path | None, device: str) -> bool:
    """One part of each table; whether it came to the end. A part gets its name when all of it is there."""
    for table in tables.values():
        part = parts / _part(table.name, shard)
        part.parent.mkdir(parents=True, exist_ok=True)
        if part.exists():
            continue
        unfinished = part.with_suffix(".unfinished")
        others = sorted(parts.rglob(_part("*", shard)))
        found = table.evaluate(unfinished, shard=shard, clips=clips, earlier=others, flags={"device": device})
        for failure in found.failures:
            print(f"{table.name}, {failure.place}: {failure.error}", file=sys.stderr)
        if found.interrupted:
            return False
        if not found.failures:
            unfinished.rename(part)
    return True


def spread(arguments: Sequence[str], processes: int, minutes: float | None) -> None:
    """So many processes of this module, each with its part; those that are not done in time are ended."""
    quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "SHARPV_KEEP_WARM": "0"}
    command = [sys.executable, "-m", _MODULE, *arguments]
    running = [
        subprocess.Popen([*command, "--shard", f"{index}/{processes}"], env={**os.environ, **quiet})
        for index in range(1, processes + 1)
    ]
    end = None if minutes is None else time.monotonic() + 60 * minutes
    for process in running:
        try:
            process.wait(None if end is None else max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.terminate()  # every answer is on disk as it comes
            process.wait()


def keep(tables: Mapping[str, Table], parts: Path, folder: Path) -> list[str]:
    """Join the tables of which all parts are there; the names of those that are not."""
    missing = []
    for name in tables:
        if (files := _complete(parts, name)) is None:
            missing.append(name)
            continue
        target = folder / f"{name}.jsonl.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = b"".join(file.read_bytes() for file in files)
        write_whole(target, gzip.compress(whole, mtime=0))  # the same answers are the same file
    return missing


def evaluations(tables: Mapping[str, Table], folder: Path) -> dict[str, Evaluation]:
    """What the kept answers say, of those that are there and that these settings and this model gave.

    Nothing is asked where all answers are there, and no clip is made.
    """
    found = {}
    with tempfile.TemporaryDirectory() as work:
        for name, table in tables.items():
            if not (kept := folder / f"{name}.jsonl.gz").exists():
                continue
            results = Path(work) / f"{name.replace('/', '-')}.jsonl"
            results.write_bytes(gzip.decompress(kept.read_bytes()))
            try:
                found[name] = table.evaluate(results, clips=Path(work) / "clips")
            except UsageError as error:
                print(f"{name}: {error}", file=sys.stderr)
    return found


def write(tables: Mapping[str, Table], found: Mapping[str, Evaluation], docs: Path) -> None:
    """The tables and pictures beside the answers, and what the pages show of them; of `tables` not `found`, nothing."""
    folder = docs / "results"
    budgets = {name: budget for name, table in tables.items() if (budget := table.budget) is not None}
    curve = None
    if budgets.keys() <= found.keys():
        curve = budget_curve.curve({budget: found[name] for name, budget in budgets.items()})
        _write_curve(folder / CURVE, curve)
    for name in found.keys() - budgets.keys():
        _write_table(folder / name, found[name])
    views = blocks.Views(tables, found, curve, folder)
    for page in _PAGES:
        path = docs / page
        write_whole(path, blocks.filled(path.read_text(encoding="utf-8"), views).encode())


def _write_curve(folder: Path, curve: Mapping[str, Any]) -> None:
    write_whole(folder / "curve.json", json.dumps(curve, indent=1).encode())
    write_whole(folder / "curve.md", budget_curve.markdown(curve).encode())
    for theme, picture in takeaway.pictures(curve):
        write_whole(folder / f"curve-{theme}.svg", picture)


def _write_table(path: Path, evaluation: Evaluation) -> None:
    """The picture only where the table is another one: versions and settings are in it as well."""
    page, picture = path.with_name(f"{path.name}.md"), path.with_name(f"{path.name}.svg")
    text = eval_markdown(evaluation).encode()
    if picture.exists() and page.exists() and page.read_bytes() == text:
        return
    write_whole(page, text)
    drawn = eval_picture(evaluation, eval_document(evaluation, settings={}), kind="svg", theme="light")
    write_whole(picture, drawn)


def _part(name: str, shard: str) -> str:
    return f"{name}.{shard.replace('/', '-')}.jsonl"


def _complete(parts: Path, name: str) -> list[Path] | None:
    """The files of all parts, in order; None where some are missing."""
    numbered: dict[int, dict[int, Path]] = {}
    for file in parts.glob(f"{name}.*.jsonl"):
        if part := re.fullmatch(re.escape(Path(name).name) + r"\.(\d+)-(\d+)\.jsonl", file.name):
            numbered.setdefault(int(part[2]), {})[int(part[1])] = file
    whole = (files for count, files in numbered.items() if len(files) == count)
    return next(([files[place] for place in sorted(files)] for files in whole), None)


def chosen(tables: Mapping[str, Table], only: str) -> dict[str, Table]:
    """Those whose name fits one of the patterns; `!` before all of them: those that none fits."""
    patterns = only.removeprefix("!").split(",")
    fits = {name for name in tables if any(fnmatch(name, pattern) for pattern in patterns)}
    return {name: one for name, one in tables.items() if (name in fits) != only.startswith("!")}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser.add_argument("--processes", type=int, help="measure, with so many; left out, only write")
    parser.add_argument("--minutes", type=float, help="stop measuring after so many")
    parser.add_argument(
        "--only", default="*", help="tables, as patterns: 'stress-*,hard'; '!long-*': all others"
    )
    parser.add_argument("--parts", type=Path, default=PARTS, help="folder of what was measured so far")
    parser.add_argument("--shard", help="measure this part only, and write nothing")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=Path, help="folder of the clips that are asked about")
    parser.add_argument("--draw", action="store_true", help="make the clips, and ask and write nothing")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where results/ and the pages are")
    parser.add_argument("--smoke", action="store_true", help="two questions of each table, and write nothing")
    args = parser.parse_args(given)
    terminal.set_level(quiet=True)
    try:
        sys.exit(_run(args, given))
    except SharpvError as error:
        terminal.report_error(error)
        sys.exit(error.exit_code)


def _run(args: argparse.Namespace, given: Sequence[str]) -> int:
    """The exit code."""
    tables = read(args.docs / "results" / "tables.toml", smoke=args.smoke)
    mine = chosen(tables, args.only)
    if args.draw and (args.shard is not None or args.processes is None):
        for table in mine.values():
            table.draw(args.shard or "1/1", args.clips)
        return 0
    if args.shard is not None:
        hold()
        done = work(mine, args.parts, args.shard, args.clips, args.device)
        return 0 if done else terminal.INTERRUPTED
    if args.processes is not None:
        spread(given, args.processes, args.minutes)
    if args.draw:
        return 0
    kept = args.parts / "kept" if args.smoke else args.docs / "results"
    missing = keep(mine, args.parts, kept) if args.parts.exists() else []
    wanted = mine if args.smoke else tables
    found = evaluations({name: wanted[name] for name in wanted if name not in missing}, kept)
    if args.smoke:
        for name, evaluation in found.items():
            print(f"{name}: {evaluation.questions} questions, {len(evaluation.scores)} methods")
    else:
        write(tables, found, args.docs)
    if not (left := [name for name in wanted if name not in found]):
        return 0
    print(f"not complete yet, and left as it was: {', '.join(left)}; the same command goes on")
    return terminal.SOME_FAILED


if __name__ == "__main__":
    main()
