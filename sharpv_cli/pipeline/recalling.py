"""From a clip's first prompt to what is kept of it, and back: the way of a frame, of a clip that was seen before."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from sharpv_cli.engine.device import synchronize
from sharpv_cli.errors import VideoError
from sharpv_cli.models.assembling import VisualPart, held_of, placed, visual_part
from sharpv_cli.models.blame import out_of_memory
from sharpv_cli.models.wording import Wording, Wordings, is_metadata, wordings_made, wordings_of_long
from sharpv_cli.pipeline.aside import read_aside
from sharpv_cli.pipeline.clip import Clip, Encoded
from sharpv_cli.pipeline.selecting import kept_by, scores_of
from sharpv_cli.pruning.visual import Scores
from sharpv_cli.seen.entry import Entry, is_finite, made_head
from sharpv_cli.seen.head import FORMAT, Head, VideoHead
from sharpv_cli.seen.key import Maker, VisualKey
from sharpv_cli.seen.recall import Kept
from sharpv_cli.seen.thumbnails import Thumbnails
from sharpv_cli.text import shown
from sharpv_cli.types import Waiting
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.local import FilePath, is_private, name_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sharpv_cli.metrics import StageClock

# Of one visual token, in any family: patches that are merged into it, and pixels that it is made of.
_MOST_PATCHES, _MOST_PIXELS = 64, 1 << 14


def frames_seen(video: FilePath, entry: Entry) -> Frames:
    """Its frames, as small pictures, under the name that it has now."""
    return Frames(replace(entry.info, path=name_of(video)), entry.sample)


def encode_seen(clip: Clip, entry: Entry, question: str, clock: StageClock) -> Encoded:
    """The whole prompt of a question, of what is kept: neither are frames decoded, nor is the vision tower run.

    Raises VideoError where that does not fit the model's prompt.
    """
    with clock.stage("preprocess"):
        device = clip.loaded.device
        if not _counts(clip, entry):
            raise _no_fit(clip)
        wordings = _wordings(clip, entry)
        words = wordings.of(question)
        part = _moved(entry.part, device)
        _require_fit(clip, part, words, entry)
        whole = placed(clip.loaded, words, part)
        synchronize(device)
    return Encoded(clip, whole, wordings, _scores_moved(entry.scores, device), words)


def require_held(encoded: Encoded, keep: Tensor) -> None:
    """Raise VideoError where scores choose what is not there: no file that was made here says so."""
    if bool((keep & ~held_of(encoded.whole)).any()):
        raise _no_fit(encoded.clip)


def keep_seen(recall: Kept | None, first: Encoded | None) -> Generator[Waiting]:
    """Keep what the first prompt has seen, if it has; for that files are read and written while others go on.

    Where it cannot be kept, the notes of `recall` say why.
    """
    if recall is None or first is None or first.clip.seen:
        return
    yield from read_aside(recall.reader(), after=True)
    try:
        entry = recall.made(first.clip.session, partial(_entry, first, recall.video))
        if entry is not None:
            yield from read_aside(partial(recall.write, entry), after=True)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        recall.notes.append("what was seen is not kept: the device has no memory left for that")


def _entry(encoded: Encoded, video: FilePath, key: VisualKey, maker: Maker, ends: str) -> Entry | None:
    """None where this prompt is of a kind that is not known, or not finite."""
    clip, whole, made = encoded.clip, encoded.whole, encoded.wordings.made
    if made is None and not encoded.wordings.is_long:
        return None
    visual, held = clip.settings.visual, held_of(whole)
    scores = encoded.scores if whole.present is not None else scores_of(whole, visual)
    kept = kept_by(scores, visual, whole.slots)
    limited = bool((kept & ~held).any())
    placeholder = int(whole.input_ids[0, whole.slots[0, 0]])
    part = visual_part(whole, placeholder, held if whole.present is not None else kept)
    if part is None:
        return None
    numbers = (part.rows, *part.deepstack, *(() if scores is None else (scores.importance,)))
    if not all(map(is_finite, numbers)):
        return None
    images = cast(Any, Thumbnails.of(clip.sample.images))  # looks like an array
    height, width = clip.sample.size
    head = Head(
        format=FORMAT,
        ends=ends,
        **asdict(key),
        **asdict(maker),
        model=clip.loaded.info.id,
        revision=clip.loaded.info.revision,
        family=clip.loaded.family.model_type,
        created=time.time(),
        info=VideoHead(**{**asdict(clip.info), "path": _place(video)}),
        strategy=clip.sample.strategy,
        warnings=list(clip.sample.warnings),
        height=height,
        width=width,
        grid=whole.grid,
        mode=visual.mode,
        scale=visual.scale,
        least_answer=clip.limit if limited else None,
        after=None if part.positions is None else part.positions.after,
        made=made_head(made),
        thumbnails=(images.height, images.width),
    )
    return Entry(
        head, clip.info, replace(clip.sample, images=images, decoded=(height, width)), part, scores, made
    )


def _place(video: FilePath) -> str:
    """Where it lies, or what it was called where it came from; only to be shown."""
    place = name_of(video) if is_private(video) else os.path.realpath(video)
    return place.encode("utf-8", "backslashreplace").decode()


def _wordings(clip: Clip, entry: Entry) -> Wordings:
    prompt = clip.prompt
    if entry.made is None:
        return wordings_of_long(clip.loaded, clip.info, clip.sample, clip.sample.size, prompt)
    return wordings_made(clip.loaded, clip.info, clip.sample, prompt, entry.made)


def _require_fit(clip: Clip, part: VisualPart, words: Wording, entry: Entry) -> None:
    """What is kept was made of other frames, or by another model, where the counts are not those of this prompt."""
    layout, held = words.layout, int(part.held.sum())
    beside = int(words.placeholders.sum()) - layout.slots.numel()
    places = words.placeholders.nonzero()
    mrope = clip.loaded.family.positions == "mrope"
    fits = (
        layout.slots.shape == part.held.shape
        and layout.grid == entry.head.grid
        and len(part.rows) == held + beside
        and part.rows.shape[1] == clip.loaded.model.get_input_embeddings().weight.shape[1]
        and part.rows.dtype == clip.loaded.model.dtype
        and mrope == (part.positions is not None)
        and (part.positions is None or part.positions.within.shape[1] == int(places[-1] - places[0]) + 1)
    )
    if not fits:
        raise _no_fit(clip)


def _no_fit(clip: Clip) -> VideoError:
    return VideoError(
        f"{shown(clip.info.path)}: what was kept of it does not fit this model's prompt",
        hint="make it anew with --seen refresh",
    )


def _counts(clip: Clip, entry: Entry) -> bool:
    """Whether what prompts are made of counts as many frames and tokens as are kept: not what takes all memory."""
    frames, (slots, tokens) = len(entry.sample), entry.part.held.shape
    if slots != -(-frames // clip.loaded.family.frames_per_slot):
        return False
    made = entry.made
    if made is None:
        return clip.loaded.family.positions == "1d"
    if not is_metadata(made.metadata):
        return False
    grid = made.tensors.get("video_grid_thw")
    patches = slots * tokens * _MOST_PATCHES
    if grid is not None and not (
        grid.numel() == 3 and bool((grid > 0).all()) and int(grid.prod()) <= patches
    ):
        return False
    shapes = [shape for shape, _ in made.shapes.values()]
    return all(
        _is_clip(shape, frames, tokens) if len(shape) > 2 else shape[0] <= patches for shape in shapes
    ) and all(tensor.numel() <= patches + frames + 3 for tensor in made.tensors.values())


def _is_clip(shape: tuple[int, ...], frames: int, tokens: int) -> bool:
    """Whether a video processor's pictures, [1, T, ..., height, width], are of so many frames, and not immense."""
    *_, height, width = shape
    return shape[:2] == (1, frames) and 0 < height * width <= tokens * _MOST_PIXELS


def _moved(part: VisualPart, device: torch.device) -> VisualPart:
    positions = part.positions
    if positions is not None:
        positions = replace(positions, within=positions.within.to(device))
    deepstack = tuple(rows.to(device) for rows in part.deepstack)
    return VisualPart(part.held.to(device), part.rows.to(device), deepstack, positions)


def _scores_moved(scores: Scores | None, device: torch.device) -> Scores | None:
    if scores is None:
        return None
    names = ("spatial", "temporal", "importance", "ratio")
    return Scores(*(getattr(scores, name).to(device) for name in names))
