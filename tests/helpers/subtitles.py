"""Films with subtitles of each kind, made with PyAV."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

HEADER = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
SRT = """1
00:00:00,500 --> 00:00:01,500
Hello <i>there</i>

2
00:00:02,000 --> 00:00:03,000
{\\an8}second <font color="red">line</font>
and more
"""
VTT = """WEBVTT

00:00.500 --> 00:01.500
<v Roger>Hello <b>there</b>

note
00:02.000 --> 00:03.000 align:start
second line &amp; more
"""
ASS = f"""{HEADER}Dialogue: 0,0:00:00.50,0:00:01.50,Default,,0,0,0,,{{\\b1}}Hello{{\\b0}} there
Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{{\\p1}}m 0 0 l 9 9{{\\p0}}second\\Nline
"""


def pgs(count: int = 2) -> bytes:
    """Pictures of text as Blu-rays have them, without any picture in them."""
    segments = b""
    for number in range(count):
        body = struct.pack(">HHBHBBBB", 320, 240, 0x10, number, 0x80, 0, 0, 0)
        for kind, content in ((0x16, body), (0x80, b"")):
            segments += b"PG" + struct.pack(">IIBH", 90_000 * (number + 1), 0, kind, len(content)) + content
    return segments


def add_tracks(film: Path, out: Path, tracks: Sequence[tuple[str, str | bytes]]) -> Path:
    """The film's video with text or pictures as further streams, each with its language."""
    with av.open(str(film)) as source, av.open(str(out), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        streams = []
        for language, content in tracks:
            kind = "sup" if isinstance(content, bytes) else "webvtt" if content.startswith("WEB") else None
            kind = kind or ("ass" if isinstance(content, str) and content.startswith("[") else "srt")
            data = content if isinstance(content, bytes) else content.encode()
            read = av.open(io.BytesIO(data), format=kind)
            stream = target.add_stream_from_template(read.streams.subtitles[0])
            stream.metadata["language"] = language
            streams.append((read, stream))
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        for read, stream in streams:
            for packet in read.demux():
                if packet.pts is not None:
                    packet.stream = stream
                    target.mux(packet)
    return out


def add_mov_text(film: Path, out: Path, texts: Sequence[tuple[float, float, str]]) -> Path:
    """An MP4 with text from one second to another each."""
    with av.open(str(film)) as source, av.open(str(out), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        stream = target.add_stream("mov_text")
        stream.codec_context.subtitle_header = HEADER.encode()
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.metadata["language"] = "fra"
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        for start, end, text in texts:
            data = text.encode()
            packet = av.Packet(struct.pack(">H", len(data)) + data)
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = round(start * 1000)
            packet.duration = round((end - start) * 1000)
            packet.stream = stream
            target.mux(packet)
    return out
