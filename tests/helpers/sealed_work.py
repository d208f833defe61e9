"""Reads every file of a folder by its bare name, with every way in, for a tracer to look on."""

from __future__ import annotations

import os
import sys
from functools import partial

from sharpv_cli.errors import VideoError
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.local import Limits
from sharpv_cli.video.probe import probe
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sources import local_video

READERS = (probe, partial(sample_frames, sampling=Sampling(frames=4)))


def main() -> None:
    """argv: the folder, and names to read in it. Prints each name that was answered."""
    os.chdir(sys.argv[1])
    for name in sys.argv[2:]:
        for read in READERS:
            for limits in (None, Limits(picture=True, timeout=20.0)):
                try:
                    if limits is None:
                        read(name)
                    else:
                        with local_video(name, limits) as video:
                            read(video)
                    print("answered", name, flush=True)
                except VideoError as error:
                    print("refused", error, flush=True)


if __name__ == "__main__":
    main()
