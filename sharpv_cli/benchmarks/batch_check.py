"""`sharpv batch` against single questions: the same answers, how much faster than a loop, and memory over the run.

`python -m sharpv_cli.benchmarks.batch_check` asks 600 questions about 200 drawn clips, compares each answer with that
of a question asked alone (30 of them by `sharpv ask` processes), and times 20 clips beside a loop over `sharpv ask`.
What stands after `--` goes to `sharpv batch`: `-- --runner ray`. Exit 1 where an answer differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.pipeline.frames import decode_whole
from sharpv_cli.session import open_session
from sharpv_cli.shapes.questions import sample_question

COMMAND = [sys.executable, "-m", "sharpv_cli"]
_SAMPLE_SEC = 0.2


@dataclass(frozen=True, slots=True)
class Video:
    """A clip and what is asked about it."""

    path: Path
    questions: tuple[str, ...]


@dataclass
class Watched:
    """A run of `sharpv batch`: its seconds, and at each sample the lines that were there and the resident bytes."""

    seconds: float = 0.0
    samples: list[tuple[int, int]] = field(default_factory=list)

    def memory_at(self, share: float, total: int) -> int:
        """Resident bytes of all its processes when `share` of the lines was written; 0 where it was not seen."""
        return next((held for lines, held in self.samples if lines >= share * total), 0)


def drawn(count: int, questions: int, folder: Path) -> list[Video]:
    """Clips of the built-in model's world that no training saw, encoded where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    videos = []
    for index in range(count):
        clip, _ = shapes.held_out(index)
        path = folder / f"{index:05d}{clip.suffix}"
        if not path.exists():
            clip.write(path)
        rng = random.Random(f"batch:{index}")
        videos.append(Video(path, tuple(sample_question(clip.scene, rng).text for _ in range(questions))))
    return videos


def write_manifest(videos: Sequence[Video], path: Path) -> None:
    rows = ({"id": v.path.stem, "video": str(v.path), "questions": v.questions} for v in videos)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def run_batch(
    videos: Sequence[Video], folder: Path, options: Sequence[str]
) -> tuple[dict[str, Any], Watched]:
    """The answers by id, from a run that begins anew."""
    manifest, out = folder / "manifest.jsonl", folder / "answers.jsonl"
    write_manifest(videos, manifest)
    out.unlink(missing_ok=True)
    command = [*COMMAND, "batch", str(manifest), "-o", str(out), "--quiet", *options]
    watched, began = Watched(), time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while process.poll() is None:
        time.sleep(_SAMPLE_SEC)
        watched.samples.append((_lines(out), _resident(process.pid)))
    watched.seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"sharpv batch ended with {process.returncode}")
    documents = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    return {document["id"]: document for document in documents}, watched


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _resident(pid: int) -> int:
    """Resident bytes of a process and all below it; what two of them share counts twice."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        below = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return 0  # it has just ended
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(_resident, below))


def asked_alone(videos: Sequence[Video]) -> dict[str, str]:
    """Every question by itself, on a model that is loaded once: what one `sharpv ask` each would say."""
    from sharpv_cli.pipeline.clip import Clip
    from sharpv_cli.pipeline.prompts import Prompts
    from sharpv_cli.pipeline.question import answer, whole_answer
    from sharpv_cli.settings import resolve

    settings = resolve({}, os.environ).settings
    session = open_session(settings)
    answers = {}
    for video in videos:
        decoded = decode_whole(video.path, settings)
        for number, question in enumerate(video.questions, start=1):
            told = whole_answer(answer(Prompts(Clip(session, decoded, settings)), question))
            answers[f"{video.path.stem}#{number}"] = told.text
    return answers


def asked_by_command(video: Video, questions: Sequence[str]) -> list[str]:
    """What one `sharpv ask` process prints for each question."""
    options = [option for question in questions for option in ("-q", question)]
    command = [*COMMAND, "ask", str(video.path), *options, "--json", "--quiet", "--keep-warm", "0"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return [json.loads(line)["answer"] for line in done.stdout.splitlines()]


def differing(answers: dict[str, Any], alone: dict[str, str]) -> list[str]:
    """A line for each id whose answer is another one, or is missing on one side."""
    lines = []
    for id in sorted(answers.keys() | alone.keys()):
        ours, single = answers.get(id, {}).get("answer"), alone.get(id)
        if ours != single:
            lines.append(f"{id}: {ours!r} in the batch, {single!r} alone")
    return lines


def by_processes(videos: Sequence[Video], answers: dict[str, Any], count: int) -> dict[str, str]:
    """`count` of the questions, each asked by a `sharpv ask` process of its own."""
    ids = random.Random(0).sample(sorted(answers), min(count, len(answers)))
    named = {video.path.stem: video for video in videos}
    found = {}
    for id in ids:
        video = named[id.split("#")[0]]
        found[id] = asked_by_command(video, [video.questions[int(id.split("#")[1]) - 1]])[0]
    return found


def report_speed(videos: Sequence[Video], folder: Path, options: Sequence[str]) -> None:
    """Time a loop that is as fast as a loop can be: one process a clip, with all of its questions."""
    began = time.monotonic()
    for video in videos:
        asked_by_command(video, video.questions)
    loop = time.monotonic() - began
    _, watched = run_batch(videos, folder, options)
    count = sum(len(video.questions) for video in videos)
    print(
        f"{len(videos)} clips, {count} questions: loop over `sharpv ask` {loop:.1f} s ({count / loop:.2f}/s), "
        f"`sharpv batch` {watched.seconds:.1f} s ({count / watched.seconds:.2f}/s), {loop / watched.seconds:.1f} times"
    )


def report_memory(watched: Watched, total: int) -> None:
    shares = (0.1, 0.25, 0.5, 0.75, 0.95)
    told = ", ".join(f"{watched.memory_at(share, total) / 2**20:.0f} at {share:.0%}" for share in shares)
    print(f"resident MiB of all processes, by share of the {total} lines: {told}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--questions", type=int, default=3, help="about each clip")
    parser.add_argument("--processes", type=int, default=30, help="questions asked by `sharpv ask` processes")
    parser.add_argument("--loop", type=int, default=20, help="clips of the timed loop; 0 leaves it out")
    parser.add_argument(
        "--folder", type=Path, default=shapes.default_folder(os.environ).with_name("batch-check")
    )
    parser.add_argument("options", nargs="*", help="options for `sharpv batch`, after --")
    args = parser.parse_args()
    folder = args.folder.resolve()  # a manifest's names are meant from where it lies
    videos = drawn(args.clips, args.questions, folder / "clips")
    answers, watched = run_batch(videos, folder, args.options)
    print(f"{len(answers)} answers in {watched.seconds:.1f} s")
    report_memory(watched, len(answers))
    wrong = differing(answers, asked_alone(videos))
    print(f"{len(answers) - len(wrong)} of {len(answers)} as asked alone")
    single = by_processes(videos, answers, args.processes)
    other = differing({id: answers[id] for id in single}, single)
    print(f"{len(single) - len(other)} of {len(single)} as `sharpv ask` says")
    if args.loop:
        report_speed(videos[: args.loop], folder, args.options)
    if wrong or other:
        raise SystemExit("\n".join([*wrong, *other]))


if __name__ == "__main__":
    main()
