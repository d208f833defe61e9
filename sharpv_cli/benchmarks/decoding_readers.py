"""The loaders that the decoding benchmark compares, each brought to one form: pictures and the times it claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Taken:
    """What a loader gave: uint8 RGB pictures, each [H, W, 3], and the times in seconds that it claims."""

    images: Sequence[NDArray[np.uint8]]
    times: Sequence[float]


@dataclass(frozen=True, slots=True)
class Reader:
    """A loader by name. `read(path, n)` takes the frames at the middles of n equal parts of the clip."""

    name: str
    version: str
    read: Callable[[Path, int], Taken]


def readers() -> tuple[list[Reader], list[str]]:
    """The loaders that work here, and in words why others do not."""
    found = [SHARPV]
    missing = []
    makers: dict[str, Callable[[], Reader]] = {
        "torchcodec": _torchcodec_reader,
        "transformers, torchcodec": partial(_transformers_reader, "torchcodec"),
        "transformers, pyav": partial(_transformers_reader, "pyav"),
    }
    for name, make in makers.items():
        try:
            found.append(make())
        except (ImportError, OSError, RuntimeError) as error:  # torchcodec raises the last without FFmpeg
            missing.append(f"{name}: {str(error).strip().splitlines()[0]}")
    return found, missing


def _sharpv(path: Path, n: int) -> Taken:
    sample = sample_frames(path, Sampling(frames=n))[1]
    return Taken(list(sample.images), sample.timestamps_sec)


SHARPV = Reader("sharpv", version("av"), _sharpv)


def _torchcodec_reader() -> Reader:
    decoder_class = import_module("torchcodec.decoders").VideoDecoder

    def read(path: Path, n: int) -> Taken:
        # 0 lets FFmpeg choose the threads, as transformers does; the default of 1 is slower here.
        decoder = decoder_class(str(path), seek_mode="exact", num_ffmpeg_threads=0, dimension_order="NHWC")
        begin, end = decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds
        moments = begin + (np.arange(n) + 0.5) / n * (end - begin)
        batch = decoder.get_frames_played_at(moments.tolist())
        return Taken(list(batch.data.numpy()), (batch.pts_seconds - begin).tolist())

    return Reader("torchcodec, exact", version("torchcodec"), read)


def _transformers_reader(backend: str) -> Reader:
    import_module("torchcodec.decoders" if backend == "torchcodec" else "av")
    load_video = import_module("transformers.video_utils").load_video

    def middles(metadata: Any, n: int) -> NDArray[np.int64]:
        """It samples by index, so that the middles are right for constant rates only."""
        places = (np.arange(n) + 0.5) / n * int(metadata.total_num_frames)
        return places.astype(np.int64)

    def read(path: Path, n: int) -> Taken:
        def choose(metadata: Any, **_: object) -> NDArray[np.int64]:
            return middles(metadata, n)

        video, metadata = load_video(str(path), sample_indices_fn=choose, backend=backend)
        images = np.asarray(video)
        if images.shape[-1] != 3:
            images = images.transpose(0, 2, 3, 1)
        return Taken(list(images), [float(time) for time in metadata.timestamps])

    return Reader(f"transformers, {backend}", version("transformers"), read)
