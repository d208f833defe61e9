"""`sharpv batch` where there are many cores or few resources: right rows or left rows, never a wrong blame.

`python -m sharpv_cli.benchmarks.limits_check` asks about 200 copies of the demo clips as on 64 cores (as they are with
`--cores 0`) and wants 200 right answers; then about a few of them under limits of addresses, processes and open
files (`ulimit -v`, `-u`, `-n`), ten levels each, from where `import torch` just works. Exit 1 where an answer is wrong,
or an error blames a video. Needs no network. `ulimit -u` does not bind root: then the run is nobody's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from sharpv_cli.benchmarks.batch_check import COMMAND
from sharpv_cli.shapes.demo import CLIPS

_SOME_FAILED, _RESOURCE = 6, 5
_AS_NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
)
_AS_ON_MANY = """
import os
os.cpu_count = lambda: {cores}
os.sched_getaffinity = lambda pid: set(range({cores}))
"""
_TORCH_IN = "import torch, transformers"
_LEVELS = 10


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the kernel, and how its levels grow from where it hardly suffices; `unit` is what the shell counts."""

    name: str
    kind: int
    first: int
    step: float
    unit: int = 1


LIMITS = (
    Limit("-v", resource.RLIMIT_AS, 2_000_000, 1.06, 1024),
    Limit("-u", resource.RLIMIT_NPROC, 4, 1.15),
    Limit("-n", resource.RLIMIT_NOFILE, 6, 1.2),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run wrote: answers by id, and what is not as it should be."""

    code: int
    answers: dict[str, str]
    errors: list[str]
    said: str


def run(
    manifest: Path, out: Path, environment: dict[str, str], limit: Limit | None = None, value: int = 0
) -> Run:
    """One `sharpv batch` from the beginning."""
    out.unlink(missing_ok=True)
    command = [*bound(limit), *COMMAND, "batch", str(manifest), "-o", str(out)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
        preexec_fn=bind(limit, value) if limit else None,
        check=False,
    )
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    documents = [json.loads(line) for line in lines]
    answers = {one["id"]: one["answer"] for one in documents if "answer" in one}
    errors = [f"{one['id']}: {one['error']}" for one in documents if "error" in one]
    return Run(done.returncode, answers, errors, done.stderr)


def write_clips(count: int, folder: Path) -> tuple[Path, dict[str, str]]:
    """A manifest of so many copies of the demo clips, a question each, and the right answers by id."""
    folder.mkdir()
    rows, right = [], {}
    for number, clip in zip(range(count), cycle(CLIPS), strict=False):
        copy = folder / f"{number:04d}{clip.path.suffix}"
        copy.write_bytes(clip.path.read_bytes())
        rows.append({"id": copy.stem, "video": str(copy), "question": clip.question})
        right[copy.stem] = clip.answer
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return manifest, right


def as_on(cores: int, folder: Path) -> dict[str, str]:
    """The environment in which Python counts so many cores, also in all child processes; 0 for what there is."""
    if cores == 0:
        return {}
    (folder / "sitecustomize.py").write_text(_AS_ON_MANY.format(cores=cores), encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": str(cores)}


def bind(limit: Limit, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(limit.kind, (value * limit.unit, value * limit.unit))


def bound(limit: Limit | None) -> list[str]:
    """What stands before a command: a limit of processes does not bind root, and nobody has to read root's files."""
    return [*_AS_NOBODY] if limit and limit.kind == resource.RLIMIT_NPROC and os.geteuid() == 0 else []


def levels(limit: Limit) -> Iterator[int]:
    """Ten, from the first at which torch can be imported."""
    value, found = float(limit.first), 0
    while found < _LEVELS:
        if found or _imports_torch(limit, int(value)):
            found += 1
            yield int(value)
        value = max(value * limit.step, value + 1)


def _imports_torch(limit: Limit, value: int) -> bool:
    command = [*bound(limit), sys.executable, "-c", _TORCH_IN]
    done = subprocess.run(command, capture_output=True, preexec_fn=bind(limit, value), check=False)
    return done.returncode == 0


def wrong(found: Run, right: dict[str, str]) -> list[str]:
    """What must not be: another answer, an error that is written down, an exit code that does not say what is left."""
    said = [f"{id}: {text!r}, not {right[id]!r}" for id, text in found.answers.items() if text != right[id]]
    said += found.errors
    whole = len(found.answers) == len(right)
    if found.code not in ((0,) if whole else (_SOME_FAILED, _RESOURCE)):
        said.append(f"exit {found.code}: {found.said[-500:]}")
    return said


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument(
        "--cores", type=int, default=64, help="that Python is told of; 0: as many as there are"
    )
    parser.add_argument(
        "--limited", type=int, default=4, help="clips asked about under each limit; 0: no limits"
    )
    parser.add_argument("--kinds", default="-v,-u,-n", help="limits to try")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)  # nobody writes here, too
        failed = _many_cores(given.clips, given.cores, folder)
        for limit in LIMITS if given.limited else ():
            if limit.name in given.kinds.split(","):
                failed += _limited(given.limited, limit, folder)
    print("all is right" if not failed else f"{failed} runs are wrong")
    return 1 if failed else 0


def _many_cores(clips: int, cores: int, folder: Path) -> int:
    manifest, right = write_clips(clips, folder / "many")
    found = run(manifest, folder / "many.jsonl", as_on(cores, folder))
    print(
        f"as on {cores or os.cpu_count()} cores: {len(found.answers)} answers to {clips} questions",
        flush=True,
    )
    missing = [] if len(found.answers) == clips else [f"answers are missing: {found.said[-500:]}"]
    return _report([*wrong(found, right), *missing])


def _limited(clips: int, limit: Limit, folder: Path) -> int:
    manifest, right = write_clips(clips, folder / limit.name)
    failed = 0
    for value in levels(limit):
        found = run(manifest, folder / f"{limit.name}{value}.jsonl", {"HOME": str(folder)}, limit, value)
        last = found.said.strip().splitlines()[-1:] or [""]
        print(
            f"ulimit {limit.name} {value}: exit {found.code}, {len(found.answers)} answers  {last[0]}",
            flush=True,
        )
        failed += _report(wrong(found, right))
    return failed


def _report(said: Sequence[str]) -> int:
    for line in said:
        print(f"  wrong: {line}", flush=True)
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())
