"""Whole pictures from interlaced ones."""

from __future__ import annotations

from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame


def deinterlaced(frame: VideoFrame) -> VideoFrame:
    """The frame's first field in full height, its missing lines interpolated along edges.

    FFmpeg's `estdif` looks at this frame alone. `bwdif` keeps more of what stands still, but its pictures
    depend on the frames before and after, and so on where decoding began.
    """
    graph = Graph()
    graph.threads = 1  # by default one for each core of the machine, started anew for each frame
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or Fraction(1, 25),
    )
    graph.link_nodes(source, graph.add("estdif", "mode=frame:deint=all"), graph.add("buffersink")).configure()
    graph.push(frame)
    graph.push(None)
    out = graph.pull()
    assert isinstance(out, VideoFrame), type(out)
    return out
