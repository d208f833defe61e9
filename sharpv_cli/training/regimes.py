"""The kinds of training steps: what a clip shows, what is kept of it, how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sharpv_cli.training.batches import SHAPES_WORLD


@dataclass(frozen=True, slots=True)
class Regime:
    """One kind of training step: frames a clip, how many visual tokens a clip keeps (None: all), how often.

    `discards` is the share of these steps in which deep layers hide the video from the answer. `text` is how many
    positions a clip's questions have together, about 28 a question, and `load` how many times as many frames as usual
    a step has: without gradients in the tower there is room for more.
    """

    frames: int
    keep: int | None
    share: float
    discards: float
    world: str = SHAPES_WORLD
    text: int = 248
    load: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.world} {self.frames}f/{self.keep or 'all'}"

    def clips(self, frames_a_step: int) -> int:
        return max(1, int(self.load * frames_a_step) // self.frames)


REGIMES = (
    Regime(8, None, 0.40, discards=0.3),
    Regime(16, None, 0.10, discards=0.3),
    Regime(8, 64, 0.14, discards=0.6),
    Regime(8, 128, 0.22, discards=0.6),
    Regime(16, 208, 0.14, discards=0.6),
)

# With the other worlds. A third of the steps keep what the model knows: in half of them it had nothing left to learn.
# Of long clips, few frames with all of their tokens are trained as often as many with some; a clip of many frames
# costs much to draw, so many questions are asked about it. Each pair of a batch's size and a prompt's length is
# compiled, for about eight seconds, so regimes share them.
WORLD_REGIMES = (
    Regime(8, None, 0.12, discards=0.3),
    Regime(16, None, 0.03, discards=0.3),
    Regime(32, None, 0.02, discards=0.3),
    Regime(8, 64, 0.04, discards=0.6),
    Regime(8, 128, 0.06, discards=0.6),
    Regime(16, 208, 0.04, discards=0.6),
    Regime(64, 512, 0.02, discards=0.6, text=1016, load=2),
    Regime(8, None, 0.10, discards=0.3, world="hard"),
    Regime(16, None, 0.03, discards=0.3, world="hard"),
    Regime(8, 128, 0.04, discards=0.6, world="hard"),
    Regime(16, 208, 0.02, discards=0.6, world="hard"),
    Regime(4, None, 0.06, discards=0.3, world="signs", load=0.5),
    Regime(8, 128, 0.02, discards=0.6, world="signs"),
    Regime(8, None, 0.02, discards=0.3, world="scenery"),
    Regime(8, 64, 0.02, discards=0.6, world="scenery"),
    Regime(8, 128, 0.02, discards=0.6, world="scenery"),
    Regime(8, None, 0.06, discards=0.3, world="long"),
    Regime(16, None, 0.06, discards=0.3, world="long"),
    Regime(32, None, 0.05, discards=0.3, world="long"),
    Regime(64, 512, 0.09, discards=0.6, world="long", text=1016, load=2),
    Regime(64, 1024, 0.05, discards=0.6, world="long", text=1016),
    Regime(120, 1024, 0.03, discards=0.6, world="long", text=1016, load=1.875),
)


def weighted(regimes: Sequence[Regime], factors: Mapping[str, float]) -> tuple[Regime, ...]:
    """With each world's share multiplied by its factor (1 where there is none); 0 leaves a world out."""
    changed = (replace(regime, share=regime.share * factors.get(regime.world, 1.0)) for regime in regimes)
    return tuple(regime for regime in changed if regime.share)
