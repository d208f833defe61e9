"""Published checkpoints on published benchmarks, beside the paper's figures: for who has a network and a GPU.

    python -m sharpv_cli.benchmarks.real --mvbench ~/MVBench --videomme ~/Video-MME --motionbench ~/MotionBench -o real

Downloads the profile's weights where they are missing, and asks every question with dense, fewer frames, SharpV,
VidCom2 and EVS at SharpV's budget; Video-MME without and with its subtitles. FOLDER gets a results file for each
benchmark, from which a rerun goes on after an error or Ctrl-C, and `table.md`. Benchmarks are local copies
(docs/datasets.md).
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
from sharpv_cli.errors import SharpvError
from sharpv_cli.files import write_whole
from sharpv_cli.report.eval_tables import percent, signed, span
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
_HEADS = (
    "benchmark", "method", "right %", "95 %", "less dense", "95 %", "visual %", "KV %", "questions", "paper",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """A benchmark, as its `folder` has it, asked with some settings."""

    name: str
    folder: str
    flags: Mapping[str, object]


def jobs(mvbench: str | None, videomme: str | None, motionbench: str | None) -> Iterator[Job]:
    """Of what is here."""
    if mvbench:
        yield Job("mvbench", mvbench, {})
    if videomme:
        yield Job("videomme", videomme, {"subtitles": "off"})
        yield Job("videomme-subtitles", videomme, {"subtitles": "auto"})
    if motionbench:
        yield Job("motionbench", motionbench, {})


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


def table(lines: Sequence[tuple[str, ...]]) -> str:
    """As Markdown."""
    rule = "| " + " | ".join([":---", ":---", *["---:"] * (len(_HEADS) - 2)]) + " |"
    return (
        "\n".join([f"| {' | '.join(_HEADS)} |", rule, *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("mvbench", "videomme", "motionbench"):
        parser.add_argument(f"--{name}", help="its folder; left out, it is not asked")
    parser.add_argument("--profile", default=PROFILE)
    parser.add_argument("--model", help="another checkpoint than the profile's: a folder or a hub id")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--limit", type=int, help="questions of each, spread over it")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    own = {} if args.model is None else {"model": args.model}
    lines: list[tuple[str, ...]] = []
    failed = False
    for job in jobs(args.mvbench, args.videomme, args.motionbench):
        results = args.out / f"{job.name}.jsonl"
        try:
            evaluation = evaluate(
                job.folder,
                args.methods,
                results,
                profile=args.profile,
                flags={**own, **job.flags, "seen": "off"},
                limit=args.limit,
            )
        except SharpvError as error:  # a broken copy of one benchmark costs no other one
            terminal.say("error", f"{job.name}: {error}")
            failed = True
            continue
        failed |= bool(evaluation.failures or evaluation.pruned_nothing)
        lines += rows(job.name, evaluation, with_paper=args.profile == PROFILE and args.model is None)
        write_whole(
            args.out / "table.md", table(lines).encode()
        )  # what there is, should the next one never end
        if evaluation.interrupted:
            sys.exit(terminal.INTERRUPTED)
    print(table(lines), end="")
    if failed:
        sys.exit(terminal.SOME_FAILED)


if __name__ == "__main__":
    main()
