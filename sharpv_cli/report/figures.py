"""What a report shows, in words and numbers, before any layout: the chart and the Markdown table share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby

from sharpv_cli.report.sizes import Clock, format_bytes, format_percent, format_seconds
from sharpv_cli.types import Answer, Choice, FrameRetention, LayerReport, Reading

MAX_ROWS = 32
_SIMILARITY_DIGITS = range(2, 6)


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One frame or several neighbouring ones: visual tokens kept and in total, and the times they span."""

    first_sec: float
    last_sec: float
    kept: int
    total: int

    @property
    def ratio(self) -> float:
        return self.kept / self.total

    def time(self, clock: Clock, dash: str) -> str:
        """`0:00.5`, or `0:00.5-0:03.5` where the row stands for several frames."""
        first, last = clock.format(self.first_sec), clock.format(self.last_sec)
        return first if self.first_sec == self.last_sec else f"{first}{dash}{last}"


@dataclass(frozen=True, slots=True)
class LayerRow:
    """Decoder layers with the same verdict: neighbours, or where they are `counted` (`12 of 28`) any.

    `similarity` is their (lowest, highest), None where no layer was measured.
    """

    first: int
    last: int
    similarity: tuple[float, float] | None
    visual_kv_kept: bool
    kv_bytes: int
    counted: str | None = None
    digits: int = 2

    def numbers(self, dash: str) -> str:
        if self.counted is not None:
            return self.counted
        return f"{self.first}" if self.first == self.last else f"{self.first}{dash}{self.last}"

    @property
    def similarity_text(self) -> str:
        if self.similarity is None:
            return "not measured"
        low, high = (f"{value:.{self.digits}f}" for value in self.similarity)
        return low if low == high else f"{low} to {high}"

    @property
    def verdict(self) -> str:
        return verdict(self)


@dataclass(frozen=True, slots=True)
class Fact:
    """A named figure."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of time in seconds, from where its group begins."""

    label: str
    start: float
    seconds: float
    told: str

    @property
    def text(self) -> str:
        return format_seconds(self.seconds)

    def document(self) -> dict[str, object]:
        """As the report page has it."""
        return {**asdict(self), "text": self.text}


