"""Damages tiny videos of many containers in many ways, and reads each one in a child process of its own limits.

    python tests/helpers/fuzz_video.py --files 5000 [--seed 0] [--workers 2] [--through-ask 50] [--keep FOLDER]

Every file must be answered or refused in words. A traceback, a crash, a hang or memory over the bound is a
failure: it is printed with the file's number, and the exit code is 1. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # as a script; pytest finds the package by itself

import clips  # noqa: E402
from PIL import Image  # noqa: E402

from sharpv_cli.errors import SharpvError, UsageError, VideoError  # noqa: E402
from sharpv_cli.metrics import peak_rss_bytes  # noqa: E402
from sharpv_cli.video.decoding import sample_frames  # noqa: E402
from sharpv_cli.video.isolated import IsolatedReader  # noqa: E402
from sharpv_cli.video.local import FilePath, Limits, LocalVideo  # noqa: E402
from sharpv_cli.video.probe import probe  # noqa: E402
from sharpv_cli.video.sampling import Sampling  # noqa: E402
from sharpv_cli.video.sources import local_video  # noqa: E402

LIMITS = Limits(timeout=20.0, picture=True, max_pixels=4_000_000)
MAX_RSS_BYTES = 1 << 30
OUTCOMES = ("answered", "warned", "refused", "usage")
_FRAMES = 24
_GOP = {"g": "8"}

SEEDS: dict[str, tuple[str, dict[str, object]]] = {
    "mp4": ("a.mp4", {"options": _GOP}),
    "mp4-fast": ("b.mp4", {"options": _GOP, "mux": {"movflags": "+faststart"}}),
    "mp4-frag": ("c.mp4", {"options": _GOP, "mux": {"movflags": "frag_keyframe+empty_moov"}}),
    "mov": ("d.mov", {"codec": "mpeg4"}),
    "hevc": ("e.mp4", {"codec": "libx265"}),
    "mkv": ("f.mkv", {"options": _GOP}),
    "webm": ("g.webm", {"codec": "libvpx-vp9"}),
    "webm-vp8": ("h.webm", {"codec": "libvpx"}),
    "avi": ("i.avi", {"codec": "mpeg4"}),
    "avi-mjpeg": ("j.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "ts": ("k.ts", {"options": _GOP}),
    "flv": ("l.flv", {"codec": "flv"}),
    "wmv": ("m.asf", {"codec": "wmv2"}),
    "mpg": ("n.mpg", {"codec": "mpeg2video"}),
    "h264": ("o.h264", {"options": _GOP}),
    "ivf": ("p.ivf", {"codec": "libvpx-vp9"}),
    "gif": ("q.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    "apng": ("r.apng", {"codec": "apng", "pix_fmt": "rgb24"}),
    "ffv1": ("s.mkv", {"codec": "ffv1"}),
    "ogv": ("t.ogv", {"codec": "libtheora"}),
    "mxf": ("x.mxf", {"codec": "mpeg2video"}),
    "gxf": ("y.gxf", {"codec": "mpeg2video", "size": (720, 576)}),
    "dv": ("z.dv", {"codec": "dvvideo", "size": (720, 576)}),
    "y4m": ("aa.y4m", {"codec": "rawvideo"}),
    "nut": ("ab.nut", {"codec": "mpeg4"}),
    "mjpeg": ("ac.mjpeg", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mjpeg"}),
    "mpjpeg": ("ad.mpjpeg", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mpjpeg"}),
    "webp": ("u.webp", {}),
    "png": ("v.png", {}),
    "jpg": ("w.jpg", {}),
}

Mutation = Callable[[random.Random, bytearray, bytes], bytearray]


def make_seeds(folder: Path) -> dict[str, Path]:
    """One tiny video of each container that this build of FFmpeg can write."""
    made = {}
    for kind, (name, options) in SEEDS.items():
        path = folder / name
        if path.suffix in (".webp", ".png", ".jpg"):
            pages = [Image.fromarray(clips.numbered(number)) for number in range(_FRAMES)]
            pages[0].save(path, **({"save_all": True, "append_images": pages[1:]} if kind == "webp" else {}))
        elif options.get("codec") == "libtheora" and not _can_encode("libtheora"):
            continue
        else:
            clips.encode(path, _FRAMES, **options)
        made[kind] = path
    return made


def _can_encode(codec: str) -> bool:
    import av

    return codec in av.codecs_available


def flip_bits(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    for _ in range(rng.choice((1, 4, 16, 64, 256))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def flip_header_bits(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Containers keep what they count and measure in their first or last bytes."""
    place = rng.choice((0, max(0, len(data) - 2000)))
    for _ in range(rng.choice((1, 2, 8, 32))):
        data[min(len(data) - 1, place + rng.randrange(2000))] ^= 1 << rng.randrange(8)
    return data


