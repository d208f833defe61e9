"""What cameras and codecs do to a picture, roughly and batch-wise, so that training frames look like decoded ones.

All of it but the noise and the rounding is linear along rows and along columns, so each part is two products with a
small matrix: on a GPU several times as fast as resampling kernels and block-wise transforms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

Tensor = torch.Tensor

_LUMA = (0.299, 0.587, 0.114)
BLOCK = 8  # of codecs: pixels a side
_RIPPLE = 3  # pixels: how fine what is left behind is


def degrade(frames: Tensor, generator: torch.Generator, wear: Callable[..., Tensor] | None = None) -> Tensor:
    """Blur the chroma, lose resolution, quantise block by block, add noise and trails, each clip by its own amount.

    Float32 [B, T, 3, side, side] in 0 to 1, and the same back; the side is a multiple of 8. `wear` may be a compiled
    `worn`.
    """
    batch, count = frames.shape[:2]
    device = frames.device

    def per_clip(low: float, high: float) -> Tensor:
        share = torch.rand(batch, 1, 1, 1, device=device, generator=generator)
        return (low + (high - low) * share).clamp(min=0).repeat_interleave(count, dim=0)

    amounts = (per_clip(-0.6, 1.0), per_clip(0.0, 0.8), per_clip(-0.04, 0.08), per_clip(-0.01, 0.03))
    x = frames.flatten(0, 1)
    noise = torch.randn(x.shape, device=device, generator=generator)
    old = (wear or worn)(x, noise, *amounts, *matrices(x.shape[-1], device)).view_as(frames)
    left = per_clip(-0.03, 0.1).view(batch, count, 1, 1, 1) * trails(frames, generator)
    return (old + left).clamp(0, 1)


def trails(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Where something has moved, a codec at a low rate leaves ripples, since it does not code small changes.

    As `frames` [B, T, 3, side, side], of about -2 to 2; they stay until the clip ends. With H.264 and VP9 at low rates
    a tenth of the pixels on an object's way is off by 0.08 to 0.13 of white, elsewhere by 0.03.
    """
    changed = torch.zeros_like(frames[:, :, :1])
    changed[:, 1:] = frames.diff(dim=1).abs().amax(2, keepdim=True)
    cells = (frames.shape[-1] // _RIPPLE,) * 2
    coarse = torch.randn(len(frames), 3, *cells, device=frames.device, generator=generator)
    ripples = F.interpolate(coarse, frames.shape[-2:], mode="bilinear", align_corners=False)
    return (4 * changed.cummax(1).values).clamp(max=1) * ripples[:, None]


def worn(
    x: Tensor, noise: Tensor, coarse: Tensor, bleed: Tensor, step: Tensor, grain: Tensor,
    rescaled: Tensor, blurred: Tensor, cosines: Tensor,
) -> Tensor:  # fmt: skip
    """Pictures [N, 3, side, side] worn by so much of each, [N, 1, 1, 1]; by the matrices of `matrices`."""
    x = torch.lerp(x, _both_ways(rescaled, x), coarse)
    luma = _LUMA[0] * x[:, :1] + _LUMA[1] * x[:, 1:2] + _LUMA[2] * x[:, 2:]
    chroma = x - luma
    x = luma + torch.lerp(chroma, _both_ways(blurred, chroma), bleed)
    return (_quantised(x, step, cosines) + noise * grain).clamp(0, 1)


@cache
def matrices(side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """[side, side] each: through a smaller picture and back, as a clip with fewer pixels than the model's input is;
    the blur of colours at a quarter of the resolution; and the cosine transform of every block."""

    def smaller(x: Tensor) -> Tensor:
        small = F.interpolate(x, scale_factor=0.7, mode="bilinear", antialias=True, align_corners=False)
        return F.interpolate(small, x.shape[-2:], mode="bicubic", align_corners=False)

    def soft(x: Tensor) -> Tensor:
        return F.interpolate(F.avg_pool2d(x, 4), scale_factor=4, mode="bilinear", align_corners=False)

    cosines = torch.kron(torch.eye(side // BLOCK), _cosine_basis())
    rescaled, blurred = _matrix_of(smaller, side), _matrix_of(soft, side)
    return rescaled.to(device), blurred.to(device), cosines.to(device)


def _matrix_of(resampled: Callable[[Tensor], Tensor], side: int) -> Tensor:
    """What a linear resampling of pictures does along one of their sides."""
    units = torch.eye(side)[:, None, :, None].expand(side, 1, side, side)
    return resampled(units)[:, 0, :, 0].T.contiguous()


def _both_ways(matrix: Tensor, x: Tensor) -> Tensor:
    return matrix @ (x @ matrix.T)


def _quantised(x: Tensor, step: Tensor, cosines: Tensor) -> Tensor:
    """Round the 8x8 cosine coefficients to multiples of `step` [N, 1, 1, 1], coarser towards high frequencies."""
    frequency = torch.arange(x.shape[-1], device=x.device) % BLOCK
    grade = 0.25 + (frequency[:, None] + frequency) / BLOCK
    size = (step * grade).clamp(min=1e-4)
    rounded = (_both_ways(cosines, x) / size).round() * size
    return _both_ways(cosines.T, rounded)


def _cosine_basis() -> Tensor:
    """The orthonormal 8x8 DCT-II matrix."""
    k = torch.arange(BLOCK, dtype=torch.float32)
    basis = torch.cos(math.pi / BLOCK * (k + 0.5)[None, :] * k[:, None]) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return basis
