"""Refusing what does not fit before it is begun, with the numbers and with flags that would make it fit.

Each of the three checks counts only what is still to be taken: weights before they are loaded, the work on the
frames before they are encoded, and reading before the prefill, when the number of kept tokens is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sharpv_cli import shortage
from sharpv_cli.errors import ModelError, ResourceError
from sharpv_cli.models.estimate import Request, estimate
from sharpv_cli.models.known import KnownModel, foretold, shipped
from sharpv_cli.settings import ModelSettings, profile_paths, resolve
from sharpv_cli.units import memory_size, memory_sizes

_OVERRIDE = "; --no-memory-check tries it all the same"

Parts = Sequence[tuple[str, int]]


def require_weights(model: KnownModel, itemsize: int, device: str, free: int | None) -> None:
    """Raise ResourceError where the weights are more than the `free` bytes of `device` (None: unknown)."""
    parts = (("weights", model.weights_bytes(itemsize)),)
    _require(f"{model.id} needs", parts, device, free, lambda room: _lighter(model, itemsize, room))


def require_frames(request: Request, device: str, free: int | None, host_free: int | None = None) -> None:
    """Raise ResourceError where encoding the frames takes more than is free beside the loaded weights.

    `host_free` is for the decoded frames, where the device has a memory of its own.
    """
    needs = f"encoding {request.frames} frames needs"
    remedies = _fewer_frames(request, encoding_bytes)
    _require(needs, _encoding(request), device, free, remedies)
    if not request.one_memory:
        decoded = (("decoded frames", estimate(request).frames),)
        _require(needs, decoded, "the host", host_free, _fewer_frames(request, lambda r: estimate(r).frames))


def require_prefill(
    request: Request,
    kept: int,
    device: str,
    free: int | None,
    scale_for: Callable[[int], float | None] = lambda _tokens: None,
) -> None:
    """Raise ResourceError where reading `kept` visual tokens takes more than is free after encoding.

    `scale_for` gives the largest scale that keeps at most so many visual tokens, None where none does or the
    mode has no scale.
    """

    def remedies(room: int) -> Iterator[str]:
        scale = scale_for(tokens_that_fit(request, room))
        if scale is not None and scale >= 0.01:
            yield f"--scale {_floored(scale)}"
        yield from _fewer_frames(request, lambda r: reading_bytes(r, -(-kept * r.frames // request.frames)))(
            room
        )

    needs = f"reading {kept} visual tokens and {request.text} of text needs"
    _require(needs, _reading(request, kept), device, free, remedies)


def tokens_that_fit(request: Request, free: int) -> int:
    """The most visual tokens that can be read in `free` bytes after encoding; 0 where even the text is too much."""
    return _largest(request.visual_tokens, lambda kept: reading_bytes(request, kept) <= free)


def encoding_bytes(request: Request) -> int:
    """Bytes that encoding takes on the device, beside the weights."""
    return sum(size for _, size in _encoding(request))


def reading_bytes(request: Request, kept: int) -> int:
    """Bytes that the prefill takes on the device after encoding."""
    return sum(size for _, size in _reading(request, kept))


def advice(request: Request, free: int | None, *, adaptive: bool = True) -> tuple[str, ...]:
    """Flags with which an answer would fit that does not with all visual tokens that the context has room for.

    Empty where it does. In the adaptive mode (`adaptive`: it is on already) a scale of s keeps at most the s-th
    part of each frame's tokens, rounded up, whatever the video shows.
    """
    if free is None or estimate(request, request.most_kept).device_bytes <= free:
        return ()
    weights = request.model.weights_bytes(request.itemsize)
    half = replace(request, itemsize=2)
    lighter = ["--dtype bfloat16"] if request.itemsize == 4 and _peak(half) <= free else []
    smaller = _smaller_profiles(request.model, request.itemsize, free, request)
    if weights > free:
        return (*lighter, *smaller)
    found: list[str] = []
    tokens = _largest(request.visual_tokens, lambda kept: estimate(request, kept).device_bytes <= free)
    scale = (tokens - request.grid[0]) / request.visual_tokens
    if scale >= 0.01:
        found.append(f"{'' if adaptive else '--prune adaptive '}--scale {_floored(scale)}")
    frames = _largest(request.frames, lambda n: n > 0 and _peak(request.with_frames(n)) <= free)
    found += [f"--frames {frames}"] if frames else []
    return (*found, *lighter) or tuple(smaller)


def _require(
    needs: str,
    parts: Parts,
    device: str,
    free: int | None,
    remedies: Callable[[int], Iterator[str]],
) -> None:
    total = sum(size for _, size in parts)
    if free is None or total <= free:
        return
    said, *each = memory_sizes([total, *(size for _, size in parts)])
    listed = ", ".join(f"{name} {size}" for (name, _), size in zip(parts, each, strict=True))
    flags = list(remedies(free))
    others = filter(None, (neighbour() for neighbour in shortage.neighbours))
    raise ResourceError(
        f"{needs} about {said}{f' ({listed})' if len(parts) > 1 else ''}; {memory_size(free)} are free on {device}",
        hint="; ".join(
            [f"{' or '.join(flags)} would fit" if flags else "pick a smaller model, or free memory", *others]
        )
        + _OVERRIDE,
    )


def _encoding(request: Request) -> Parts:
    # How many will be kept is not known yet: in chunks at least one of each frame, else all are held for now.
    needed = estimate(request, request.grid[0] if request.in_chunks else None)
    frames = (("frames", needed.frames),) if request.one_memory else ()
    return (
        *frames,
        ("pixels", needed.pixels),
        ("embeddings", needed.embeddings),
        ("vision tower", needed.vision),
    )


def _reading(request: Request, kept: int) -> Parts:
    needed = estimate(request, kept)
    return (("prefill", needed.prefill), ("KV cache", needed.kv_cache))


def _peak(request: Request) -> int:
    return estimate(request, request.most_kept).device_bytes


def _fewer_frames(request: Request, cost: Callable[[Request], int]) -> Callable[[int], Iterator[str]]:
    def remedies(room: int) -> Iterator[str]:
        frames = _largest(request.frames, lambda n: n > 0 and cost(request.with_frames(n)) <= room)
        if 0 < frames < request.frames:
            yield f"--frames {frames}"

    return remedies


def _lighter(model: KnownModel, itemsize: int, room: int) -> Iterator[str]:
    if itemsize == 4 and model.weights_bytes(2) <= room:
        yield "--dtype bfloat16"
    yield from _smaller_profiles(model, itemsize, room)


def _smaller_profiles(
    model: KnownModel, itemsize: int, room: int, request: Request | None = None
) -> Iterator[str]:
    """The shipped profile with the largest model with which all that is asked fits.

    Where that is not known, its weights leave a quarter of the room for the rest.
    """
    most = room if request is not None else room * 3 // 4
    names = {resolve({}, {}, profile=name).settings.model.id: name for name in profile_paths({})}
    fitting = [
        (facts["parameters"], model_id)
        for model_id, facts in shipped().items()
        if model_id in names and model_id != model.id and facts["parameters"] * itemsize <= most
    ]
    for _, model_id in sorted(fitting, reverse=True):
        if request is None or _fits(model_id, request, room):
            yield f"-p {names[model_id]}"
            return


def _fits(model_id: str, request: Request, room: int) -> bool:
    """Whether another model would do with the same frames."""
    try:
        other = foretold(ModelSettings(id=model_id))
    except ModelError:  # a package that it needs is missing
        return False
    return _peak(replace(request, model=other)) <= room


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `most` that fits, by bisection (fewer always take less); 0 where none does."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _floored(scale: float) -> str:
    return f"{int(scale * 100) / 100:g}"