def truncate(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    return data[: rng.randrange(1, len(data))]


def cut_the_start(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    return data[rng.randrange(1, len(data)) :]


def zero(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    start, length = rng.randrange(len(data)), rng.choice((4, 32, 500, 4000))
    data[start : start + length] = bytes(len(data[start : start + length]))
    return data


def noise(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    start, length = rng.randrange(len(data)), rng.choice((4, 32, 500, 4000))
    data[start : start + length] = rng.randbytes(len(data[start : start + length]))
    return data


def splice(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """The head of one container on the tail of another."""
    return data[: rng.choice((16, 64, 512, len(data) // 2))] + other[rng.randrange(len(other)) :]


def duplicate(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    start, length = rng.randrange(len(data)), rng.choice((8, 188, 1000, 5000))
    return data[:start] + data[start : start + length] * rng.choice((2, 3, 20)) + data[start + length :]


def drop(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    start, length = rng.randrange(len(data)), rng.choice((1, 8, 188, 1000))
    return data[:start] + data[start + length :] or bytearray(b"\0")


def edit_length(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Four bytes that may be a size or a count become an extreme of one."""
    for _ in range(rng.choice((1, 2, 6))):
        start = rng.randrange(max(1, len(data) - 4))
        if rng.random() < 0.7:  # in front of a box name, where there is one
            names = (
                b"stsz",
                b"stco",
                b"stts",
                b"stsc",
                b"stsd",
                b"moov",
                b"trak",
                b"mdat",
                b"moof",
                b"trun",
                b"idx1",
            )
            found = data.find(rng.choice(names))
            start = max(0, found + rng.choice((-4, 4, 8, 12, 16))) if found >= 0 else start
        value = rng.choice((0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.randrange(1 << 32)))
        data[start : start + 4] = value.to_bytes(4, rng.choice(("big", "little")))
    return data


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_header_bits,
    truncate,
    cut_the_start,
    zero,
    noise,
    splice,
    duplicate,
    drop,
    edit_length,
)


@dataclass(frozen=True)
class Case:
    number: int
    kind: str
    how: str
    data: bytes
    suffix: str

    @property
    def name(self) -> str:
        return f"{self.number:06d}-{self.kind}-{self.how}{self.suffix}"


def case(seeds: dict[str, Path], seed: int, number: int) -> Case:
    """The file of this number, the same each time."""
    rng = random.Random(f"{seed}/{number}")
    kinds = list(seeds)
    kind = kinds[number % len(kinds)]
    data, other = bytearray(seeds[kind].read_bytes()), seeds[rng.choice(kinds)].read_bytes()
    how = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        data = mutation(rng, data, other) or bytearray(b"\0")
        how.append(mutation.__name__)
    return Case(number, kind, "+".join(how), bytes(data), seeds[kind].suffix)


@dataclass
class Table:
    """Outcomes by container, and the failures in words."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    peak_rss: int = 0

    def add(self, kind: str, outcome: str) -> None:
        self.counts.setdefault(kind, Counter()).update((outcome, "files"))

    def total(self, outcome: str) -> int:
        return sum(counts[outcome] for counts in self.counts.values())

    def lines(self) -> Iterator[str]:
        columns = ("files", *OUTCOMES, "failed")
        yield f"| {'container':<10} | " + " | ".join(f"{column:>8}" for column in columns) + " |"
        yield "|---|" + "---:|" * len(columns)
        for kind, counts in sorted(self.counts.items()):
            yield f"| {kind:<10} | " + " | ".join(f"{counts[column]:>8}" for column in columns) + " |"
        yield f"| {'total':<10} | " + " | ".join(f"{self.total(column):>8}" for column in columns) + " |"


def examine(path: FilePath) -> tuple[str, int]:
    """In the child: answered or warned, and the peak resident bytes of the process."""
    with local_video(str(path), LIMITS) as video:
        probe(video)
        info, sample = sample_frames(video, Sampling(frames=8))
    times = sample.timestamps_sec
    assert all(a < b for a, b in itertools.pairwise(times)), times
    assert 0 <= sample.indices[-1] < info.frames_total, (sample.indices, info.frames_total)
    assert info.duration_sec is not None and 0 <= times[0] <= times[-1] < info.duration_sec + 1e-6
    return ("warned" if sample.warnings else "answered"), peak_rss_bytes()


def judge(reader: IsolatedReader, path: Path, table: Table) -> tuple[str, str]:
    """The outcome, and what is wrong with it ('' if nothing is)."""
    try:
        outcome, peak = reader.read(LocalVideo(str(path), str(path), LIMITS), examine)
    except VideoError as error:
        said = str(error)
        bad = any(word in said for word in (" crashed (", "took longer than", "more memory than"))
        bad |= path.name not in said or not said.isprintable()
        return ("failed", said) if bad else ("refused", "")
    except UsageError as error:
        return "usage", "" if str(error).isprintable() else str(error)
    except (SharpvError, RuntimeError) as error:
        return "failed", f"{type(error).__name__}: {error}"
    table.peak_rss = max(table.peak_rss, peak)
    return (outcome, "") if peak <= MAX_RSS_BYTES else ("failed", f"{peak >> 20} MiB resident")


def run(folder: Path, *, files: int, seed: int, workers: int, keep: bool = False) -> Table:
    """Makes and reads files 0 .. files - 1, each worker every so manyth of them."""
    seeds, table = make_seeds(folder), Table()
    with IsolatedReader() as reader:
        for kind, path in seeds.items():
            outcome, wrong = judge(reader, path, table)
            if outcome not in ("answered", "warned"):
                table.failures.append(f"the sound {kind} file: {outcome} {wrong}")

    def work(first: int) -> None:
        with IsolatedReader() as reader:
            for number in range(first, files, workers):
                made = case(seeds, seed, number)
                path = folder / made.name
                path.write_bytes(made.data)
                outcome, wrong = judge(reader, path, table)
                table.add(made.kind, outcome)
                if wrong:
                    table.failures.append(f"{made.name}: {wrong}")
                if not (wrong and keep):
                    path.unlink()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    return table


def ask_in_process(path: Path) -> tuple[int, str]:
    """Exit code and stderr of `sharpv ask`, run in this process."""
    from sharpv_cli import app, terminal

    sys.argv = ["sharpv", "ask", str(path), "what moves?", "--frames", "4", "--max-new-tokens", "4"]
    out, err = io.StringIO(), io.StringIO()
    terminal.stderr.cache_clear()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = app._exit_code()
    return code, err.getvalue()


def ask_in_child(path: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "sharpv_cli", "ask", str(path), "what moves?", "--frames", "4"]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def through_ask(folder: Path, *, files: int, seed: int, children: int = 3) -> tuple[Counter[int], list[str]]:
    """Exit codes, and failures: anything but 0 and 3, or a traceback. The first `children` are real processes."""
    seeds, codes, failures = make_seeds(folder), Counter[int](), []
    for number in range(files):
        made = case(seeds, seed, number)
        path = folder / made.name
        path.write_bytes(made.data)
        code, said = ask_in_child(path) if number < children else ask_in_process(path)
        codes[code] += 1
        if code not in (0, 3) or "Traceback" in said or (code == 3) != ("error:" in said):
            failures.append(f"{made.name}: exit {code}: {said}")
        path.unlink()
    return codes, failures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--through-ask", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    args = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        table = run(folder, files=args.files, seed=args.seed, workers=args.workers, keep=bool(args.keep))
        print("\n".join(table.lines()))
        seconds = time.monotonic() - started
        print(f"{args.files} files in {seconds:.0f} s, largest process {table.peak_rss >> 20} MiB")
        failures = table.failures
        if args.through_ask:
            codes, more = through_ask(folder, files=args.through_ask, seed=args.seed)
            print(f"through sharpv ask: {dict(sorted(codes.items()))} (exit code: files)")
            failures = [*failures, *more]
    print("\n".join(failures) or "no failure")
    return 1 if failures else 0


if __name__ == "__main__":
    import fuzz_video  # the children find functions of modules, and not of this script

    sys.exit(fuzz_video.main())
