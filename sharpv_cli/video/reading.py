"""One reading of a file from its beginning, frame by frame: it needs no index, and survives damage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from av.video.frame import VideoFrame

from sharpv_cli.video.local import FilePath
from sharpv_cli.video.opening import decoded, open_video
from sharpv_cli.video.picture import render
from sharpv_cli.video.sinks import NoPictures, Sink

Threads = Literal["AUTO", "NONE"]


@dataclass(slots=True)
class Reading:
    """One reading: the times of the frames that came out, as written; pictures of the wanted ones go to `sink`.

    `dts` are the decoding times of the packets at which they came; those that come after the last have none.

    `damage` counts packets that are marked as damaged or that the decoder refused, and frames that it marked.
    A reading with `promised` times ends at the first damage, or at the first frame with another time.
    """

    wanted: tuple[int, ...]
    sink: Sink
    promised: list[int | None] | None
    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    filled: int = 0
    damage: int = 0

    def take(self, frame: VideoFrame) -> None:
        place = len(self.pts)
        self.pts.append(frame.pts)
        self.dts.append(frame.dts)
        self.damage += frame.is_corrupt
        if not self.lost and self.filled < len(self.wanted) and self.wanted[self.filled] == place:
            self.sink.put(self.filled, render(frame, *self.sink.size, self.sink.pose))
            self.filled += 1

    @property
    def lost(self) -> bool:
        """Whether a promise was broken."""
        if self.promised is None:
            return False
        came = len(self.pts)
        return self.damage > 0 or (came > 0 and self.pts[-1] != self.promised[came - 1])

    @property
    def as_promised(self) -> bool:
        return not self.lost and self.pts == self.promised

    @property
    def done(self) -> bool:
        return self.lost or (bool(self.wanted) and self.filled == len(self.wanted))


def read_through(
    path: FilePath,
    wanted: tuple[int, ...],
    threads: Threads,
    sink: Sink,
    promised: list[int | None] | None = None,
    *,
    as_written: bool = False,
) -> Reading:
    """Decodes up to the last wanted frame, or everything when none is wanted."""
    run = Reading(wanted, sink, promised)
    with open_video(path, as_written=as_written) as (container, stream):
        stream.codec_context.thread_type = threads
        if threads == "AUTO":
            # Threads hand out frames before they mark them: only an error at the damage is sure to be seen.
            stream.codec_context.options |= {"err_detect": "explode"}
        for packet, frames, refused in decoded(container, stream):
            run.damage += refused or packet.is_corrupt
            for frame in frames:
                run.take(frame)
                if run.done:
                    return run
    return run


def survey(path: FilePath, *, as_written: bool = False) -> tuple[Threads, Reading]:
    """All frames that come out, without their pictures, and the threads to get the same ones again."""
    survey = read_through(path, (), "AUTO", NoPictures(), as_written=as_written)
    if not survey.damage:
        return "AUTO", survey
    # With more threads the decoders conceal the same damage in other ways, and report less of it.
    return "NONE", read_through(path, (), "NONE", NoPictures(), as_written=as_written)
