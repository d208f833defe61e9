"""Triton kernels for a step of many answers, whose keys and values lie in blocks of one pool.

`rows` int64 [B] are the seats of the answers. `tables` int32 [seats, layers, width] say of each seat and layer how many
entries there were at first, and then, block by block, where its entries are; `steps` int32 [seats] how many came since.
Pools are [blocks, K, BLOCK, d].
"""

from __future__ import annotations

import triton
import triton.language as tl

from sharpv_cli.engine.kernels import taken_in, turned


@triton.jit(do_not_specialize=["layer"])
def place_rows(
    qkv, query_norm, key_norm, cos, sin, rows, steps, tables, layer, layers, width, room,
    queries, keys, values, heads, kv_heads, epsilon,
    NORM: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """As `place_heads`, for a token of each row: program (b, h), from `qkv` [B, (H + 2K) d] to `queries` [B, H, d].

    `cos` and `sin` [seats, room, d] are those of the steps.
    """
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = tl.arange(0, HALF)
    source = qkv + (row * tl.num_programs(1) + head) * 2 * HALF + at
    low, high = tl.load(source).to(tl.float32), tl.load(source + HALF).to(tl.float32)
    seat = tl.load(rows + row)
    step = tl.load(steps + seat)
    if head < heads + kv_heads:
        angle = (seat * room + step) * 2 * HALF
        low, high = turned(
            low, high, head, heads, query_norm, key_norm, cos, sin, angle, at, epsilon, NORM, HALF
        )
    if head < heads:
        place = queries + (row * heads + head) * 2 * HALF + at
    else:
        table = tables + (seat * layers + layer) * width
        entry = tl.load(table) + step
        block = tl.load(table + 1 + entry // BLOCK).to(tl.int64)
        kv_head = (head - heads) % kv_heads
        inside = ((block * kv_heads + kv_head) * BLOCK + entry % BLOCK) * 2 * HALF + at
        place = keys + inside if head < heads + kv_heads else values + inside
    tl.store(place, low.to(queries.dtype.element_ty))
    tl.store(place + HALF, high.to(queries.dtype.element_ty))


@triton.jit(do_not_specialize=["layer"])
def attend_rows(
    queries, keys, values, rows, steps, tables, layer, layers, width, parts, sizes, scale,
    GROUPS: tl.constexpr, PADDED: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """As `attend`, for a query of each row: program (k, s, b). `parts` [B, S, H, DIM] and `sizes` [B, 2, S, H]."""
    kv_head, share, shares = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    row, kv_heads = tl.program_id(2).to(tl.int64), tl.num_programs(0)
    heads = kv_heads * GROUPS
    seat = tl.load(rows + row)
    table = tables + (seat * layers + layer) * width
    entries = tl.load(table) + tl.load(steps + seat) + 1
    each = tl.cdiv(tl.cdiv(entries, shares), BLOCK) * BLOCK
    begin = share * each
    end = tl.minimum(begin + each, entries)
    group, dim, inside = tl.arange(0, PADDED), tl.arange(0, DIM), tl.arange(0, BLOCK)
    mine = group < GROUPS
    query = tl.load(
        queries + (row * heads + kv_head * GROUPS + group)[:, None] * DIM + dim[None, :],
        mask=mine[:, None],
        other=0.0,
    )
    largest = tl.full([PADDED], float("-inf"), tl.float32)
    weight = tl.zeros([PADDED], tl.float32)
    total = tl.zeros([PADDED, DIM], tl.float32)
    for start in range(begin, end, BLOCK):
        there = start + inside < end
        block = tl.load(table + 1 + start // BLOCK).to(tl.int64)
        places = ((block * kv_heads + kv_head) * BLOCK + inside)[:, None] * DIM + dim[None, :]
        key = tl.load(keys + places, mask=there[:, None], other=0.0)
        value = tl.load(values + places, mask=there[:, None], other=0.0)
        largest, weight, total = taken_in(query, key, value, there, scale, largest, weight, total)
    head = kv_head * GROUPS + group
    part = (row * shares + share) * heads + head
    tl.store(parts + part[:, None] * DIM + dim[None, :], total, mask=mine[:, None])
    tl.store(sizes + (row * 2 * shares + share) * heads + head, largest, mask=mine)
    tl.store(sizes + ((row * 2 + 1) * shares + share) * heads + head, weight, mask=mine)


@triton.jit(do_not_specialize=["entries"])
def move_in(
    keys, values, pool_keys, pool_values, table, entries, DIM: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Copy a layer's `keys` and `values` [K, entries, DIM] into the blocks of its `table`.

    Program (n, k) does the n-th block of key-value head k.
    """
    number, kv_head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    inside, dim = tl.arange(0, BLOCK), tl.arange(0, DIM)
    entry = number * BLOCK + inside
    there = (entry < entries)[:, None]
    block = tl.load(table + 1 + number).to(tl.int64)
    places = ((block * tl.num_programs(1) + kv_head) * BLOCK + inside)[:, None] * DIM + dim[None, :]
    own = (kv_head * entries + entry)[:, None] * DIM + dim[None, :]
    tl.store(pool_keys + places, tl.load(keys + own, mask=there), mask=there)
    tl.store(pool_values + places, tl.load(values + own, mask=there), mask=there)
