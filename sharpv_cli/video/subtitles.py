"""Subtitles: which ones are meant, in the file or beside it, and their cues. Runs in the child that reads videos."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream

from sharpv_cli.errors import UsageError
from sharpv_cli.types import Cue, Subtitles
from sharpv_cli.video.languages import same_language
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.opening import open_video
from sharpv_cli.video.refusals import shown
from sharpv_cli.video.subtitle_files import beside, format_of, text_of

# By FFmpeg's names of the codecs.
TEXTS = {"mov_text", "subrip", "ass", "webvtt", "text"}
PICTURES = {
    "hdmv_pgs_subtitle": "PGS",
    "dvd_subtitle": "DVD (VobSub)",
    "dvb_subtitle": "DVB",
    "xsub": "XSUB",
}
_MOST_PACKETS = 200_000
_MOST_CUES = 20_000
_MOST_CHARACTERS = 500  # of one cue: several lines of a screen
_DRAWING = re.compile(r"\{[^}]*\\p[1-9][^}]*\}.*?(?:\{[^}]*\\p0[^}]*\}|$)", re.DOTALL)
_TAG = re.compile(r"\{[^}]*\}")
_BREAK = re.compile(r"\\[Nnh]|\s+")
_FILE_OPTIONS = {"format_whitelist": "srt,ass,webvtt", "protocol_whitelist": ""}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Subtitles in a file beside the video, or in the stream of that index inside of it."""

    name: str
    language: str | None
    file: str | None = None
    index: int = -1


def choose(path: FilePath, wanted: str) -> tuple[Chosen | None, tuple[str, ...]]:
    """What `wanted` means for this video: `auto`, a file, a stream's index or a language; or why `auto` finds none.

    A file beside the video comes before what is inside. Raises UsageError where what is named is not there, or is no
    text, and VideoError.
    """
    if wanted != "auto" and _is_file(wanted):
        return Chosen(wanted, None, wanted), ()
    files = beside(path)
    found = [file for file in files if wanted == "auto" or same_language(wanted, file.language)]
    if found:
        return Chosen(found[0].path, found[0].language, found[0].path), ()
    with open_video(path) as (container, _):
        return _inside(path, container, wanted)


def _is_file(wanted: str) -> bool:
    """Whether it is written as the name of a file, or is one."""
    written = bool(Path(wanted).suffix) or "/" in wanted
    return written or (not wanted.isdecimal() and os.path.isfile(wanted))  # noqa: PTH113 - never raises


def read_subtitles(path: FilePath, wanted: str, stretch: tuple[float, float]) -> Subtitles:
    """The cues on screen from one second of the video to another. Raises UsageError and VideoError, as `choose`."""
    chosen, warnings = choose(path, wanted)
    if chosen is None:
        return Subtitles("", "", None, (), warnings)
    if chosen.file is not None:
        return _of_file(chosen.file, chosen.language, stretch)
    with open_video(path) as (container, main):
        stream = container.streams[chosen.index]
        assert isinstance(stream, SubtitleStream)
        begin = float((main.start_time or 0) * (main.time_base or 0))
        return _cues(container, stream, chosen, stretch, begin)


def _inside(path: FilePath, container: InputContainer, wanted: str) -> tuple[Chosen | None, tuple[str, ...]]:
    streams = list(container.streams.subtitles)
    if wanted.isdecimal():
        streams = [stream for stream in streams if stream.index == int(wanted)]
    elif wanted != "auto":
        streams = [stream for stream in streams if same_language(wanted, stream.metadata.get("language"))]
    texts = [stream for stream in streams if codec_of(stream) in TEXTS]
    if texts:
        best = next((one for one in texts if one.disposition & Disposition.default), texts[0])
        return Chosen(f"stream {best.index}", best.metadata.get("language"), index=best.index), ()
    if wanted == "auto":
        return None, (f"no subtitles are used: {_why_not(path, container)}",)
    if streams:
        raise UsageError(f"--subtitles {wanted}: {_told(streams[0])}", hint=_why_not(path, container))
    raise UsageError(f"--subtitles {wanted}: {shown(path)} has none", hint=_why_not(path, container))


