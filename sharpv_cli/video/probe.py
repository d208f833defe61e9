"""What a video holds, found by reading all its packets and decoding its first picture: header counts lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sharpv_cli.errors import VideoError
from sharpv_cli.types import VideoInfo
from sharpv_cli.video.colours import colour_warnings
from sharpv_cli.video.declared import Declared, declared, pixel_aspect
from sharpv_cli.video.joined import unread
from sharpv_cli.video.local import FilePath, name_of, notes_of
from sharpv_cli.video.opening import blame_machine, decode, decoded, open_video, packets
from sharpv_cli.video.packets import Packets, check_count
from sharpv_cli.video.picture import Shape
from sharpv_cli.video.plan import Scan
from sharpv_cli.video.reading import survey
from sharpv_cli.video.refusals import dolby_vision, encrypted, picture, shown, undecodable
from sharpv_cli.video.timeline import Timeline, assumed, timed

__all__ = ["Opened", "Scan", "drain", "open_video", "probe", "scan", "scanned"]

Opened = tuple[InputContainer, VideoStream]

_CHECK_EACH = 10_000  # packets
_ASSUMED_FPS = Fraction(25)
_MAX_FPS = 1000
# Containers whose header says how long the video track is, apart from what the packets say.
_WITH_DURATION = {"mov", "matroska", "avi", "flv", "asf"}
# Containers whose seeks land on a keyframe's own time, so that the landing can be checked.
_SEEKABLE = {"mov", "matroska"}
# Raw streams that FFmpeg counts at 25 frames a second, and those of which it knows the rate that they name.
_COUNTED, _WITH_RATE = {"mjpeg", "mpjpeg", "obu"}, {"h264", "hevc"}
_ALPHA = "the video's transparency is not read: what lies under it is shown"
# Decoders that tell by the packet, and leave out on demand, pictures that no other one refers to.
_SKIPPING = {"h264", "mpeg1video", "mpeg2video", "mpeg4"}


def probe(path: FilePath) -> VideoInfo:
    """What the file holds, as its packets say and its first picture shows. Raises VideoError."""
    return scan(path).info


def scan(path: FilePath) -> Scan:
    """Reads every packet, and decodes up to the first picture. Raises VideoError when there is none."""
    with scanned(path) as (plan, _):
        return plan


@contextmanager
def scanned(path: FilePath) -> Iterator[tuple[Scan, Opened]]:
    """The scan, and the file still open: to seek in it is quicker than to open it again."""
    with open_video(path) as (container, stream):
        said = declared(container, stream)
        if said.dolby_vision is not None:
            raise dolby_vision(path, said.dolby_vision)
        check_count(_indexed(container, stream), shown(path))
        found = Packets()
        first, last = None, 0
        for place, packet in enumerate(packets(container, stream)):
            if packet.has_sidedata("encryption_info"):  # what a decoder makes of it can look like pictures
                raise encrypted(path)
            first = _only_picture(packet, stream) if place == 0 else first
            found.add(packet)
            last = max(last, packet.pos or 0)
            if place % _CHECK_EACH == 0:
                found.check(shown(path))
        first = first or _first_picture(path)
        if first is None or len(found) == 0:
            raise _nothing(path, found)
        if len(found) == 1 and container.format.name in ("gif", "apng"):
            raise picture(path)
        joined = unread(path, container.format.name.split(","), last)
        plan = _summary(path, container, stream, found, first, said)
        yield replace(plan, warnings=(*plan.warnings, *joined)), (container, stream)


def _indexed(container: InputContainer, stream: VideoStream) -> int:
    """The packets of which FFmpeg has read where they lie, in containers that say it of all."""
    return len(stream.index_entries) if "mov" in container.format.name else 0


def drain(stream: VideoStream) -> tuple[list[VideoFrame], bool]:
    """What the decoder holds back for reordering, and whether it failed. It takes packets again after a seek."""
    try:
        return stream.codec_context.decode(None), False
    except av.FFmpegError as error:
        blame_machine(error)
        return [], True


def _only_picture(packet: Packet[VideoStream], stream: VideoStream) -> VideoFrame | None:
    """The picture of the first packet, where it is one that needs no other, as nearly always."""
    frames, damaged = decode(packet)
    return next(iter(frames or ([] if damaged else drain(stream)[0])), None)


def _first_picture(path: FilePath) -> VideoFrame | None:
    """The first picture that comes out at all."""
    with open_video(path) as (container, stream):
        return next((frame for _, frames, _ in decoded(container, stream) for frame in frames), None)


def _nothing(path: FilePath, found: Packets) -> VideoError:
    if len(found) == 0:
        return VideoError(f"{shown(path)} holds no frames", hint="the recording or download was cut short")
    return undecodable(path)


def _summary(
    path: FilePath,
    container: InputContainer,
    stream: VideoStream,
    found: Packets,
    first: VideoFrame,
    said: Declared,
) -> Scan:
    time_base = stream.time_base or Fraction(1, 1000)
    formats = container.format.name.split(",")
    rate = _rate(stream, formats)
    keys = np.array([], np.intp)
    timeline = None
    # AVI writes when pictures are decoded; when they are shown is a guess, which is wrong at gaps.
    guessed = formats == ["avi"] and found.uneven
    # MPEG-PS need not write all times; where those derived from them are odd, only the written ones are looked at.
    as_written = formats == ["mpeg"] and (found.doubtful or found.jumpy)
    if not (found.doubtful or guessed or as_written):
        pts, last, places = found.ordered()
        timeline = timed(pts, int(pts[0]), time_base, last * time_base if last > 0 else 1 / rate)
        keys = places if timeline and not _SEEKABLE.isdisjoint(formats) else keys
    if timeline is None and not (guessed or as_written) and (written := _told_by_packets(stream, found)):
        timeline = Timeline.mended(written, time_base, rate)
        if timeline.pts is not None and not _SEEKABLE.isdisjoint(formats):
            keys = found.keys_among(timeline.pts)
    timeline = timeline or _surveyed(path, found, time_base, rate, guessed, as_written)
    shape = Shape.of(first, pixel_aspect(stream, said.crop), said.crop)
    info = VideoInfo(
        path=name_of(path),
        container=_container_name(path, formats),
        codec=stream.codec_context.codec.canonical_name,
        width=shape.width,
        height=shape.height,
        rotation_deg=90 * shape.pose.turns,
        fps=len(timeline) / timeline.end,
        duration_sec=timeline.end,
        frames_total=len(timeline),
    )
    # Where times are wrong, so may be the length that was written with them.
    tells = not timeline.doubts and not _WITH_DURATION.isdisjoint(formats)
    promised = _promised(container, stream, timeline) if tells else 0.0
    hidden = (_ALPHA,) if _has_hidden_alpha(container, stream) else ()
    counted = () if _COUNTED.isdisjoint(formats) else (assumed(rate),)
    doubts = (*hidden, *counted, *timeline.doubts, *timeline.odd, *_cut_short(timeline, promised))
    skips = _can_skip(stream) and not first.interlaced_frame
    return Scan(
        info,
        timeline,
        keys,
        skips,
        time_base,
        rate,
        shape,
        (*notes_of(path), *said.warnings, *colour_warnings(first), *doubts),
        as_written,
    )


def _has_hidden_alpha(container: InputContainer, stream: VideoStream) -> bool:
    """WebM keeps transparency beside its packets, AVIF in a grey stream of its own."""
    if stream.metadata.get("alpha_mode") == "1":
        return True
    greys = (other for other in container.streams.video if other is not stream and other.pix_fmt == "gray")
    return container.metadata.get("major_brand") == "avis" and any(greys)


def _told_by_packets(stream: VideoStream, found: Packets) -> list[int | None] | None:
    """The times as pictures are shown, wrong ones among them, where that can be told without decoding all.

    Where pictures wait for others it takes a guess, which only long videos need.
    """
    if not found.timed:
        return None
    if not stream.codec_context.has_b_frames:
        return found.pts
    return None if found.short else found.in_display_order()


def _surveyed(
    path: FilePath, found: Packets, time_base: Fraction, rate: Fraction, guessed: bool, as_written: bool
) -> Timeline:
    """The timeline of packets with doubtful times: only the decoder tells in which order they are shown.

    Where those are `guessed`, a frame's time is that of the packet at which it came.
    """
    if not found.timed:
        return Timeline.counted(len(found), rate)
    threads, reading = survey(path, as_written=as_written)
    if threads == "NONE" or not reading.pts:
        # An estimate: something else is wrong as well, and whoever decodes it says what.
        return replace(Timeline.mended(found.pts, time_base, rate), written=None, doubts=())
    if guessed:
        return replace(Timeline.mended(reading.dts, time_base, rate), written=reading.pts, doubts=())
    return Timeline.mended(reading.pts, time_base, rate, sparse=as_written)


def _can_skip(stream: VideoStream) -> bool:
    context = stream.codec_context
    if context.name == "hevc":
        # A "sub-layer non-reference" picture may serve a higher temporal layer (ITU-T H.265, 7.4.2.2), which
        # FFmpeg does not look at: there must be one layer only, as hvcC says (ISO 14496-15, 8.3.3.1).
        record = context.extradata or b""
        return len(record) > 21 and record[0] == 1 and record[21] >> 3 & 7 == 1
    return context.name in _SKIPPING


def _rate(stream: VideoStream, formats: list[str]) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate
    if not _WITH_RATE.isdisjoint(formats):
        rate = stream.codec_context.framerate or rate
    return rate if rate and 0 < rate <= _MAX_FPS else _ASSUMED_FPS


def _container_name(path: FilePath, formats: list[str]) -> str:
    """FFmpeg names a family, as `mov,mp4,m4a,...`: the member that the suffix names, or else the first."""
    suffix = Path(name_of(path)).suffix[1:].lower()
    return suffix if suffix in formats else formats[0]


def _promised(container: InputContainer, stream: VideoStream, timeline: Timeline) -> float:
    """How long the header says that the video is, in seconds; 0 or less where it does not say."""
    time_base = stream.time_base or Fraction(0)
    if stream.duration:
        return float(stream.duration * time_base)
    # Matroska says when the video ends, also where it does not begin at 0.
    start = 0.0 if timeline.pts is None else float(int(timeline.pts[0]) * time_base)
    if tag := stream.metadata.get("DURATION"):
        return _clock_seconds(tag) - start
    only = len(container.streams) == 1
    return container.duration / 1_000_000 - start if only and container.duration else 0.0


def _clock_seconds(text: str) -> float:
    """Seconds of a Matroska tag such as `00:00:04.000000000`; 0 where it is something else."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return 0.0
    return hours * 3600 + minutes * 60 + seconds


def _cut_short(timeline: Timeline, promised: float) -> tuple[str, ...]:
    # A tenth of a second and one in a hundred: headers round, and the last frame's duration is a guess.
    if promised * 0.99 - 0.1 <= timeline.end:
        return ()
    return (f"only {timeline.end:.1f} s of {promised:.1f} s can be read: the file is cut short or damaged",)
