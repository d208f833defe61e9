"""What the engine reaches on this machine, side by side with stock transformers: the tables of docs/benchmarks.md.

    python -m sharpv_cli.benchmarks.engine_speed --profile llava-ov-7b --random       # full size, random weights
    python -m sharpv_cli.benchmarks.engine_speed --profile tiny --new-tokens 48       # the built-in model
    python -m sharpv_cli.benchmarks.engine_speed --profile llava-ov-7b --random --curve 8,32,64,256,1024,3600

One process; lanes take turns, after rounds that are not kept. Frames are drawn from a seed, and the scale is chosen so
that the retention under test is kept; M lies between the layers' similarities, so that half of them discard.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers

from sharpv_cli.benchmarks.drawn_frames import QUESTION, drawn_frame
from sharpv_cli.benchmarks.memory_curve import curve_lines
from sharpv_cli.benchmarks.random_checkpoint import random_model
from sharpv_cli.engine.device import device_name
from sharpv_cli.models.capture import capture
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.costs import cost_of
from sharpv_cli.pipeline.prompts import Prompts
from sharpv_cli.pipeline.question import answer, whole_answer
from sharpv_cli.pipeline.rates import measure_rates
from sharpv_cli.pipeline.selecting import largest_scale, scores_of
from sharpv_cli.pipeline.stock import run_stock
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.types import Answer, FrameSample, VideoInfo
from sharpv_cli.video.frames import Frames

_STAGES = ("preprocess", "vision", "prune", "prefill", "ttft", "tpot")


@dataclass
class Lane:
    """One way to answer: what it is called, how it is run, and what came of it (seconds by stage)."""

    name: str
    run: Callable[[], dict[str, Any]]
    runs: list[dict[str, Any]] = field(default_factory=list)

    def middle(self, stage: str) -> float | None:
        values = [run[stage] for run in self.runs if run[stage] is not None]
        return median(values) if values else None


def frames_of(count: int, side: int) -> tuple[VideoInfo, FrameSample]:
    """A box that moves over blocks of noise, `count` frames of `side` pixels at 1 fps."""
    images = np.stack([drawn_frame(0, t, count, side) for t in range(count)])
    info = VideoInfo("drawn", "none", "rawvideo", side, side, 0, 1.0, float(count), count)
    return info, FrameSample("uniform", images, tuple(range(count)), tuple(map(float, range(count))))


def lanes(clips: Mapping[str, Clip], retentions: Sequence[float]) -> Iterator[Lane]:
    """Stock, both engines dense, and both at each retention; the fast one without Memory SharpV as well.

    `clips` are the same frames for each engine.
    """
    dense = {"visual": {"mode": "off"}, "memory": {"enabled": False}}
    yield Lane("stock generate, dense", partial(_stock, clips["fast"]))
    for engine in ("reference", "fast"):
        yield Lane(f"{engine}, dense", partial(_ours, clips[engine], dense))
    scales, half = thresholds(clips["fast"], retentions)
    for retention, scale in zip(retentions, scales, strict=True):
        visual = {"visual": {"mode": "adaptive", "scale": scale}}
        for engine in ("reference", "fast"):
            memory = {"memory": {"enabled": True, "m": half}}
            yield Lane(f"{engine}, {retention:.0%}", partial(_ours, clips[engine], {**visual, **memory}))
        alone = {**visual, "memory": {"enabled": False}}
        yield Lane(f"fast, {retention:.0%}, no memory stage", partial(_ours, clips["fast"], alone))


def thresholds(base: Clip, retentions: Sequence[float]) -> tuple[list[float], float]:
    """The scale that keeps each retention, and the M in the middle of the layers' similarities."""
    inputs = build_inputs(base.loaded, base.info, base.sample, QUESTION, base.settings.prompt)
    whole = capture(base.loaded.model, inputs, base.loaded.family)
    visual = base.settings.visual.model_copy(update={"mode": "adaptive", "scale": 100.0})
    scores = scores_of(whole, visual)
    assert scores is not None
    tokens = whole.slots.shape[1]
    counts = [round(share * whole.slots.numel()) for share in retentions]
    # Just off the edge of a step, where the engines' last bits would decide about one token.
    scales = [largest_scale(scores.ratio, tokens, visual, count) * (1 - 1e-4) for count in counts]
    first = _ours(base, {"visual": {"scale": scales[0]}, "memory": {"m": -1.0}})["answer"]
    similar = sorted(layer.similarity for layer in first.layers if layer.similarity is not None)
    return scales, (similar[len(similar) // 2 - 1] + similar[len(similar) // 2]) / 2


def _changed(settings: Settings, groups: dict[str, Any]) -> Settings:
    values = settings.model_dump()
    for name, change in groups.items():
        values[name] = {**values[name], **change} if isinstance(change, dict) else change
    return Settings.model_validate(values)


def _ours(base: Clip, groups: dict[str, Any]) -> dict[str, Any]:
    settings = _changed(base.settings, groups)
    result = whole_answer(answer(Prompts(replace(base, settings=settings)), QUESTION))
    seconds = {stage: getattr(result.timing, f"{stage}_sec") for stage in _STAGES}
    return {**seconds, "total": result.timing.total_sec, "answer": result}


def _stock(base: Clip) -> dict[str, Any]:
    told, run = run_stock(base, QUESTION)
    return {
        **{stage: getattr(run, f"{stage}_sec") for stage in _STAGES},
        "total": run.total_sec,
        "told": told,
    }


def measure(chosen: Sequence[Lane], runs: int, warmup: int) -> None:
    for number in range(warmup + runs):
        for lane in chosen:
            outcome = lane.run()
            lane.runs = [outcome] if number < warmup else [*(lane.runs if number > warmup else []), outcome]
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def report(loaded: LoadedModel, chosen: Sequence[Lane], frames: int) -> Iterator[str]:
    rates = measure_rates(loaded.device, loaded.model.dtype)
    assert rates is not None, "there is room for it"
    name = device_name(loaded.device)
    yield (
        f"{loaded.info.id}, {frames} frames, {loaded.model.dtype}, on {name} (copy "
        f"{rates.copy_bytes_per_sec / 1e12:.3f} TB/s, matmul {rates.matmul_flops_per_sec / 1e12:.2f} TFLOP/s), "
        f"torch {torch.__version__}, transformers {transformers.__version__}"
    )
    yield (
        "\n| lane | "
        + " | ".join(_STAGES)
        + " | total | kept | KV, of dense | layers discarded | peak above weights |"
    )
    yield "|---|" + "--:|" * 12
    for lane in chosen:
        yield _row(lane)
    yield from _floors(loaded, chosen, rates)
    yield from _agreement(chosen)


def _row(lane: Lane) -> str:
    cells = [_span(lane, stage) for stage in (*_STAGES, "total")]
    if (result := lane.runs[-1].get("answer")) is None:
        stored = f"{lane.runs[-1]['told'].kv_bytes / 2**20:.1f} MiB"
        return f"| {lane.name} | " + " | ".join(cells) + f" | 100.0% | {stored} | – | – |"
    memory = result.memory
    gone = sum(not layer.visual_kv_kept for layer in result.layers)
    kept = f"{result.visual_retention:.1%}"
    share = f"{memory.kv_bytes / 2**20:.1f} MiB, {memory.kv_bytes / memory.kv_dense_bytes:.1%}"
    peak = f"{(memory.peak_bytes - memory.weights_bytes) / 2**30:.2f} GiB"
    return f"| {lane.name} | " + " | ".join(cells) + f" | {kept} | {share} | {gone} | {peak} |"


def _span(lane: Lane, stage: str) -> str:
    values = [run[stage] * 1e3 for run in lane.runs if run[stage] is not None]
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})" if values else "–"