def _why_not(path: FilePath, container: InputContainer) -> str:
    told = [_told(stream) for stream in container.streams.subtitles]
    return f"{shown(path)} holds {'; '.join(told) or 'no subtitles'}; no file beside it has its name"


def _told(stream: SubtitleStream) -> str:
    codec, language = codec_of(stream), stream.metadata.get("language")
    spoken = f" ({language})" if language else ""
    if codec in TEXTS:
        return f"stream {stream.index}{spoken}: {codec}"
    if kind := PICTURES.get(codec):
        return f"stream {stream.index}{spoken}: {kind} subtitles, which are pictures and are not read"
    return f"stream {stream.index}{spoken}: subtitles as {codec}, which are not read"


def codec_of(stream: SubtitleStream) -> str:
    """FFmpeg's name of the codec, whatever decodes it."""
    return "an unknown codec" if stream.codec_context is None else stream.codec_context.codec.canonical_name


def kind_of(stream: SubtitleStream) -> Literal["text", "pictures", "other"]:
    """What the stream's subtitles are: only text is read."""
    codec = codec_of(stream)
    return "text" if codec in TEXTS else "pictures" if codec in PICTURES else "other"


def _of_file(file: str, language: str | None, stretch: tuple[float, float]) -> Subtitles:
    text = text_of(file)
    kind = format_of(text)
    chosen = Chosen(file, language, file)
    try:
        with av.open(io.BytesIO(text.encode()), "r", format=kind, options=_FILE_OPTIONS) as container:
            stream = container.streams.subtitles[0]
            found = _cues(container, stream, chosen, stretch, 0.0)
    except (av.FFmpegError, IndexError) as error:
        raise UsageError(f"--subtitles {shown(file)}: no subtitles that can be read", hint=_FORMS) from error
    return found


_FORMS = "SubRip (.srt), WebVTT (.vtt) and ASS (.ass) are read"


def _cues(
    container: InputContainer,
    stream: SubtitleStream,
    chosen: Chosen,
    stretch: tuple[float, float],
    begin: float,
) -> Subtitles:
    found: list[Cue] = []
    warnings = []
    for count, (start, end, text) in enumerate(_texts(container, stream, begin, stretch), start=1):
        if text:
            found.append(Cue(start, end, text))
        if len(found) == _MOST_CUES or count == _MOST_PACKETS:
            warnings.append(f"only the first {count} cues of {shown(chosen.name)} are read")
            break
    found.sort(key=lambda cue: (cue.start_sec, cue.end_sec))
    return Subtitles(chosen.name, codec_of(stream), chosen.language, tuple(found), tuple(warnings))


def _texts(
    container: InputContainer, stream: SubtitleStream, begin: float, stretch: tuple[float, float]
) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of each packet; no text where it is not on screen, or cannot be decoded."""
    for packet in _packets(container, stream):
        if packet.pts is None or packet.time_base is None:
            continue
        start = float(packet.pts * packet.time_base) - begin
        end = start + float((packet.duration or 0) * packet.time_base)
        seen = start <= stretch[1] and end >= max(stretch[0], 0.0) and end > start
        yield max(start, 0.0), end, _text(packet) if seen else ""


def _packets(container: InputContainer, stream: SubtitleStream) -> Iterator[Packet[SubtitleStream]]:
    """Up to the end, or to where the file is damaged."""
    packets = container.demux(stream)
    while True:
        try:
            yield next(packets)
        except (StopIteration, av.FFmpegError, IndexError):
            return


def _text(packet: Packet[SubtitleStream]) -> str:
    try:
        parts = [bytes(getattr(part, "dialogue", b"")) for part in packet.decode()]
    except (av.FFmpegError, ValueError):
        return ""
    return plain(" ".join(part.decode("utf-8", "replace") for part in parts))


def plain(dialogue: str) -> str:
    """The words of a line of ASS on one line: without drawings, mark-up and hard breaks."""
    words = _TAG.sub("", _DRAWING.sub("", dialogue[: _MOST_CHARACTERS * 8]))
    return _BREAK.sub(" ", words).strip()[:_MOST_CHARACTERS]
