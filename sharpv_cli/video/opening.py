"""Opening a file for FFmpeg to read: nothing but this file is opened, and the cost of decoding is limited."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sharpv_cli import shortage
from sharpv_cli.errors import VideoError
from sharpv_cli.video.jpegs import is_jpeg_film
from sharpv_cli.video.local import FilePath, limits_of
from sharpv_cli.video.refusals import (
    check_packed,
    check_pixels,
    claimed_size,
    picture,
    read_head,
    shown,
    unreadable,
)
from sharpv_cli.video.routes import is_small, threads_inside
from sharpv_cli.video.signatures import is_still_heif

TIMEOUT_SEC = 30.0

# Playlists, scripts and network formats stay out: they open other files. The last line can hold no video
# and is there only so that the refusal can say what the file is.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,gif,apng,h264,hevc,ivf,obu,mjpeg,"
    "mpjpeg,mxf,gxf,dv,yuv4mpegpipe,nut,"
    "mp3,wav,flac,aac,srt,ass,webvtt"
)
_DECODERS = (
    "h264,hevc,vp8,vp9,libdav1d,av1,mpeg1video,mpeg2video,mpeg4,msmpeg4,msmpeg4v2,msmpeg4v3,h263,flv,wmv1,wmv2,wmv3,"
    "vc1,mjpeg,png,apng,gif,theora,prores,dnxhd,ffv1,rawvideo,cinepak,dvvideo"
)
# An hour of pictures that cannot be decoded; each refusal costs more than a picture does.
_MOST_REFUSED = 100_000
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": _FORMATS,
    "max_streams": "64",
    "correct_ts_overflow": "0",  # one wrong time at the beginning would move all others by 26 hours; see clock
}
# Nothing is derived from the times that are there: one wrong time would move the frames that have none.
_AS_WRITTEN = {"fflags": "nofillin"}


@contextmanager
def open_video(path: FilePath, *, as_written: bool = False) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The open container and its main video stream, ready to demux and decode; closed at the end.

    Frames of which the file does not write the time get a derived one, unless they are asked for `as_written`.

    Raises VideoError when the file cannot be used, also in place of an FFmpeg error that escapes the body.
    """
    head = read_head(path)
    check_packed(path, head)
    if is_still_heif(head):
        raise picture(path)
    with _open(path, head, as_written) as container:
        stream = _main_stream(path, container)
        _limit(path, container, stream, head)
        try:
            yield container, stream
        except av.FFmpegError as error:
            raise VideoError(f"{shown(path)} cannot be read: {error.strerror}") from error


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The stream's packets in file order, the empty one that flushes the decoder included.

    A read error ends them as the end of the file would: what came before it is good.
    """
    try:
        yield from container.demux(stream)
    except av.FFmpegError as error:
        blame_machine(error)
    except IndexError:
        return  # PyAV stumbles over a stream that begins late (FLV), after all of ours


def blame_machine(error: av.FFmpegError) -> None:
    """Raises ShortageError where an error is no sign of damage."""
    what = shortage.lack(error) or (None if shortage.has_memory() else shortage.MEMORY)
    if what is not None:
        raise shortage.short(what, "decoding") from error


def decode(packet: Packet[VideoStream]) -> tuple[list[VideoFrame], bool]:
    """The frames that come out after this packet, and whether the decoder called it damaged.

    An empty packet may raise too (Theora says "repeat the last frame" with one); that is no damage.
    """
    try:
        return packet.decode(), False
    except av.FFmpegError as error:
        blame_machine(error)
        return [], packet.size > 0


def decoded(
    container: InputContainer, stream: VideoStream
) -> Iterator[tuple[Packet[VideoStream], list[VideoFrame], bool]]:
    """Each packet with what `decode` makes of it; they end where the decoder refuses very many in a row."""
    in_a_row = 0
    for packet in packets(container, stream):
        frames, refused = decode(packet)
        yield packet, frames, refused
        in_a_row = in_a_row + 1 if refused and not frames else 0
        if in_a_row == _MOST_REFUSED:
            return


# Titles and the like are not always UTF-8, and nobody reads them here. PyAV 19 has no such argument any more.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def _open(path: FilePath, head: bytes, as_written: bool) -> InputContainer:
    # `file:` and an absolute path: a name such as `concat:a.mp4` or `http:x` would be taken for a protocol.
    url = f"file:{Path(path).absolute()}"
    try:
        options = {**_OPTIONS, "max_pixels": str(limits_of(path).max_pixels)}
        options |= _AS_WRITTEN if as_written else {}
        # Of large pictures FFmpeg sees only the first before it has to say what the file is.
        kind = "mjpeg" if is_jpeg_film(path, head) else None
        container: InputContainer = av.open(
            url, "r", format=kind, options=options, timeout=TIMEOUT_SEC, **_LENIENT
        )
    except av.ExitError as error:
        raise VideoError(
            f"opening {shown(path)} took longer than {TIMEOUT_SEC:.0f} s",
            hint="copy it to a local disk first",
        ) from error
    except av.FFmpegError as error:
        raise unreadable(path, head) from error
    return container


def _main_stream(path: FilePath, container: InputContainer) -> VideoStream:
    films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not films:
        raise _no_video(path, container)
    best = container.streams.best("video")
    return next((s for s in films if s is best), films[0])


def _no_video(path: FilePath, container: InputContainer) -> VideoError:
    holds = []
    for audio in container.streams.audio:
        codec = audio.codec_context.codec.canonical_name if audio.codec_context else "of an unknown codec"
        holds.append(f"audio only: {codec}" + _length(container))
    if container.streams.subtitles:
        holds.append("it holds subtitles")
    if container.streams.video:
        holds.append("its only picture is cover art")
    reason = f" ({'; '.join(holds)})" if holds else ""
    hint = "give a file with a video track" if holds else "the file may have been cut short"
    return VideoError(f"{shown(path)} has no video{reason}", hint=hint)


def _length(container: InputContainer) -> str:
    return f", {container.duration / av.time_base:.1f} s" if container.duration else ""


def _limit(path: FilePath, container: InputContainer, stream: VideoStream, head: bytes) -> None:
    """Limits on the decoder itself: those given to the container do not reach it."""
    context = stream.codec_context
    if context is None or context.name not in _DECODERS.split(","):
        codec = context.codec.canonical_name if context is not None else "an unknown codec"
        raise VideoError(
            f"{shown(path)} is encoded as {codec}, which is not read", hint="convert it to H.264"
        )
    width, height = (context.width, context.height) if context.width else claimed_size(head)
    check_pixels(path, width, height)
    context.options = {"max_pixels": str(limits_of(path).max_pixels), "codec_whitelist": _DECODERS}
    context.thread_type = "AUTO"
    claimed = width * height * _claimed_frames(container, stream)
    context.thread_count = 1 if claimed > 0 and is_small(claimed) else threads_inside()


def _claimed_frames(container: InputContainer, stream: VideoStream) -> int:
    """As the header says; 0 where it does not."""
    length, rate = container.duration, stream.average_rate
    return stream.frames or (math.ceil(length / av.time_base * rate) if length and rate else 0)
