"""Clips a second, from encoded files on disk to answers, by how many are answered at once; beside stock transformers.

    python -m sharpv_cli.benchmarks.throughput --profile llava-ov-7b --random
    python -m sharpv_cli.benchmarks.throughput --smoke

One process with its readers, as each of `sharpv batch`; the start and a first round for each size are not counted,
filling and emptying the conveyor is. All answers have their full length. `device` is the share of the time in which a
kernel runs, from a round of its own under the profiler. Stock reads the same files ahead with the same readers, and
answers batches of left-padded prompts with `generate`.

`vision` is the most clips whose frames went through the tower together. `--vision 32,0` gives two rows each: up to 32
frames of 384x384 in a run, and each clip's alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any

import torch

from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.batch.working import READ_AHEAD, Worker, answered, read_frames
from sharpv_cli.benchmarks.drawn_frames import QUESTION, drawn_clips
from sharpv_cli.benchmarks.engine_speed import frames_of, thresholds
from sharpv_cli.benchmarks.random_checkpoint import random_model
from sharpv_cli.cores import cores
from sharpv_cli.engine.device import device_name, peak_bytes, reset_peak, synchronize
from sharpv_cli.engine.vision import FULL
from sharpv_cli.models.blame import out_of_memory
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Resolved, Settings, resolve
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.read_ahead import ReadAhead
from sharpv_cli.video.shares import default_readers

_COLUMNS = (
    *("answers", "new tokens", "at once", "clips", "clips/s", "TTFT ms", "TPOT ms", "decode ms"),
    *("KV MiB", "peak GiB", "device", "vision"),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A loaded model that never stops by itself, and clips on disk."""

    session: Session
    settings: Settings
    clips: Sequence[Path]
    readers: int

    def jobs(self, count: int, new_tokens: int, **groups: Any) -> list[Job]:
        """Of so many clips, each a file of its own."""
        values = self.settings.model_dump()
        values["generation"] = {**values["generation"], "max_new_tokens": new_tokens}
        for name, change in groups.items():
            values[name] = {**values[name], **change}
        settings = Settings.model_validate(values)
        return [Job(str(clip), settings, (Asked(clip.stem, 1, QUESTION),)) for clip in self.clips[:count]]

    def worker(self, size: int, full: int | None) -> Worker:
        """`full`: frames of 384x384 in a run of the vision tower; None: as always."""
        session = self.session if size == 1 else self.session.together(size)
        if session.several is not None and full is not None:
            session.several.vision.full = full * FULL // 32
        return Worker(session, Resolved(self.settings, {}, "benchmark", "shipped", None))

    @property
    def device(self) -> torch.device:
        return self.session.loaded.device


def ours(bench: Bench, size: int, jobs: Sequence[Job], full: int | None = None) -> str:
    """A row: all jobs, `size` at once, after some that are not counted."""
    worker = bench.worker(size, full)
    list(answered(worker, jobs[: min(size, len(jobs))], readers=bench.readers))
    synchronize(bench.device)
    began = perf_counter()
    told = [document for _, document in answered(worker, jobs, readers=bench.readers)]
    seconds = perf_counter() - began
    if wrong := [one for one in told if not isinstance(one, dict) or "error" in one]:
        raise SystemExit(f"{len(wrong)} of {len(told)} failed: {wrong[0]}")
    share = _computing(bench, lambda: list(answered(worker, jobs[: max(4, size)], readers=bench.readers)))
    worker.session.engine.release()
    company = 1 if worker.session.several is None else max(1, worker.session.several.vision.largest)
    return f"{_row(seconds, told, share)} | {company}"


def _row(seconds: float, told: Sequence[Any], share: float | None) -> str:
    timing, memory = [one["timing"] for one in told], [one["memory"] for one in told]
    tpot = [one["tpot_sec"] * 1e3 for one in timing if one["tpot_sec"]]
    return " | ".join(
        [
            f"{len(told) / seconds:.2f}",
            f"{median(one['ttft_sec'] for one in timing) * 1e3:.1f}",
            f"{median(tpot):.2f}" if tpot else "–",
            f"{mean(one['decode_sec'] for one in timing) * 1e3:.0f}",
            f"{median(one['kv_bytes'] for one in memory) / 2**20:.1f}",
            f"{max(one['peak_bytes'] or 0 for one in memory) / 2**30:.2f}",
            "–" if share is None else f"{share:.0%}",
        ]
    )


def _computing(bench: Bench, run: Callable[[], object]) -> float | None:
    """The share of the time of `run` in which the device computes; None on the CPU."""
    if bench.device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    began = perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        run()
        synchronize(bench.device)
        seconds = perf_counter() - began
    busy = sum(float(event.self_device_time_total) for event in seen.key_averages())
    return busy / 1e6 / seconds


def stock(bench: Bench, size: int, jobs: Sequence[Job]) -> str | None:
    """As `ours`, by stock `generate`; None where so many do not fit into memory."""
    bench.session.loaded.model.generation_config.eos_token_id = None  # as stock says it
    try:
        _generate(bench, [jobs[0]] * size)
        reset_peak(bench.device)
        began, waiting = perf_counter(), iter(jobs)
        with ReadAhead(read_frames, readers=bench.readers) as ahead:
            coming = [(job, ahead.begin(job)) for job in islice(waiting, size + bench.readers + READ_AHEAD)]
            while coming:
                now, coming = coming[:size], coming[size:]
                coming += [(job, ahead.begin(job)) for job in islice(waiting, size)]
                _generate(bench, [job for job, _ in now], [read.result().frames for _, read in now])
        seconds = perf_counter() - began
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None
    finally:
        bench.session.release()
    peak = (peak_bytes(bench.device) or 0) / 2**30
    return f"{len(jobs) / seconds:.2f} | – | – | – | – | {peak:.2f} | – | –"


