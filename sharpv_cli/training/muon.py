"""Muon with all matrices of one shape stacked: `torch.optim.Muon` takes them one by one, which costs more than a
whole step of this small model."""

from __future__ import annotations

from collections.abc import Iterable

import torch

Tensor = torch.Tensor

# Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024): quintic Newton-Schulz.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: [N, rows, columns] -> bfloat16 of the same shape."""
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    result: Tensor = x.mT if tall else x
    return result


class StackedMuon:
    """Nesterov momentum, orthogonalised, scaled to the RMS of an AdamW update (0.2 sqrt(max side))."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.05
    ) -> None:
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self._groups: dict[torch.Size, list[Tensor]] = {}
        for parameter in parameters:
            self._groups.setdefault(parameter.shape, []).append(parameter)
        self._averages = {
            shape: torch.zeros(len(group), *shape, device=group[0].device)
            for shape, group in self._groups.items()
        }

    @torch.no_grad()
    def step(self, rate: float = 1.0) -> None:
        """One update at `rate` times the learning rate; parameters without a gradient stay."""
        lr = self.lr * rate
        for shape, group in self._groups.items():
            if any(p.grad is None for p in group):
                continue
            gradients = torch.stack([p.grad for p in group if p.grad is not None])
            average = self._averages[shape].lerp_(gradients, 1 - self.momentum)
            update = orthogonalised(gradients.lerp(average, self.momentum)).float()
            torch._foreach_mul_(group, 1 - lr * self.weight_decay)
            torch._foreach_add_(group, list((update * (-lr * 0.2 * max(shape) ** 0.5)).unbind(0)))