def frame_rows(retention: Sequence[FrameRetention], limit: int = MAX_ROWS) -> list[FrameRow]:
    """At most `limit` rows. Each stands for the same number of frames (the last for what is left)."""
    size = -(-len(retention) // limit)
    groups = (retention[start : start + size] for start in range(0, len(retention), size))
    return [
        FrameRow(
            first_sec=group[0].timestamp_sec,
            last_sec=group[-1].timestamp_sec,
            kept=sum(frame.kept for frame in group),
            total=sum(frame.total for frame in group),
        )
        for group in groups
    ]


def layer_rows(reading: Reading) -> list[LayerRow]:
    """One row a run of neighbouring layers with the same verdict."""
    runs = groupby(reading.layers, key=lambda layer: layer.visual_kv_kept)
    digits = similarity_digits(reading.layers, reading.m)
    return [_layer_row(tuple(run), kept, digits) for kept, run in runs]


def verdict_rows(reading: Reading) -> list[LayerRow]:
    """One row a verdict, however the layers alternate."""
    layers, digits = reading.layers, similarity_digits(reading.layers, reading.m)
    verdicts = dict.fromkeys(layer.visual_kv_kept for layer in layers)
    groups = [(kept, tuple(one for one in layers if one.visual_kv_kept == kept)) for kept in verdicts]
    counted = [f"{len(run)} of {len(layers)}" for _, run in groups]
    rows = [_layer_row(run, kept, digits) for kept, run in groups]
    return [replace(row, counted=count) for row, count in zip(rows, counted, strict=True)]


def _layer_row(run: tuple[LayerReport, ...], kept: bool, digits: int) -> LayerRow:
    measured = [layer.similarity for layer in run if layer.similarity is not None]
    return LayerRow(
        first=run[0].layer,
        last=run[-1].layer,
        similarity=(min(measured), max(measured)) if measured else None,
        visual_kv_kept=kept,
        kv_bytes=sum(layer.kv_bytes for layer in run),
        digits=digits,
    )


def similarity_digits(layers: Sequence[LayerReport], m: float | None) -> int:
    """As many as it takes to see on which side of M each layer lies."""
    measured = [layer.similarity for layer in layers if layer.similarity is not None]
    if m is None:
        return _SIMILARITY_DIGITS.start
    for digits in _SIMILARITY_DIGITS:
        if all((round(value, digits) >= m) == (value >= m) for value in measured):
            return digits
    return _SIMILARITY_DIGITS.stop


def similarity_head(m: float | None) -> str:
    """What heads similarities: with the M that they are compared with."""
    return "similarity" if m is None else f"similarity (M {m:g})"


def clock_of(answer: Reading) -> Clock:
    """The clock that tells the answer's frames apart."""
    return Clock.for_times([frame.timestamp_sec for frame in answer.retention])


def budgets(answer: Reading) -> tuple[tuple[str, float], tuple[str, float]]:
    """The two budgets with the names that keep them apart, as ratios in [0, 1]."""
    return ("visual retention", answer.visual_retention), ("KV retention", answer.memory.kv_retention)


def verdict(layer: LayerReport | LayerRow) -> str:
    return "kept" if layer.visual_kv_kept else "discarded"


def headline(answer: Answer) -> str:
    """What pruning left of tokens and memory, in plain words."""
    kept, total, memory = answer.visual_kept, answer.visual_total, answer.memory
    tokens = f"all {total}" if kept == total else f"{kept} of {total}"
    share = "" if kept == total else f" ({format_percent(answer.visual_retention)})"
    dense, now = format_bytes(memory.kv_dense_bytes), format_bytes(memory.kv_bytes)
    return f"answered from {tokens} picture tokens{share}; KV cache {dense if dense == now else f'{dense} to {now}'}"


def same_frames(one: Answer, other: Answer) -> bool:
    """Whether both answers were given from the same pictures, with the same tokens kept."""
    return one.sample is other.sample and bool((one.keep == other.keep).all())


def layers_told(answer: Reading) -> str:
    """How many layers discarded their visual entries, and by what threshold."""
    discarded, count = sum(not layer.visual_kv_kept for layer in answer.layers), len(answer.layers)
    if answer.m is None:
        return f"Memory SharpV is off: all {count} layers keep their picture entries."
    if not discarded:
        return f"All {count} layers keep their picture entries: no similarity is below M = {answer.m:g}."
    return f"{discarded} of {count} layers discarded their picture entries: their similarity is below M = {answer.m:g}."


def waterfall(answer: Answer) -> Iterator[tuple[str, tuple[Stage, ...]]]:
    """Groups of stages, each on a scale of its own: what an earlier question may have paid for, then the answer's."""
    timing = answer.timing
    if timing.load_sec or timing.decode_sec:
        beside = (
            Stage("model load", 0.0, timing.load_sec, "the weights, from disk to where they run"),
            Stage("video decode", 0.0, timing.decode_sec, "sampled frames out of the file"),
        )
        needed = tuple(stage for stage in beside if stage.seconds)
        yield "Side by side, once" if len(needed) == 2 else "Once for the video", needed
    yield "From frames to the answer", tuple(_stages(answer))


_STAGES = (
    ("preprocess", "preprocess_sec", "frames made ready for the model"),
    ("vision", "vision_sec", "frames to picture tokens"),
    ("prune", "prune_sec", "Visual SharpV scores the tokens and keeps the best"),
    ("prefill", "prefill_sec", "the language model reads what was kept; Memory SharpV discards"),
)


def _stages(answer: Answer) -> Iterator[Stage]:
    """One after the other; up to the first token what is left of TTFT is waiting and the token itself."""
    timing, start = answer.timing, 0.0
    for label, name, told in _STAGES:
        seconds = getattr(timing, name)
        yield Stage(label, start, seconds, told)
        start += seconds
    yield Stage("first token", start, max(0.0, timing.ttft_sec - start), "the rest of TTFT")
    if timing.tpot_sec is not None:
        more = answer.generated_tokens - 1
        told = (
            f"{more} more {'token' if more == 1 else 'tokens'}, {format_seconds(timing.tpot_sec)} each (TPOT)"
        )
        yield Stage("answer", max(start, timing.ttft_sec), timing.tpot_sec * more, told)


def cost_facts(answer: Answer) -> Iterator[tuple[Fact, Fact]]:
    """Memory and time, in pairs that are read together. Nothing here is foreign text."""
    memory, timing = answer.memory, answer.timing
    tpot = "one token only" if timing.tpot_sec is None else format_seconds(timing.tpot_sec)
    yield (
        Fact("KV bytes dense", format_bytes(memory.kv_dense_bytes)),
        Fact("KV bytes now", format_bytes(memory.kv_bytes)),
    )
    yield Fact("TTFT", format_seconds(timing.ttft_sec)), Fact("TPOT", tpot)
    if timing.load_sec or timing.decode_sec:  # neither, where an earlier question paid for them
        yield (
            Fact("model load", format_seconds(timing.load_sec)),
            Fact("video decode", format_seconds(timing.decode_sec)),
        )


def margin(choices: Sequence[Choice]) -> str:
    """How far the choice that was taken is ahead of the next one. Its texts are foreign."""
    first, second = sorted(choices, key=lambda choice: -choice.probability)[:2]
    ahead = format_percent(first.probability - second.probability)
    return f"{first.text} {format_percent(first.probability)}, ahead of {second.text} by {ahead}"


def model_facts(answer: Reading) -> Iterator[Fact]:
    """Which model ran, where and how. The values are foreign text: escape them as the target needs."""
    model = answer.model
    yield Fact("model", model.id)
    yield Fact("device", f"{model.device}, {model.dtype}")
    reason = f" ({model.attention_reason})" if model.attention_reason else ""
    yield Fact("attention", f"{model.attention}{reason}")
    yield Fact(
        "engine", f"{answer.engine} ({answer.engine_reason})" if answer.engine_reason else answer.engine
    )
