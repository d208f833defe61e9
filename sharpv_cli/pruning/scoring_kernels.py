"""Triton kernels of SharpV's two measures: each token is read once and nothing is written but its score.

Sums are float32 whatever the dtype. `TRITON_INTERPRET=1` runs them on the CPU.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def cosines(one, other, at, out, width, BLOCK: tl.constexpr):
    """out[i] = cos(one[at[i]], other[at[i]]), of rows of `width` numbers; a program a row. A zero row gives 0."""
    row = tl.load(at + tl.program_id(0)).to(tl.int64) * width
    product = tl.zeros([BLOCK], tl.float32)
    size_one = tl.zeros([BLOCK], tl.float32)
    size_other = tl.zeros([BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        column = start + tl.arange(0, BLOCK)
        a = tl.load(one + row + column, mask=column < width, other=0.0).to(tl.float32)
        b = tl.load(other + row + column, mask=column < width, other=0.0).to(tl.float32)
        product += a * b
        size_one += a * a
        size_other += b * b
    sizes = tl.sqrt(tl.sum(size_one, axis=0)) * tl.sqrt(tl.sum(size_other, axis=0))
    tl.store(out + tl.program_id(0), tl.sum(product, axis=0) / tl.maximum(sizes, 1e-16))


@triton.jit
def frame_means(features, out, tokens, width, BLOCK: tl.constexpr):
    """out [T, width] float32: the mean token of each frame of `features` [T, tokens, width]; program (t, block)."""
    frame, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    total = tl.zeros([BLOCK], tl.float32)
    for token in range(0, tokens):
        place = (frame * tokens + token) * width + column
        # Divided before it is summed: the sum of huge numbers would not be finite.
        total += tl.load(features + place, mask=inside, other=0.0).to(tl.float32) / tokens
    tl.store(out + frame * width + column, total, mask=inside)


@triton.jit
def dissimilarities(features, means, spatial, temporal, tokens, width, BLOCK: tl.constexpr):
    """S and T of every token, float32 [T, tokens]; program (t, i). BLOCK is at least `width`; T is 0 for t = 0."""
    frame, token = tl.program_id(0).to(tl.int64), tl.program_id(1)
    column = tl.arange(0, BLOCK)
    inside = column < width
    place = frame * tokens + token
    own = _unit(tl.load(features + place * width + column, mask=inside, other=0.0).to(tl.float32))
    mean = _unit(tl.load(means + frame * width + column, mask=inside, other=0.0))
    apart = own - mean
    tl.store(spatial + place, tl.sqrt(tl.sum(apart * apart, axis=0)))
    change = 0.0
    if frame > 0:
        before = (place - tokens) * width + column
        moved = own - _unit(tl.load(features + before, mask=inside, other=0.0).to(tl.float32))
        change = tl.sqrt(tl.sum(moved * moved, axis=0))
    tl.store(temporal + place, change)


@triton.jit
def _unit(vector):
    """A unit vector; a zero one stays zero. Scaling by the largest entry first keeps the squares in range."""
    largest = tl.max(tl.abs(vector), axis=0)
    scaled = vector / tl.where(largest == 0.0, 1.0, largest)
    size = tl.sqrt(tl.sum(scaled * scaled, axis=0))
    return scaled / tl.where(size == 0.0, 1.0, size)
