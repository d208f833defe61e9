"""`dense-fewer-frames`: nothing is pruned, and there are as many whole frames as the budget's tokens buy, rounded up.

What pruning has to beat: everybody can take fewer frames. They are read from the file anew, as `--frames N` would.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpv_cli.pipeline.comparing import ComparedClip
    from sharpv_cli.settings import Settings
    from sharpv_cli.types import Waiting


def with_frames(settings: Settings, frames: int) -> Settings:
    """Sampled as with `--frames`; of given moments those that are spread over them."""
    from sharpv_cli.settings import moments_in

    sampling = settings.sampling
    if sampling.at is None:
        change: dict[str, object] = {"strategy": "uniform", "frames": frames}
    else:
        moments = sorted(moments_in(sampling.at))
        places = [int((k + 0.5) / frames * len(moments)) for k in range(frames)]
        change = {"at": ",".join(str(moments[place]) for place in places)}
    return settings.model_copy(update={"sampling": sampling.model_copy(update=change)})


def affordable(clip: ComparedClip, question: str, budget: int) -> Generator[Waiting, None, ComparedClip]:
    """The video with as few frames as hold `budget` visual tokens, asked the question; all frames are the clip itself.

    Where frames get more tokens when there are fewer of them, there are fewer still.
    """
    frames, tokens = clip.tokens
    merged = -(-len(clip.clip.sample) // frames)  # frames of the video in one of the model's
    wanted, fewer = -(-budget // tokens), clip
    while wanted < frames:
        fewer = yield from clip.fewer(min(wanted * merged, len(clip.clip.sample)))
        yield from fewer.ask(question)
        frames, tokens = fewer.tokens
        wanted = -(-budget // tokens)
    return fewer
