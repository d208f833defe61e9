"""Made-up Answers for tests of what is shown and written: plausible, consistent, no model needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sharpv_cli.types import (
    Answer,
    ClipProfile,
    Cost,
    DeviceRates,
    EngineAnswer,
    EngineName,
    EngineProfile,
    EngineRun,
    FrameRetention,
    FrameSample,
    LayerReport,
    MemoryStats,
    MethodName,
    MethodProfile,
    ModelInfo,
    SweepPoint,
    Timings,
    TokenScores,
    VideoInfo,
)

KV_BYTES_PER_ENTRY = 1024
TEXT_TOKENS = 60
SIMILARITIES = (0.81, 0.74, 0.52, 0.31, 0.18, 0.12, 0.05, 0.02, 0.24, 0.33)


def make_answer(
    frames: int = 8,
    *,
    tokens: int = 196,
    frame_sec: float = 1.0,
    grid: tuple[int, int] | None = None,
    image_size: tuple[int, int] = (48, 64),
    kept: Sequence[int] | None = None,
    similarities: Sequence[float | None] = SIMILARITIES,
    discard_below: float = 0.2,
    **changes: Any,
) -> Answer:
    """An Answer over `frames` frames, sampled in the middle of `frame_sec` seconds each.

    `kept` tokens a frame (default: all of the first, then 24 and falling) of a `grid` (default: a square of
    them, or else a row), one layer an entry of `similarities` (None: not measured, kept), images of
    `image_size` (height, width). `changes` replace fields at the end.
    """
    counts = list(kept) if kept is not None else [tokens, *(24 - t % 24 for t in range(frames - 1))]
    times = tuple((index + 0.5) * frame_sec for index in range(frames))
    keep = _keep(counts, tokens)
    layers = _layers(similarities, discard_below, visual=sum(counts))
    answer = Answer(
        question="What colour is the circle?",
        text="red",
        finish_reason="stop",
        video=_video(frames, frame_sec, image_size),
        sample=FrameSample("uniform", _images(frames, image_size), tuple(range(5, 10 * frames, 10)), times),
        model=ModelInfo(
            id="builtin",
            revision=None,
            family="llava_onevision",
            dtype="float32",
            device="cpu",
            attention="sdpa",
            attention_reason="flash-attn needs a CUDA device",
        ),
        text_tokens=TEXT_TOKENS,
        generated_tokens=2,
        retention=tuple(
            FrameRetention(index, second, count, tokens)
            for index, (second, count) in enumerate(zip(times, counts, strict=True))
        ),
        keep=keep,
        grid=grid or _grid(tokens),
        layers=layers,
        memory=_memory(layers, visual_total=frames * tokens, visual_kept=sum(counts)),
        timing=Timings(
            load_sec=4.213,
            decode_sec=0.31,
            preprocess_sec=0.021,
            vision_sec=0.094,
            prune_sec=0.0013,
            prefill_sec=0.066,
            ttft_sec=0.1823,
            tpot_sec=0.01214,
            total_sec=4.52,
        ),
        seed=None,
        engine="fast",
        engine_reason="serves qwen2",
        m=None if None in similarities else discard_below,
    )
    return replace(answer, **changes)


def with_scores(answer: Answer, *, scale: float = 1.0, w: float = 1.0, **changes: Any) -> Answer:
    """The answer with made-up scores, and what Visual SharpV keeps by them (`TokenScores`, of which `changes`)."""
    import torch

    from sharpv_cli.pruning.visual import Scores, select_adaptive, select_manual

    shape = answer.keep.shape
    random = np.random.default_rng(1)
    spatial, temporal = (random.uniform(0, 1.2, shape).astype(np.float32).round(2) for _ in range(2))
    temporal[0] = 0
    importance = np.float32(w) * spatial + np.where(np.arange(shape[0])[:, None], temporal, spatial)
    ratio = random.uniform(0.02, 0.6, shape[0]).astype(np.float32)
    told = {"mode": "adaptive", "w": w, "scale": scale, "k": 1.6, "min_tokens": 1, **changes}
    scores = TokenScores(spatial, temporal, importance, ratio, **told)
    tensors = Scores(*map(torch.from_numpy, (spatial, temporal, importance, ratio)))
    if scores.mode == "manual":
        keep = select_manual(tensors, k=scores.k, min_tokens=scores.min_tokens).numpy()
    else:
        keep = select_adaptive(tensors, scale=scale, min_tokens=scores.min_tokens).numpy()
    counts = keep.sum(axis=1).tolist()
    retention = tuple(
        replace(frame, kept=count) for frame, count in zip(answer.retention, counts, strict=True)
    )
    return replace(answer, scores=scores, keep=keep, retention=retention)


def _grid(tokens: int) -> tuple[int, int]:
    side = math.isqrt(tokens)
    return (side, side) if side**2 == tokens else (1, tokens)


def _keep(counts: Sequence[int], tokens: int) -> np.ndarray:
    keep = np.zeros((len(counts), tokens), dtype=bool)
    random = np.random.default_rng(0)
    for row, count in zip(keep, counts, strict=True):
        row[random.permutation(tokens)[:count]] = True
    return keep


def _images(frames: int, size: tuple[int, int]) -> np.ndarray:
    """Grey ramps, no pixel darker than 64."""
    ramp = np.linspace(64, 255, size[1]).astype(np.uint8)
    return np.broadcast_to(ramp[None, None, :, None], (frames, *size, 3)).copy()


def _video(frames: int, frame_sec: float, size: tuple[int, int]) -> VideoInfo:
    return VideoInfo(
        path="demo/circle.mp4",
        container="mov,mp4,m4a,3gp,3g2,mj2",
        codec="h264",
        width=size[1],
        height=size[0],
        rotation_deg=0,
        fps=10 / frame_sec,
        duration_sec=frames * frame_sec,
        frames_total=10 * frames,
    )


def _layers(similarities: Sequence[float | None], limit: float, visual: int) -> tuple[LayerReport, ...]:
    reports = []
    for layer, similarity in enumerate(similarities):
        kept = similarity is None or similarity >= limit
        entries = TEXT_TOKENS + (visual if kept else 0)
        reports.append(LayerReport(layer, similarity, kept, entries, entries * KV_BYTES_PER_ENTRY))
    return tuple(reports)


def _memory(layers: Sequence[LayerReport], visual_total: int, visual_kept: int) -> MemoryStats:
    stored = sum(visual_kept for layer in layers if layer.visual_kv_kept)
    return MemoryStats(
        kv_dense_bytes=len(layers) * (TEXT_TOKENS + visual_total) * KV_BYTES_PER_ENTRY,
        kv_bytes=sum(layer.kv_bytes for layer in layers),
        kv_retention=stored / (len(layers) * visual_total),
        weights_bytes=24_000_000,
        peak_bytes=910_000_000,
    )


METHODS: tuple[MethodName, ...] = ("dense", "visual", "memory", "both")
SPEED = {"dense": 1.0, "visual": 0.35, "memory": 0.98, "both": 0.36}
NEW_TOKENS = 32


def make_profile(
    frames: int = 8,
    *,
    methods: Sequence[MethodName] = METHODS,
    runs: int | Sequence[int] = 5,
    sweep: Sequence[tuple[str, float]] = (),
    slower: float = 1.0,
    engines: Sequence[EngineName] = (),
    **changes: Any,
) -> ClipProfile:
    """A ClipProfile of made-up Answers: `runs` timed runs a method, one swept point an entry of `sweep`, slower
    the larger its value and of frames a dense one too, and `engines`.

    `slower` stretches all times of the language model. `changes` replace fields at the end.
    """
    counts = [runs] * len(methods) if isinstance(runs, int) else runs
    profile = ClipProfile(
        question="Describe the video.",
        new_tokens=NEW_TOKENS,
        warmup=1,
        methods=tuple(
            make_method(method, frames, count, slower) for method, count in zip(methods, counts, strict=True)
        ),
        sweep=tuple(point for key, value in sweep for point in _points(key, value, frames, slower)),
        rates=DeviceRates(copy_bytes_per_sec=12.3e9, matmul_flops_per_sec=140e9, dtype="float32"),
        m=0.2,
        interrupted=False,
        engines=tuple(make_engines(engines)),
    )
    return replace(profile, **changes)


def _points(key: str, value: float, frames: int, slower: float) -> Iterator[SweepPoint]:
    if key != "frames":
        yield SweepPoint(key, value, make_method("both", frames, 2, slower + value))
        return
    for method in ("both", "dense"):
        yield SweepPoint(key, value, make_method(method, int(value), 2, value / 8))


def make_engines(engines: Sequence[EngineName]) -> Iterator[EngineProfile]:
    """Each dense, and all but stock as given: the reference as slow as stock, the fast one quicker and apart from the
    fifth token on."""
    speeds = {"stock": 1.2, "reference": 1.0, "fast": 0.3}
    for method in ("dense", "both"):
        for engine in engines:
            if method == "both" and engine == "stock":
                continue
            kv_bytes = make_method(method).answer.memory.kv_bytes
            tokens = (1, 2, 3, 4, 5 + (engine == "fast"), 6)
            yield EngineProfile(
                engine,
                method,
                EngineAnswer("a red circle moves left.", tokens, kv_bytes, 910_000_000),
                tuple(
                    _engine_run(engine, SPEED[method] * speeds[engine], 1 + 0.02 * (i % 3)) for i in range(5)
                ),
            )


def _engine_run(engine: EngineName, speed: float, drift: float) -> EngineRun:
    """Stock does not tell what comes after preprocessing apart."""
    run = _run(speed, drift)
    apart = engine != "stock"
    return EngineRun(
        preprocess_sec=run.preprocess_sec,
        vision_sec=run.vision_sec if apart else None,
        prune_sec=run.prune_sec if apart else None,
        prefill_sec=run.prefill_sec if apart else None,
        ttft_sec=run.ttft_sec,
        tpot_sec=run.tpot_sec,
        total_sec=run.total_sec,
    )


def make_method(method: MethodName, frames: int = 8, runs: int = 5, slower: float = 1.0) -> MethodProfile:
    """One method: dense and memory keep every visual token, dense and visual every layer."""
    prunes, discards = method in ("visual", "both"), method in ("memory", "both")
    answer = make_answer(
        frames,
        kept=None if prunes else [196] * frames,
        similarities=SIMILARITIES if discards else [None] * len(SIMILARITIES),
        question="Describe the video.",
        text="a red circle moves left. a blue square stays still."
        if method != "both"
        else "a red circle moves left.",
    )
    speed = SPEED[method] * slower
    return MethodProfile(
        method=method,
        answer=answer,
        runs=tuple(_run(speed, 1 + 0.02 * (index % 3)) for index in range(runs)),
        cost=Cost(
            vision_flops=6_500_000_000,
            prefill_flops=round(9e9 * speed),
            decode_flops_per_token=round(1.9e7 * (0.8 + 0.2 * speed)),
            decode_weight_bytes=24_000_000,
            decode_kv_bytes=answer.memory.kv_bytes,
        ),
    )


def _run(speed: float, drift: float) -> Timings:
    """Stages that sum to the total, as they do when they are measured."""
    preprocess, vision, prune = 0.021 * drift, 0.094 * drift, 0.0013 * drift
    prefill, tpot = 0.18 * speed * drift, 0.01214 * (0.7 + 0.3 * speed) * drift
    ttft = preprocess + vision + prune + prefill
    return Timings(
        load_sec=4.213,
        decode_sec=0.031,
        preprocess_sec=preprocess,
        vision_sec=vision,
        prune_sec=prune,
        prefill_sec=prefill,
        ttft_sec=ttft,
        tpot_sec=tpot,
        total_sec=ttft + (NEW_TOKENS - 1) * tpot,
    )
