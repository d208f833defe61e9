"""Wear by matrices is what resampling and block-wise transforms do, one by one."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sharpv_cli.training.degrade import degrade, matrices, trails, worn

SIDE = 64
PICTURES = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
NONE = torch.zeros(3, 1, 1, 1)


def _worn(pictures: torch.Tensor = PICTURES, **amounts: torch.Tensor) -> torch.Tensor:
    given = dict.fromkeys(("coarse", "bleed", "step", "grain"), NONE) | amounts
    return worn(pictures, torch.zeros_like(pictures), *given.values(), *matrices(SIDE, pictures.device))


def test_nothing_worn_is_the_picture_itself() -> None:
    assert torch.allclose(_worn(), PICTURES, atol=1e-3)


def test_coarse_goes_through_a_smaller_picture_and_back() -> None:
    small = F.interpolate(PICTURES, scale_factor=0.7, mode="bilinear", antialias=True, align_corners=False)
    back = F.interpolate(small, PICTURES.shape[-2:], mode="bicubic", align_corners=False)
    assert torch.allclose(_worn(coarse=NONE + 1), back.clamp(0, 1), atol=1e-3)


def test_bleeding_colours_keep_the_luma() -> None:
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    middle = 0.4 + 0.2 * PICTURES  # far from the ends, so that nothing is cut off
    bled = _worn(middle, bleed=NONE + 1)
    assert torch.allclose((bled * weights).sum(1), (middle * weights).sum(1), atol=1e-2)
    chroma = [x - (x * weights).sum(1, keepdim=True) for x in (bled, middle)]
    assert chroma[0].std() < 0.5 * chroma[1].std()


def test_quantised_blocks_have_whole_steps_and_do_not_touch_each_other() -> None:
    step = 0.2
    blocks = _worn(0.4 + 0.2 * PICTURES, step=NONE + step).unfold(2, 8, 8).unfold(3, 8, 8)
    first = blocks.mean(dim=(-1, -2)) * 8 / (step / 4)  # of each block's coefficients, the finest graded
    assert torch.allclose(first, first.round(), atol=1e-2)
    other = PICTURES.clone()
    other[..., :8, :8] = 0.5
    apart = _worn(0.4 + 0.2 * other, step=NONE + step).unfold(2, 8, 8).unfold(3, 8, 8)
    changed = (apart - blocks).abs().amax(dim=(0, 1, 4, 5)) > 1e-4
    assert changed.nonzero().tolist() == [[0, 0]]


def test_each_clip_is_worn_by_its_own_amount_the_same_from_a_seed() -> None:
    clips = PICTURES[:2, None].expand(2, 3, 3, SIDE, SIDE)
    one, again = (degrade(clips, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, again) and one.shape == clips.shape
    assert not torch.allclose((one - clips)[0].std(), (one - clips)[1].std(), rtol=0.05)


def test_only_where_something_has_moved_a_trail_stays() -> None:
    clip = torch.zeros(1, 4, 3, SIDE, SIDE)
    clip[0, 0, :, 8:16, 8:16] = 1
    clip[0, 1, :, 40:48, 40:48] = 1
    clip[0, 2:] = clip[0, 1:2]
    left = trails(clip, torch.Generator().manual_seed(2))
    assert not left[0, 0].any()
    moved = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    moved[8:16, 8:16] = moved[40:48, 40:48] = True
    for frame in left[0, 1:]:
        assert torch.equal(frame, left[0, 1]) and not frame[:, ~moved].any()
        assert frame[:, moved].std() > 0.3
