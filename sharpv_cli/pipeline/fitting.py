"""Whether an answer fits the memory that is free: asked before frames are encoded, and before a prompt is read.

What the prefill takes depends on what is kept, which nobody knows before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from sharpv_cli.errors import ResourceError, UsageError
from sharpv_cli.models.available import available_bytes, host_bytes
from sharpv_cli.models.blame import out_of_memory
from sharpv_cli.models.estimate import Request, estimate
from sharpv_cli.models.memory_check import require_frames, require_prefill
from sharpv_cli.models.tokenizing import count_tokens
from sharpv_cli.pipeline.clip import Clip, Kept
from sharpv_cli.pipeline.long.chunks import CHUNK_FRAMES
from sharpv_cli.pipeline.selecting import scale_that_keeps
from sharpv_cli.settings.limits import require_length
from sharpv_cli.shelf import SHELF


@contextmanager
def memory_told(clip: Clip) -> Iterator[None]:
    """Raise ResourceError where a device or the host runs out of memory all the same."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        SHELF.give_up()
        raise ResourceError(
            f"out of memory on {clip.loaded.info.device} with {len(clip.sample)} frames",
            hint="take fewer --frames, or a smaller model",
        ) from error


def counted(clip: Clip, *, for_more: bool = True) -> AbstractContextManager[None]:
    """While a clip is asked about beside others: what it holds counts, of the host's memory and of the device's.

    Its frames do, and where they are `for_more` than a single prompt, which is let go of when it was read, the whole
    prompt's embeddings.
    """
    several = clip.session.several
    if several is None:
        return nullcontext()
    frames, tokens = clip.sample.images.nbytes, estimate(_request(clip)).embeddings if for_more else 0
    apart = clip.loaded.device.type == "cuda"
    return several.holding(frames, tokens) if apart else several.holding(frames + tokens)


def require_question(clip: Clip, question: str) -> None:
    """Raise UsageError for a question that is too long for the model by itself, ResourceError for this machine.

    Before anything is made of it: each of its tokens takes as much as one of the video, and cannot be pruned.
    """
    require_length(question)
    tokens = count_tokens(clip.loaded, "\n".join(filter(None, [clip.prompt.prefix, question])))
    context = clip.loaded.context
    if context is not None and tokens + clip.limit - 1 > context:
        raise UsageError(
            f"the question has {tokens} tokens; with up to {clip.limit} of answer they do not fit the model's "
            f"context of {context}",
            hint="ask a shorter question, or lower --max-new-tokens",
        )
    if not _unchecked(clip):
        device = clip.loaded.device
        request = replace(_request(clip), text_tokens=tokens)
        _in_free_memory(lambda: require_prefill(request, 0, str(device), available_bytes(device)))


def require_encoding(clip: Clip) -> None:
    """Raise ResourceError where the frames are more than can be encoded."""
    if _unchecked(clip):
        return
    device = clip.loaded.device
    _in_free_memory(
        lambda: require_frames(_request(clip), str(device), available_bytes(device), host_bytes())
    )


def require_reading(kept: Kept) -> None:
    """Raise ResourceError where the prompt, with the visual tokens that were kept, is more than can be read."""
    clip, text_tokens = kept.encoded.clip, kept.encoded.whole.text_tokens
    if _unchecked(clip):
        return
    device = clip.loaded.device
    _in_free_memory(
        lambda: require_prefill(
            replace(_request(clip), text_tokens=text_tokens),
            int(kept.selection.keep.sum()),
            str(device),
            available_bytes(device),
            partial(scale_that_keeps, kept.scores, clip.settings.visual),
        )
    )


def require_dense(clip: Clip) -> None:
    """As both, for a prompt with all visual tokens that is read as soon as it is encoded."""
    require_encoding(clip)
    if _unchecked(clip):
        return
    request, device = _request(clip), clip.loaded.device
    require_prefill(request, request.visual_tokens, str(device), available_bytes(device))


def _in_free_memory(check: Callable[[], None]) -> None:
    """What a process that stays holds of earlier clips is given up before an answer is refused for want of memory."""
    try:
        check()
    except ResourceError:
        if not SHELF.give_up():
            raise
        check()


def _request(clip: Clip) -> Request:
    height, width = clip.sample.size
    return Request(
        model=clip.loaded.known,
        frames=len(clip.sample),
        height=height,
        width=width,
        new_tokens=clip.limit,
        itemsize=clip.loaded.model.dtype.itemsize,
        eager=clip.loaded.info.attention == "eager" or clip.engine.needs_scores,
        one_memory=clip.loaded.device.type != "cuda",
        at_once=None if clip.frames.coming is None else CHUNK_FRAMES,
    )


def _unchecked(clip: Clip) -> bool:
    """Of a model over several devices it is not known which of them would be full first."""
    return clip.loaded.split or not clip.settings.memory_check
