"""What a file holds beside its main video: every stream, as the header describes it."""

from __future__ import annotations

from av.codec.context import CodecContext
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from sharpv_cli.types import StreamInfo
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.opening import open_video
from sharpv_cli.video.subtitles import kind_of


def streams(path: FilePath) -> tuple[StreamInfo, ...]:
    """The streams in the file's order. Raises VideoError for what `probe` refuses when it opens the file."""
    with open_video(path) as (container, main):
        return tuple(_described(stream, main.index) for stream in container.streams)


def _described(stream: Stream, main: int) -> StreamInfo:
    context = getattr(stream, "codec_context", None)  # streams of data have none
    rate = getattr(stream, "average_rate", None) or getattr(context, "sample_rate", None)
    return StreamInfo(
        index=stream.index,
        kind=stream.type or "unknown",
        codec=_codec(context),
        width=getattr(context, "width", None) or None,
        height=getattr(context, "height", None) or None,
        rate=float(rate) if rate else None,
        channels=getattr(context, "channels", None) or None,
        language=stream.metadata.get("language"),
        main=stream.index == main,
        subtitles=kind_of(stream) if isinstance(stream, SubtitleStream) else None,
    )


def _codec(context: CodecContext | None) -> str | None:
    return context.codec.canonical_name if context is not None else None
