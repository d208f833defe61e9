"""What a pruning method gives, and what it may keep: SharpV's rivals in `sharpv eval` share these.

One method is one dataclass in `sharpv_cli/pruning/methods`; docs/adding-a-method.md says how to write one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sharpv_cli.pruning.ranking import best_of_clip


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
    def plan(self, features: Tensor, budget: Budget) -> KeepPlan:
        """What to keep of `features` [T, f, D], the visual tokens as the language model would receive them.

        The plan lies on the device of `features`, and the same features and budget give the same plan.
        """


class Scored(Method):
    """A method that gives each token a score; of the clip's tokens the best stay, as many as the budget has."""

    def plan(self, features: Tensor, budget: Budget) -> KeepPlan:
        return KeepPlan(self.keep(self.score(features), budget))

    @abstractmethod
    def score(self, features: Tensor) -> Tensor:
        """Scores [T, f] of `features` [T, f, D]: the higher, the sooner a token stays."""

    def keep(self, scores: Tensor, budget: Budget) -> Tensor:
        """Which tokens stay, bool [T, f]; for methods that do not simply keep the best of the clip."""
        return best_of_clip(scores, budget.tokens)


@dataclass(frozen=True, slots=True)
class Drawn(Method):
    """A method that chooses by chance: by `seed` alone, which comes from the question and never from the user."""

    seed: int = 0

    def generator(self) -> torch.Generator:
        """The only source of chance, on the CPU, so that results do not depend on the device."""
        return torch.Generator().manual_seed(self.seed)
