"""Checkpoints with one wrong value: each JSON key of each file left out, of another type, or extreme.

    python tests/helpers/fuzz_checkpoint.py llava_onevision qwen2_5_vl --every 1

loads and asks each of them in a child of its own, with a bound for memory and time, and prints what ended otherwise
than in an answer or in a refusal with words: a traceback, an exhausted memory, a child that did not come back.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

LEFT_OUT = object()
_DEEP: list[Any] = []
for _ in range(300):
    _DEEP = [_DEEP]
WRONG: tuple[Any, ...] = (
    *(LEFT_OUT, None, True, "text", "", [], {}, {"a": 1}, [1, 2, 3], _DEEP),
    *(0, -1, 7, 0.5, -2.5, 2**31, 10**12, 10**30, 1e308, float("nan"), float("inf")),
)
MORE_BYTES = 3 << 30  # that a child may take beside what it begins with
MOST_SEC = 60


@dataclass(frozen=True)
class Case:
    """One value of a JSON file, by its keys, and what stands there instead."""

    file: str
    keys: tuple[str | int, ...]
    value: Any

    @property
    def name(self) -> str:
        value = "left out" if self.value is LEFT_OUT else json.dumps(self.value)[:40]
        return f"{self.file}: {'.'.join(map(str, self.keys))} = {value}"

    def write(self, folder: Path) -> None:
        content = json.loads((folder / self.file).read_text())
        *path, last = self.keys
        place = content
        for key in path:
            place = place[key]
        if self.value is LEFT_OUT:
            del place[last]
        else:
            place[last] = copy.deepcopy(self.value)
        (folder / self.file).write_text(json.dumps(content))


def cases(folder: Path) -> Iterator[Case]:
    """Every key of every JSON file but the tokenizer's vocabulary, with every wrong value."""
    for path in sorted(folder.glob("*.json")):
        if path.name in ("tokenizer.json", "vocab.json", "added_tokens.json"):
            continue
        for keys in _keys(json.loads(path.read_text())):
            yield from (Case(path.name, keys, value) for value in WRONG)


def _keys(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inside = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, inner in inside:
        yield (*before, key)
        yield from _keys(inner, (*before, key))


def fault(folder: Path, case: Case, clip: Path) -> str | None:
    """What went wrong with a checkpoint that has this value, None where it answered or was refused in words."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as said:
        broken = Path(scratch) / "model"
        shutil.copytree(folder, broken, copy_function=_link)
        (broken / case.file).unlink()
        shutil.copy(folder / case.file, broken / case.file)
        case.write(broken)
        child = os.fork()
        if child == 0:
            _child(broken, clip, said.fileno())
        _, status = os.waitpid(child, 0)
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(status)
    return None if code in (0, 2, 3, 4, 5) else f"exit {code}\n{text[-2500:]}"


def _link(source: str, target: str) -> None:
    os.link(source, target) if source.endswith(".safetensors") else shutil.copy(source, target)


def _child(folder: Path, clip: Path, said: int) -> None:
    os.dup2(said, 2)
    limit = _address_space() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.alarm(MOST_SEC)
    try:
        code = _used(folder, clip)
    except BaseException:  # noqa: BLE001 - the whole point
        traceback.print_exc()
        code = 1
    os._exit(code)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _used(folder: Path, clip: Path) -> int:
    """Probe it and ask it, as the commands do."""
    from sharpv_cli.api import Sharpv
    from sharpv_cli.errors import SharpvError
    from sharpv_cli.models import checkpoint
    from sharpv_cli.models.blame import out_of_memory
    from sharpv_cli.pipeline.probing import look
    from sharpv_cli.settings import resolve

    flags = {"model": str(folder), "frames": 2, "max-new-tokens": 2, "device": "cpu"}
    settings = resolve(flags, {}).settings

    def ask() -> None:
        with Sharpv(model=str(folder), frames=2, max_new_tokens=2, device="cpu") as model:
            model.ask(clip, "What is shown?")

    code = 0
    for use in (lambda: checkpoint.check(settings.model), lambda: look(clip, settings), ask):
        try:
            use()
        except SharpvError as error:
            cause = error.__cause__
            if not error.hint or (cause is not None and out_of_memory(cause)):
                raise
            code = error.exit_code
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("families", nargs="+")
    parser.add_argument("--every", type=int, default=1, help="take every n-th case")
    parser.add_argument("--only", default="", help="cases with this in their name")
    options = parser.parse_args()
    import tiny_families

    with tempfile.TemporaryDirectory() as scratch:
        clip = write_clip(Path(scratch))
        faults = count = 0
        for family in options.families:
            folder = tiny_families.folder(family)
            _used(folder, clip)  # so that every child has imported all
            for case in list(cases(folder))[:: options.every]:
                if options.only not in case.name:
                    continue
                count += 1
                if (why := fault(folder, case, clip)) is not None:
                    faults += 1
                    print(f"{family}: {case.name}: {why}\n", flush=True)
            print(f"after {family}: {count} cases, {faults} faults", flush=True)
    print(f"{count} cases, {faults} faults")
    return 1 if faults else 0


def write_clip(folder: Path) -> Path:
    import numpy as np

    from sharpv_cli.video.encoding import write_clip as write

    path = folder / "clip.mp4"
    write(path, [np.full((60, 90, 3), level, np.uint8) for level in (0, 80, 160, 240)], 4.0)
    return path


if __name__ == "__main__":
    sys.exit(main())
