"""Published checkpoints on published benchmarks, beside the paper's figures: for who has a network and a GPU.

    python -m sharpv_cli.benchmarks.real --mvbench ~/MVBench --videomme ~/Video-MME --motionbench ~/MotionBench -o real

Asks every question with dense, fewer frames, SharpV, VidCom2 and EVS at SharpV's budget; Video-MME without and with its
subtitles. The folders are looked at first; then the weights are downloaded where they are missing. The folder `-o` gets
a results file for each benchmark, from which a rerun goes on after an error or Ctrl-C, and `table.md`. Begin with
`--limit 20`: the same command without it goes on from there. Benchmarks are copies that you get from their authors:

"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sharpv_cli import terminal
from sharpv_cli.benchmarks.evaluating import evaluate
from sharpv_cli.commands.eval import running
from sharpv_cli.commands.preparing import check_model, read_settings
from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.evaluation.datasets.dataset import Dataset
from sharpv_cli.evaluation.datasets.loading import load
from sharpv_cli.evaluation.methods import DENSE
from sharpv_cli.files import write_whole
from sharpv_cli.report.eval_tables import percent, signed, span
from sharpv_cli.report.markdown import table
from sharpv_cli.text import shown
from sharpv_cli.types import Evaluation

METHODS = "dense,dense-fewer-frames,sharpv,vidcom2,evs"
PROFILE = "llava-ov-7b"
PAPER: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        ("mvbench", "dense"): 57.7,
        ("mvbench", "sharpv"): 58.2,
        ("videomme", "dense"): 58.7,
        ("videomme", "sharpv"): 60.0,
    }
)
"""Right answers in percent, LLaVA-OneVision-7B (arXiv 2511.08003)."""
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "mvbench": (
            "hf download OpenGVLab/MVBench --repo-type dataset --local-dir MVBench; unpack video/*.zip. 17 GB, "
            "MIT for the questions; 320 clips of NTU RGB+D come from its authors"
        ),
        "videomme": (
            "hf download lmms-lab/Video-MME --repo-type dataset --local-dir Video-MME; unpack videos_chunked_*.zip "
            "(data/) and subtitle.zip (subtitle/). 101 GB, for academic research only"
        ),
        "motionbench": (
            "hf download zai-org/MotionBench --repo-type dataset --local-dir MotionBench --exclude "
            "'MotionBenchCaption-train/*'. For non-commercial use only; public-dataset/ has clips of other datasets, "
            "under their licences"
        ),
    }
)
"""Where each comes from, how large it is, and what its authors allow (seen in 2026)."""
_HEADS = (
    "benchmark", "method", "right %", "95 %", "less dense", "95 %", "visual %", "KV %", "questions", "paper",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """A benchmark, as its `folder` has it, asked with some settings."""

    name: str
    folder: str
    flags: Mapping[str, object]


def jobs(folders: Mapping[str, str]) -> Iterator[Job]:
    """Of the benchmarks that are here; what is wrong with the others is said."""
    for name, folder in folders.items():
        try:
            dataset = load(Path(folder), name)
            _look_for_videos(name, dataset)
        except SharpvError as error:
            terminal.say("error", f"{name}: {error}")
            if error.hint:
                terminal.say("hint", error.hint)
            terminal.say("hint", f"where it comes from: {SOURCES[name]}")
            continue
        if name != "videomme":
            yield Job(name, folder, {})
            continue
        yield Job(name, folder, {"subtitles": "off"})
        if any(item.subtitles for item in dataset.items):
            yield Job(f"{name}-subtitles", folder, {"subtitles": "auto"})
        else:
            terminal.say("warning", f"{name}: no subtitle/*.srt, so that it is not asked with subtitles")


def _look_for_videos(name: str, dataset: Dataset) -> None:
    """Say how many are missing. Raises UsageError if all are."""
    videos = list(dict.fromkeys(item.video for item in dataset.items))
    missing = [video for video in videos if not video.exists()]
    if not missing:
        return
    told = f"{len(missing)} of {len(videos)} videos are missing, such as {shown(missing[0])}"
    if len(missing) == len(videos):
        raise UsageError(told, hint="unpack the archives of videos")
    terminal.say("warning", f"{name}: {told}; their questions have no answer")


def rows(name: str, evaluation: Evaluation, *, with_paper: bool) -> Iterator[tuple[str, ...]]:
    """One a method."""
    for score in evaluation.scores:
        paired, paper = score.difference_interval, PAPER.get((name, score.method))
        yield (
            name,
            f"`{score.method}`",
            percent(score.accuracy),
            span(score.interval, "–"),
            "" if score.difference is None else signed(score.difference),
            "" if paired is None else f"{signed(paired.low)} to {signed(paired.high)}",
            percent(score.visual_retention),
            percent(score.kv_retention),
            str(evaluation.questions),
            f"{paper:.1f}" if paper is not None and with_paper else "",
        )


def main(arguments: Sequence[str] | None = None) -> None:
    told = "\n".join(f"{name}: {text}." for name, text in SOURCES.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}{told}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in SOURCES:
        parser.add_argument(f"--{name}", metavar="DIR", help="left out, it is not asked")
    parser.add_argument("--profile", default=PROFILE)
    parser.add_argument("--model", help="another checkpoint than the profile's: a folder or a hub id")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--limit", type=int, help="questions of each, spread over it")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder")
    args = parser.parse_args(arguments)
    folders = {name: folder for name in SOURCES if (folder := getattr(args, name)) is not None}
    if not folders:
        parser.error(f"name the folder of a benchmark: --{', --'.join(SOURCES)}")
    if args.limit is not None and args.limit < 1:
        parser.error(f"--limit {args.limit}: one question at least")
    try:
        sys.exit(_run(args, folders))
    except KeyboardInterrupt:  # while weights are fetched or loaded; an evaluation deals with its own
        sys.exit(terminal.INTERRUPTED)
    except SharpvError as error:  # of the model, or the machine: it would be the same for all of them
        terminal.report_error(error)
        sys.exit(error.exit_code)


def _run(args: argparse.Namespace, folders: Mapping[str, str]) -> int:
    """The exit code. Raises SharpvError where nothing can be asked."""
    own = {} if args.model is None else {"model": args.model}
    resolved = read_settings(own, args.profile)
    # A method that there is not, before 16 GB are fetched.
    running.read_plan(own, args.profile, args.methods, (), "sharpv", DENSE, "exact")
    wanted = list(jobs(folders))
    if not wanted:
        return UsageError.exit_code
    check_model(resolved)
    args.out.mkdir(parents=True, exist_ok=True)
    lines: list[tuple[str, ...]] = []
    page = ""
    failed = not folders.keys() <= {job.name for job in wanted}
    for job in wanted:
        flags = {**own, **job.flags, "seen": "off"}
        results = args.out / f"{job.name}.jsonl"
        try:
            found = evaluate(
                job.folder, args.methods, results, profile=args.profile, flags=flags, limit=args.limit
            )
        except SharpvError as error:  # of one benchmark: it costs no other one
            terminal.say("error", f"{job.name}: {error}")
            failed = True
            continue
        running.report_failures(found, resumable=True)
        failed |= bool(found.failures or found.pruned_nothing)
        lines += rows(job.name, found, with_paper=args.profile == PROFILE and args.model is None)
        page = table(_HEADS, "ll" + "r" * (len(_HEADS) - 2), lines) + "\n"
        write_whole(args.out / "table.md", page.encode())  # should the next one never end
        if found.interrupted:
            return terminal.INTERRUPTED
    print(page, end="")
    return terminal.SOME_FAILED if failed else 0


if __name__ == "__main__":
    main()