def _generate(bench: Bench, jobs: Sequence[Job], read: Sequence[Frames | None] | None = None) -> None:
    loaded = bench.session.loaded
    frames = read or [Frames(*frames_of(bench.settings.sampling.frames or 8, 64))] * len(jobs)
    prompts = []
    for job, one in zip(jobs, frames, strict=True):
        assert one is not None
        prompts.append(build_inputs(loaded, one.info, one.sample, QUESTION, job.settings.prompt))
    length = max(prompt["input_ids"].shape[1] for prompt in prompts)
    inputs = {name: _joined(name, [p[name] for p in prompts], length) for name in prompts[0]}
    tokens = jobs[0].settings.generation.max_new_tokens
    with torch.no_grad():
        loaded.model.generate(
            **inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0
        )
    synchronize(bench.device)


def _joined(name: str, parts: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    """Tokens are padded on the left; the mask is 0 there."""
    if name in ("input_ids", "attention_mask", "mm_token_type_ids"):
        parts = [torch.nn.functional.pad(part, (length - part.shape[1], 0)) for part in parts]
    return torch.cat(list(parts))


def lines(bench: Bench, options: argparse.Namespace) -> Iterator[str]:
    loaded = bench.session.loaded
    name = device_name(bench.device)
    yield (
        f"{loaded.info.id}, {loaded.model.dtype}, {name}, {cores()} cores, {bench.readers} readers, "
        f"{bench.settings.sampling.frames} frames of {options.side}x{options.side}, torch {torch.__version__}"
    )
    yield f"a clip read alone: {_alone(bench) * 1e3:.0f} ms\n"
    yield "| " + " | ".join(_COLUMNS) + " |"
    yield "|---|" + "--:|" * 11
    base = Clip(
        bench.session, Frames(*frames_of(bench.settings.sampling.frames or 8, options.side)), bench.settings
    )
    retentions = [float(share) for share in options.retentions.split(",")]
    scales, m = thresholds(base, retentions)
    news = [int(count) for count in options.new_tokens.split(",")]
    for retention, scale in zip(retentions, scales, strict=True):
        groups = {"visual": {"mode": "adaptive", "scale": scale}, "memory": {"enabled": True, "m": m}}
        for new in news:
            for size in _sizes(options.sizes if new > 1 else "64"):
                count = min(len(bench.clips), max(8, options.rounds * size) if new > 1 else 64)
                jobs = bench.jobs(count, new, **groups)
                for full in _sizes(options.vision) if options.vision else [None]:
                    way = "" if full is None else f", up to {full} frames"
                    row = ours(bench, size, jobs, full)
                    yield f"| sharpv, {retention:.0%}{way} | {new} | {size} | {count} | {row} |"
    off = {"visual": {"mode": "off"}, "memory": {"enabled": False}}
    for new in news if options.stock else ():
        for size in _sizes(options.stock):
            count = min(len(bench.clips), 2 * max(4, size))
            told = stock(bench, size, bench.jobs(count, new, **off))
            yield f"| stock, dense | {new} | {size} | {count} | {told or 'out of memory | | | | | | |'} |"
            if told is None:
                break


def _sizes(given: str) -> list[int]:
    return [int(size) for size in given.split(",")]


def _alone(bench: Bench) -> float:
    """Seconds of a clip that is read by a reader with all cores for itself."""
    seconds = []
    with IsolatedReader() as reader:
        for job in bench.jobs(6, 1):
            began = perf_counter()
            read_frames(reader, job)
            seconds.append(perf_counter() - began)
    return median(seconds[1:])


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.smoke:
        options.profile, options.random, options.device = "tiny", False, "cpu"
        options.frames, options.side, options.clips, options.sizes, options.stock = 4, 64, 6, "1,3", "2"
        options.new_tokens, options.retentions = "1,4", "0.3"
    flags = {"device": options.device, "frames": options.frames}
    settings = resolve(flags, {}, profile=options.profile).settings
    settings = settings.model_copy(update={"seen": "off"})
    loaded = random_model(options.profile, settings) if options.random else open_session(settings).loaded
    loaded.model.generation_config.eos_token_id = []  # nothing ends an answer
    session = Session.of(loaded, "fast")
    session.engine.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        clips = drawn_clips(options.clips, options.side, options.folder or Path(folder))
        readers = options.readers or default_readers(cores())
        for line in lines(Bench(session, settings, clips, readers), options):
            print(line, flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--smoke", action="store_true", help="a minute's check on the CPU, with the built-in model"
    )
    parser.add_argument("--profile", default="tiny")
    parser.add_argument(
        "--random", action="store_true", help="the profile's model at full size, random weights"
    )
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--side", type=int, default=384, help="pixels of a frame's side")
    parser.add_argument("--clips", type=int, default=128, help="files, at most so many a round")
    parser.add_argument("--rounds", type=int, default=3, help="clips for each of those at once")
    parser.add_argument("--retentions", default="0.12,0.3")
    parser.add_argument("--new-tokens", default="1,16,128")
    parser.add_argument("--sizes", default="1,2,4,8,16,32,64", help="answers at once")
    parser.add_argument("--vision", default="", help="most frames encoded together, in turns; 0: clips alone")
    parser.add_argument("--stock", default="1,4,8,16", help="batches of stock; empty: none")
    parser.add_argument("--readers", type=int)
    parser.add_argument("--folder", type=Path, help="where clips stay")
    parser.add_argument("--device")
    return parser


if __name__ == "__main__":
    sys.exit(main())
