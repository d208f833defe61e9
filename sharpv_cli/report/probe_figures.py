"""What `sharpv probe` shows, in words and numbers, before any layout."""

from __future__ import annotations

from collections.abc import Iterator

from sharpv_cli.report.figures import Fact
from sharpv_cli.report.sizes import Clock, format_bytes, format_seconds
from sharpv_cli.types import MemoryEstimate, MemoryScenario, ModelOutlook, Outlook, StreamInfo
from sharpv_cli.units import disk_size, parameter_count

VERDICTS = {True: "fits", False: "does not fit", None: "unknown"}


def file_facts(outlook: Outlook) -> Iterator[Fact]:
    """The file as a whole. Values may be foreign text."""
    video = outlook.video
    turned = f", turned by {video.rotation_deg} degrees" if video.rotation_deg else ""
    yield Fact("video", video.path)
    yield Fact("on disk", f"{disk_size(outlook.size_bytes)}, {video.container}")
    yield Fact("shown as", f"{video.width}x{video.height}, {video.codec}{turned}")
    if video.duration_sec is not None:
        yield Fact("duration", format_seconds(video.duration_sec))
    yield Fact("frames", f"{video.frames_total}{_rate(outlook)}")


def _rate(outlook: Outlook) -> str:
    fps = outlook.video.fps
    if fps is None:
        return ""
    return f", {'variable, on average ' if outlook.variable_rate else ''}{fps:.4g} a second"


def stream_fact(stream: StreamInfo) -> Fact:
    """One stream in a line: `stream 0`, `video h264 1920x1080 30/s eng (read)`."""
    size = f"{stream.width}x{stream.height}" if stream.width and stream.height else None
    rate = f"{stream.rate:.6g}/s" if stream.rate else None
    channels = f"{stream.channels} channel{'' if stream.channels == 1 else 's'}" if stream.channels else None
    language = stream.language if stream.language != "und" else None
    parts = (stream.kind, stream.codec, size, rate, channels, language, _use(stream))
    return Fact(f"stream {stream.index}", " ".join(part for part in parts if part))


def _use(stream: StreamInfo) -> str | None:
    if stream.subtitles is None:
        return "(read)" if stream.main else None
    texts = {
        "text": f"(--subtitles {stream.index})",
        "pictures": "(pictures, not read)",
        "other": "(not read)",
    }
    return texts[stream.subtitles]


def subtitle_facts(outlook: Outlook) -> Iterator[Fact]:
    """The files of subtitles beside the video."""
    for file in outlook.subtitle_files:
        yield Fact("beside it", f"{file} (--subtitles auto)")


def plan_facts(outlook: Outlook) -> Iterator[Fact]:
    """The frames that would be taken."""
    times = outlook.plan.timestamps_sec
    clock = Clock.for_times(times)
    yield Fact("frames taken", f"{len(times)}, {outlook.plan.strategy}")
    yield Fact("first and last", f"{clock.format(times[0])} and {clock.format(times[-1])}")


def model_facts(model: ModelOutlook) -> Iterator[Fact]:
    """The model and the tokens that it would be given."""
    context = "unknown" if model.context is None else f"{model.context}"
    size = f"{parameter_count(model.parameters)} parameters, " if model.parameters else ""
    yield Fact("model", model.id)
    yield Fact("known from", f"its {model.source}" if model.source == "folder" else model.source)
    yield Fact("shape", f"{size}{model.layers} layers, {model.family}")
    yield Fact("visual tokens", f"{model.slots} x {model.rows} x {model.columns} = {model.visual_tokens}")
    yield Fact("text tokens", f"about {model.text_tokens}")
    yield Fact("context", context)
    yield Fact("KV a token", format_bytes(model.kv_bytes_per_token))


def need_facts(model: ModelOutlook) -> Iterator[Fact]:
    """What the dense peak is made of, what is free, and whether it fits."""
    available = model.available_bytes
    free = "free memory unknown" if available is None else f"{format_bytes(available)} free"
    first = model.scenarios[0]
    if model.chunk_frames is not None:
        yield Fact("encoded", f"{model.chunk_frames} frames at a time")
    yield Fact("dense peak" if first.name == "dense" else "largest peak", _parts(first.estimate))
    yield Fact("device", f"{model.device}, {model.dtype}, {free}")
    yield verdict(model)


def _parts(estimate: MemoryEstimate) -> str:
    """Of encoding and reading the larger counts: they come one after the other."""
    reading = estimate.prefill + estimate.kv_cache
    frames = format_bytes(estimate.frames)
    fixed = (
        f"weights {format_bytes(estimate.weights)}",
        f"pixels {format_bytes(estimate.pixels)}",
        f"embeddings {format_bytes(estimate.embeddings)}",
        *([f"frames {frames}"] if estimate.one_memory else []),
    )
    work = f"then the larger of encoding {format_bytes(estimate.vision)} and reading {format_bytes(reading)}"
    return f"{', '.join(fixed)}, {work}" + ("" if estimate.one_memory else f"; on the host, frames {frames}")


def scenario_name(scenario: MemoryScenario) -> str:
    """`dense`, or `if 30% are kept`: an example, as what SharpV keeps depends on the video."""
    return "dense" if scenario.name == "dense" else f"if {scenario.retention:.0%} are kept"


def scenario_text(scenario: MemoryScenario) -> str:
    """A scenario in a sentence, for where its row of the table has no room."""
    estimate = scenario.estimate
    return (
        f"{format_bytes(estimate.device_bytes)} at the peak, {VERDICTS[scenario.fits]}; "
        f"{scenario.kept} visual tokens, KV cache {format_bytes(estimate.kv_cache)}"
    )


def verdict(model: ModelOutlook) -> Fact:
    """Whether an answer fits, and what would make it."""
    dense, *pruned = model.scenarios
    if dense.fits is None:
        return Fact("verdict", "it is not known what is free on this device")
    if dense.fits:
        return Fact("verdict", "fits, whatever is kept")
    flags = f"; would fit: {' or '.join(model.advice)}" if model.advice else ""
    if best := next((scenario for scenario in pruned if scenario.fits), None):
        most = "all visual tokens" if dense.name == "dense" else f"{dense.retention:.0%} of the visual tokens"
        return Fact("verdict", f"{most} do not fit, {best.retention:.0%} of them do{flags}")
    return Fact("verdict", f"does not fit{flags}")
