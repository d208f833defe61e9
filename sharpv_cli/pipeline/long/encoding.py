"""Preprocessing and encoding of a long clip: each chunk is looked at once, and what pruning may keep of it is held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.engine.device import synchronize
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.assembling import reworded
from sharpv_cli.models.prompting import frame_inputs
from sharpv_cli.models.wording import Wording, chunk_options, wordings_of_long
from sharpv_cli.pipeline.aside import take_aside
from sharpv_cli.pipeline.clip import Clip, Encoded, Encoding
from sharpv_cli.pipeline.long.holding import HeldTokens
from sharpv_cli.pipeline.selecting import require_room, room_for
from sharpv_cli.types import FrameSample, StageStarted
from sharpv_cli.video.frames import Chunks
from sharpv_cli.video.sinks import Take
from sharpv_cli.video.thumbnails import fill


def reword(encoded: Encoded, new: Wording) -> Encoded:
    """The prompt of another question about a clip that came in chunks."""
    assert encoded.words is not None
    whole = reworded(encoded.clip.loaded, encoded.whole, encoded.words, new)
    return replace(encoded, whole=whole, words=new)


def encode_chunks(clip: Clip, frames: Chunks, question: str, clock: StageClock) -> Encoding:
    """The whole prompt, of which only what may be kept is held; the frames are taken, and do not come again."""
    # Nothing waits for the device between two chunks, so stages are those of the host, and vision takes the rest.
    own = StageClock()
    with own.stage("all"):
        coming = _Coming(clip, question, own)
        yield StageStarted("vision")
        while (item := (yield from take_aside(frames.get, frames.abandon))) is not None:
            if isinstance(item, Take):
                coming = _Coming(clip.of(item), question, own)
            else:
                coming.add(item)
        encoded = coming.encoded()
        synchronize(clip.loaded.device)
    _settle(clock, own, frames)
    return encoded


def _settle(clock: StageClock, own: StageClock, frames: Chunks) -> None:
    """Enter the seconds of `own` into `clock`."""
    spent = own.seconds
    vision = spent["all"] - spent["preprocess"] - spent["prune"] - frames.waited_sec
    entries = {
        "preprocess": spent["preprocess"],
        "vision": vision,
        "prune": spent["prune"],
        "decode": frames.busy_sec,
        "decode_wait": frames.waited_sec,
    }
    for name, seconds in entries.items():
        clock.seconds[name] += seconds


class _Coming:
    """A clip while its chunks come: each is prepared, encoded, scored, and gone but for what may be kept.

    Raises UsageError and ResourceError before the first chunk for all that is known by then.
    """

    def __init__(self, clip: Clip, question: str, clock: StageClock) -> None:
        self._clip, self._clock = clip, clock
        with clock.stage("preprocess"):
            self._wordings = wordings_of_long(
                clip.loaded, clip.info, clip.sample, clip.sample.size, clip.prompt
            )
            self._words = self._wordings.of(question)
        if clip.settings.visual.mode == "off":
            self._require_room(self._words.layout.slots.numel())
        self._held = HeldTokens(clip.loaded, self._words, clip.settings.visual, self._room)
        self._done = 0

    def add(self, images: NDArray[np.uint8]) -> None:
        """The next frames, uint8 RGB [n, H, W, 3]."""
        clip = self._clip
        with self._clock.stage("preprocess"):
            inputs = frame_inputs(
                clip.loaded,
                clip.info,
                self._part(images),
                self._words.text,
                on_device=clip.on_device,
                options=chunk_options(clip.loaded, len(images), len(clip.sample)),
            )
        chunk = clip.capture(inputs)
        with self._clock.stage("prune"):
            self._held.add(chunk)
        if clip.settings.visual.mode == "manual":
            self._require_room(self._held.count, so_far=True)

    def encoded(self) -> Encoded:
        with self._clock.stage("prune"):
            self._held.flush()
            whole = self._held.prompt()
        return Encoded(self._clip, whole, self._wordings, self._held.scores, self._words)

    def _part(self, images: NDArray[np.uint8]) -> FrameSample:
        """A chunk as a sample of its own; it leaves small pictures in that of the clip."""
        sample, here = self._clip.sample, slice(self._done, self._done + len(images))
        fill(sample, self._done, images)
        self._done += len(images)
        return FrameSample(sample.strategy, images, sample.indices[here], sample.timestamps_sec[here])

    @property
    def _room(self) -> int | None:
        """Room for visual tokens beside the text that every question has: others may follow this one."""
        return room_for(self._words.text_within, self._clip.loaded.context, self._clip.limit)

    def _require_room(self, kept: int, *, so_far: bool = False) -> None:
        text = self._words.ids.shape[1] - self._words.layout.slots.numel()
        require_room(kept, text, self._clip.loaded.context, self._clip.limit, so_far=so_far)
