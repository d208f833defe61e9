"""What a pruning method gives, and what it may keep: SharpV's rivals in `sharpv eval` share these.

One method is one dataclass in `sharpv_cli/pruning/methods`; docs/adding-a-method.md says how to write one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class KeepPlan:
    """`keep` bool [T, f]: which visual tokens stay, in raster order.

    `features` [T, f, D] are what the language model gets in their places, where the method merges tokens; None where
    it only leaves tokens out. What they hold where `keep` is False is not read.
    """

    keep: Tensor
    features: Tensor | None = None

    def __post_init__(self) -> None:
        assert self.keep.dtype == torch.bool and self.keep.ndim == 2, (self.keep.dtype, self.keep.shape)
        assert self.features is None or self.features.shape[:2] == self.keep.shape, self.keep.shape


@dataclass(frozen=True, slots=True)
class Budget:
    """How many visual tokens a plan should keep of a clip.

    `per_frame` int64 [T], on the CPU: by frame, as SharpV would have it; most methods look only at its sum `tokens`
    and spread it their own way. A method that cannot go so low keeps what it must: reports show what was kept.
    """

    per_frame: Tensor

    @property
    def tokens(self) -> int:
        return int(self.per_frame.sum())


class Method(ABC):
    """A way to choose visual tokens before the language model. Parameters are fields of the dataclass."""

    @abstractmethod
    def plan(self, features: Tensor, budget: Budget, generator: torch.Generator) -> KeepPlan:
        """What to keep of `features` [T, f, D], the visual tokens as the language model would receive them.

        `generator`, on the CPU, is the only source of chance: it is seeded by the question's id, so that a result
        does not depend on what was asked before. The plan lies on the device of `features`.
        """
