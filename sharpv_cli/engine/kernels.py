"""Triton kernels: for decoding, where all is a matter of reading weights and KV entries once, and between the large
products of the prefill.

Sums are float32 whatever the dtype. `TRITON_INTERPRET=1` runs them on the CPU.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def matvec(
    x, norm, weights, bias, out, columns, epsilon,
    NORM: tl.constexpr, BIAS: tl.constexpr, ADD: tl.constexpr, GATED: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out[n] = weights[n] . x (+ bias[n]) (+ out[n] with ADD); x is RMS-normed first with NORM.

    GATED: `weights` holds gate above up, and out[n] = silu(gate[n] . x) * (up[n] . x). ROWS rows a program; their
    number is the grid times ROWS, exactly.
    """
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    count = tl.num_programs(0).to(tl.int64) * ROWS
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    gate = tl.zeros([ROWS, BLOCK], tl.float32)
    squares = tl.zeros([BLOCK], tl.float32)
    for start in range(0, columns, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < columns
        part = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        if NORM:
            squares += part * part
            part *= tl.load(norm + at, mask=inside, other=0.0).to(tl.float32)
        places = rows[:, None] * columns + at[None, :]
        if GATED:
            gate += tl.load(weights + places, mask=inside[None, :], other=0.0).to(tl.float32) * part[None, :]
            places += count * columns
        total += tl.load(weights + places, mask=inside[None, :], other=0.0).to(tl.float32) * part[None, :]
    result = tl.sum(total, axis=1)
    if NORM:
        size = tl.rsqrt(tl.sum(squares, axis=0) / columns + epsilon)
        result *= size
    if GATED:
        passed = tl.sum(gate, axis=1)
        if NORM:
            passed *= size
        result *= passed * tl.sigmoid(passed)
    if BIAS:
        result += tl.load(bias + rows).to(tl.float32)
    if ADD:
        result += tl.load(out + rows).to(tl.float32)
    tl.store(out + rows, result.to(out.dtype.element_ty))


@triton.jit
def turned(
    low, high, head, heads, query_norm, key_norm, cos, sin, angle, at, epsilon, NORM: tl.constexpr, HALF: tl.constexpr
):  # fmt: skip
    """The two halves of query or key head `head`, normed with NORM, and turned by the angles at `angle`."""
    if NORM:
        norm = query_norm if head < heads else key_norm
        size = tl.rsqrt(tl.sum(low * low + high * high, axis=0) / (2 * HALF) + epsilon)
        low *= size * tl.load(norm + at).to(tl.float32)
        high *= size * tl.load(norm + HALF + at).to(tl.float32)
    cos_low, cos_high = (
        tl.load(cos + angle + at).to(tl.float32),
        tl.load(cos + angle + HALF + at).to(tl.float32),
    )
    sin_low, sin_high = (
        tl.load(sin + angle + at).to(tl.float32),
        tl.load(sin + angle + HALF + at).to(tl.float32),
    )
    return low * cos_low - high * sin_low, high * cos_high + low * sin_high


@triton.jit
def place_heads(
    qkv, query_norm, key_norm, cos, sin, step, length, queries, keys, values,
    heads, kv_heads, capacity, epsilon, NORM: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Norm query and key heads of tokens, turn them by their angles, and put all into place.

    Program (t, h): head h of token t, from `qkv` [tokens, (H + 2K) d] with d = 2 HALF, to `queries` [H, tokens, d] or
    entry `length[0]` + t of `keys` or `values` [K, capacity, d]; its angles are row `step[0]` + t of `cos` and `sin`.
    """
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    tokens = tl.num_programs(0).to(tl.int64)
    at = tl.arange(0, HALF)
    source = qkv + (token * tl.num_programs(1) + head) * 2 * HALF + at
    low, high = tl.load(source).to(tl.float32), tl.load(source + HALF).to(tl.float32)
    entry = tl.load(length) + token
    if head >= heads + kv_heads:
        place = values + ((head - heads - kv_heads) * capacity + entry) * 2 * HALF + at
    else:
        angle = (tl.load(step) + token) * 2 * HALF
        low, high = turned(
            low, high, head, heads, query_norm, key_norm, cos, sin, angle, at, epsilon, NORM, HALF
        )
        if head < heads:
            place = queries + (head * tokens + token) * 2 * HALF + at
        else:
            place = keys + ((head - heads) * capacity + entry) * 2 * HALF + at
    tl.store(place, low.to(queries.dtype.element_ty))
    tl.store(place + HALF, high.to(queries.dtype.element_ty))


@triton.jit
def gate(gate_up, out, width, BLOCK: tl.constexpr):
    """out [P, width] = silu(gate) * up, of `gate_up` [P, 2 width]; program (p, b) does a block of row p."""
    row, at = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < width
    passed = tl.load(gate_up + row * 2 * width + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + (row * 2 + 1) * width + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + at, (passed * tl.sigmoid(passed) * up).to(out.dtype.element_ty), mask=inside)


@triton.jit
def taken_in(query, key, value, there, scale, largest, weight, total):
    """What `attend` has so far, with another block of entries, of which some are `there`, the first one among them."""
    scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
    scores = tl.where(there[None, :], scores, float("-inf"))
    new = tl.maximum(largest, tl.max(scores, axis=1))
    shrink = tl.exp(largest - new)
    odds = tl.exp(scores - new[:, None])
    weight = weight * shrink + tl.sum(odds, axis=1)
    total = total * shrink[:, None] + tl.dot(odds.to(value.dtype), value, input_precision="ieee")
    return new, weight, total


@triton.jit
def attend(
    queries, keys, values, length, parts, sizes, capacity, scale,
    GROUPS: tl.constexpr, PADDED: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One query over `length[0]` + 1 entries: program (k, s) takes the s-th share of them for key-value head k.

    `parts` float32 [S, H, DIM] are softmax-weighted sums of values, `sizes` float32 [2, S, H] the largest score and
    the sum of weights, for `combine`. PADDED is GROUPS rounded up to what the matrix units take.
    """
    kv_head, share, shares = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    heads = tl.num_programs(0) * GROUPS
    entries = tl.load(length) + 1
    each = tl.cdiv(tl.cdiv(entries, shares), BLOCK) * BLOCK
    begin = share * each
    end = tl.minimum(begin + each, entries)
    group, dim = tl.arange(0, PADDED), tl.arange(0, DIM)
    mine = group < GROUPS
    query = tl.load(
        queries + (kv_head * GROUPS + group)[:, None] * DIM + dim[None, :], mask=mine[:, None], other=0.0
    )
    largest = tl.full([PADDED], float("-inf"), tl.float32)
    weight = tl.zeros([PADDED], tl.float32)
    total = tl.zeros([PADDED, DIM], tl.float32)
    base = kv_head.to(tl.int64) * capacity * DIM
    for start in range(begin, end, BLOCK):
        entry = start + tl.arange(0, BLOCK)
        there = entry < end
        places = base + entry[:, None] * DIM + dim[None, :]
        key = tl.load(keys + places, mask=there[:, None], other=0.0)
        value = tl.load(values + places, mask=there[:, None], other=0.0)
        largest, weight, total = taken_in(query, key, value, there, scale, largest, weight, total)
    head = share * heads + kv_head * GROUPS + group
    tl.store(parts + head[:, None] * DIM + dim[None, :], total, mask=mine[:, None])
    tl.store(sizes + head, largest, mask=mine)
    tl.store(sizes + shares * heads + head, weight, mask=mine)


@triton.jit
def combine(parts, sizes, out, SHARES: tl.constexpr, DIM: tl.constexpr):
    """out [H, DIM]: the shares of `attend` put together, a program a head; of several rows in a second dimension."""
    head, heads = tl.program_id(0), tl.num_programs(0)
    share, dim = tl.arange(0, SHARES), tl.arange(0, DIM)
    row = tl.program_id(1)
    parts, sizes, out = (
        parts + row * SHARES * heads * DIM,
        sizes + row * 2 * SHARES * heads,
        out + row * heads * DIM,
    )
    largest = tl.load(sizes + share * heads + head)
    weight = tl.load(sizes + (SHARES + share) * heads + head)
    factor = tl.exp(largest - tl.max(largest, axis=0))
    part = tl.load(parts + (share * heads + head)[:, None] * DIM + dim[None, :])
    result = tl.sum(part * factor[:, None], axis=0) / tl.sum(weight * factor, axis=0)
    tl.store(out + head * DIM + dim, result.to(out.dtype.element_ty))
