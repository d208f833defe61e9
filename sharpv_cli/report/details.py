"""`--verbose`: what runs, on what, and which frames it sees, a line each."""

from __future__ import annotations

from collections.abc import Iterator

from sharpv_cli.report.sizes import Clock, format_seconds
from sharpv_cli.types import Answer, FrameSample, Loaded, ModelInfo, Reading, VideoInfo


def run_details(run: Loaded | Answer) -> list[str]:
    """Lines about the model and the frames of a run. They hold foreign text, unescaped."""
    engine = [engine_detail(run)] if isinstance(run, Answer) else []
    return [*_model(run.model), *engine, _video(run.video), _sampling(run.sample)]


def engine_detail(answer: Reading) -> str:
    """What ran the language model; it is picked with the first question."""
    return f"engine {answer.engine} ({answer.engine_reason})"


def decoding_detail(answer: Answer) -> str:
    """How far decoding was hidden behind other work."""
    if answer.seen:
        return "the video was seen before: nothing was decoded or encoded"
    timing = answer.timing
    return (
        f"decoding took {format_seconds(timing.decode_sec)}, "
        f"of which {format_seconds(timing.decode_wait_sec)} were waited for"
    )


def _model(model: ModelInfo) -> Iterator[str]:
    revision = f", revision {model.revision}" if model.revision else ""
    yield f"model {model.id} ({model.family}{revision})"
    yield f"device {model.device}, {model.dtype}"
    yield f"attention {model.attention} ({model.attention_reason})"


def _video(video: VideoInfo) -> str:
    rate = f", {video.fps:.2f} frames a second" if video.fps else ""
    length = f", {format_seconds(video.duration_sec)}" if video.duration_sec else ""
    return (
        f"video {video.path}: {video.codec} in {video.container}, {video.width}x{video.height}, "
        f"{video.frames_total} frames{length}{rate}"
    )


def _sampling(sample: FrameSample) -> str:
    times = sample.timestamps_sec
    clock = Clock.for_times(times)
    count = "1 frame" if len(sample) == 1 else f"{len(sample)} frames"
    height, width = sample.size
    return (
        f"sampling {sample.strategy}: {count} from {clock.format(times[0])} to {clock.format(times[-1])}, "
        f"decoded at {width}x{height}"
    )