def _floors(loaded: LoadedModel, chosen: Sequence[Lane], rates: Any) -> Iterator[str]:
    yield "\n| lane | vision / floor | prefill / floor | TPOT / floor | scoring, of TTFT |"
    yield "|---|--:|--:|--:|--:|"
    for lane in chosen:
        result: Answer | None = lane.runs[-1].get("answer")
        if result is None or not lane.name.startswith("fast"):
            continue
        cost = cost_of(loaded, result)
        flops, bandwidth = rates.matmul_flops_per_sec, rates.copy_bytes_per_sec
        floors = {
            "vision": cost.vision_flops / flops,
            "prefill": cost.prefill_flops / flops,
            "tpot": (cost.decode_weight_bytes + cost.decode_kv_bytes) / bandwidth,
        }
        cells = []
        for stage, floor in floors.items():
            middle = lane.middle(stage)
            cells.append("–" if not middle else f"{middle / floor:.2f}x of {floor * 1e3:.2f} ms")
        scoring, ttft = lane.middle("prune"), lane.middle("ttft")
        assert scoring is not None and ttft
        yield f"| {lane.name} | " + " | ".join(cells) + f" | {scoring / ttft:.2%} |"


def _agreement(chosen: Sequence[Lane]) -> Iterator[str]:
    """How many tokens (of text: characters) the engines' answers begin alike with."""
    by_name = {lane.name: lane.runs[-1]["answer"].text for lane in chosen if "answer" in lane.runs[-1]}
    for name, text in by_name.items():
        other = by_name.get(name.replace("reference", "fast"))
        if name.startswith("reference") and other is not None:
            alike = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), len(text))
            yield f"\nreference and fast, {name.split(', ')[1]}: the first {alike} of {len(text)} characters alike."


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    flags = {"device": options.device, "dtype": options.dtype, "attention": options.attention}
    settings = resolve(flags, {}, profile=options.profile).settings
    loaded = random_model(options.profile, settings) if options.random else open_session(settings).loaded
    fast = Session.of(loaded, "fast")
    fast.engine.warm_up()
    if options.curve:
        counts = [int(count) for count in options.curve.split(",")]
        for line in curve_lines(fast, settings, counts, options.side):
            print(line, flush=True)
        return 0
    frames = Frames(*frames_of(options.frames, options.side))
    base = Clip(fast, frames, settings, options.new_tokens)
    clips = {"fast": base, "reference": replace(base, session=Session.of(loaded, "reference"))}
    chosen = list(lanes(clips, [float(share) for share in options.retention.split(",")]))
    chosen = [lane for lane in chosen if lane.name.startswith(options.only)]
    measure(chosen, options.runs, options.warmup)
    for line in report(loaded, chosen, options.frames):
        print(line)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({lane.name: [_plain(run) for run in lane.runs] for lane in chosen}, file)
    return 0


def _plain(run: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in run.items() if name not in ("answer", "told")}
    return {**found, "memory": asdict(run["answer"].memory)} if "answer" in run else found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument(
        "--random", action="store_true", help="the profile's model at full size, random weights"
    )
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--side", type=int, default=384, help="pixels of a frame's side")
    parser.add_argument("--retention", default="0.12,0.3")
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--only", default="", help="lanes whose names begin so: fast, for one")
    parser.add_argument("--curve", help="memory and time against these numbers of frames instead")
    parser.add_argument("--json", help="write every run to this file")
    for name in ("device", "dtype", "attention"):
        parser.add_argument(f"--{name}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
