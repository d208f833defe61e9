"""What cameras and codecs do to a picture, roughly and batch-wise, so that training frames look like decoded ones."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

Tensor = torch.Tensor

_LUMA = (0.299, 0.587, 0.114)


def degrade(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Blur the chroma, lose resolution, quantise block by block and add noise, each clip by its own amount.

    Float32 [B, T, 3, H, W] in 0 to 1, and the same back; H and W are multiples of 8.
    """
    batch, count = frames.shape[:2]

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, device=frames.device, generator=generator)

    def per_clip(low: float, high: float) -> Tensor:
        amount = low + (high - low) * rand(batch, 1, 1, 1)
        return amount.repeat_interleave(count, dim=0)

    x = frames.flatten(0, 1)
    x = torch.lerp(x, _rescaled(x, 0.7), per_clip(-0.6, 1.0).clamp(min=0))
    luma = sum(w * x[:, i : i + 1] for i, w in enumerate(_LUMA))
    assert isinstance(luma, Tensor)
    chroma = x - luma
    blurred = F.interpolate(F.avg_pool2d(chroma, 4), scale_factor=4, mode="bilinear", align_corners=False)
    x = luma + torch.lerp(chroma, blurred, per_clip(0.0, 0.8))
    x = _quantised(x, per_clip(-0.04, 0.08).clamp(min=0))
    noise = torch.randn(x.shape, device=x.device, generator=generator)
    return (x + noise * per_clip(-0.01, 0.03).clamp(min=0)).clamp(0, 1).view_as(frames)


def _rescaled(x: Tensor, factor: float) -> Tensor:
    """Through a smaller picture and back, as a clip with fewer pixels than the model's input is."""
    small = F.interpolate(x, scale_factor=factor, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, x.shape[-2:], mode="bicubic", align_corners=False)


def _quantised(x: Tensor, step: Tensor) -> Tensor:
    """Round the 8x8 cosine coefficients to multiples of `step` [N, 1, 1, 1], coarser towards high frequencies."""
    n, c, height, width = x.shape
    basis = _cosine_basis(x.device)
    blocks = x.view(n, c, height // 8, 8, width // 8, 8)
    coefficients = torch.einsum("ui,ncyixj,vj->ncyuxv", basis, blocks, basis)
    grade = 0.25 + (torch.arange(8, device=x.device)[:, None] + torch.arange(8, device=x.device)) / 8
    size = (step[..., None, None] * grade[:, None, :]).clamp(min=1e-4)
    rounded = (coefficients / size).round() * size
    return torch.einsum("ui,ncyuxv,vj->ncyixj", basis, rounded, basis).reshape(n, c, height, width)


def _cosine_basis(device: torch.device) -> Tensor:
    """The orthonormal 8x8 DCT-II matrix."""
    k = torch.arange(8, device=device, dtype=torch.float32)
    basis = torch.cos(math.pi / 8 * (k + 0.5)[None, :] * k[:, None]) * math.sqrt(2 / 8)
    basis[0] /= math.sqrt(2)
    return basis
