"""What commands that run a model do before it: all that can fail without it, so that no mistake waits for torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sharpv_cli import terminal
from sharpv_cli.commands.pulling import pull
from sharpv_cli.errors import ModelError, UsageError
from sharpv_cli.session import done, require_own_process
from sharpv_cli.signals import in_front
from sharpv_cli.text import shown

if TYPE_CHECKING:
    from sharpv_cli.commands.options import Flags
    from sharpv_cli.seen.recall import Kept
    from sharpv_cli.settings import Resolved
    from sharpv_cli.video.local import LocalVideo
    from sharpv_cli.video.probe import Scan

T = TypeVar("T")

_MOST_AT_ONCE = 64


def read_settings(flags: Flags, profile: str | None) -> Resolved:
    """The settings of the run; the cheapest checks come with it. Raises UsageError."""
    from sharpv_cli.settings import resolve

    terminal.require_stdout()
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of libraries would land between our own lines
    resolved = resolve(flags, os.environ, profile=profile)
    _stay_offline(resolved)
    for key in resolved.overruled:
        origin = resolved.origins[key]
        terminal.say("note", f"the config file's {key} is not used: {origin} overrides it")
    return resolved


def batch_size_of(given: str) -> int | None:
    """Answers at once; None is auto. Raises UsageError."""
    if given == "auto":
        return None
    if not given.isdecimal() or not 1 <= int(given) <= _MOST_AT_ONCE:
        raise UsageError(
            f"--batch-size {shown(given)}: neither auto nor a number from 1 to {_MOST_AT_ONCE}",
            hint="leave it out: as many answers are decoded at once as there is memory for",
        )
    return int(given)


def warn_unlocked(path: Path, *, locked: bool) -> None:
    """Say where nothing keeps a second run from writing to the results."""
    if not locked:
        terminal.say(
            "warning", f"the file system of {shown(path)} knows no locks: let one run at a time write to it"
        )


@contextmanager
def opened(video: str, resolved: Resolved) -> Iterator[LocalVideo]:
    """The video as a regular file: copied first, with a bar, where it comes from stdin, a pipe or the web.

    Raises VideoError; what lies on this machine is only looked at by `check_inputs`.
    """
    from sharpv_cli.pipeline.frames import source

    with terminal.Transfer() as bar, source(video, resolved.settings, bar.show) as local:
        bar.stop()
        yield local.for_others() if in_front() else local


def scanned_or_seen(video: LocalVideo, resolved: Resolved) -> tuple[Scan | None, Kept | None]:
    """The video's scan, and what is kept of it: where there is something, it is not scanned.

    Raises VideoError, UsageError, ModelError.
    """
    from sharpv_cli.seen.recall import Recall

    recall = Recall.at(video, resolved.settings)
    expected = recall is not None and recall.expected
    return None if expected else scan_of(video, resolved), recall


def check_inputs(video: LocalVideo, resolved: Resolved) -> Scan:
    """Refuse a video or a checkpoint that cannot be used, then download what is missing of the model; the video's scan.

    Raises VideoError, ModelError, ResourceError, UsageError.
    """
    found = scan_of(video, resolved)
    check_model(resolved)
    return found


def scan_of(video: LocalVideo, resolved: Resolved) -> Scan:
    """The video's scan, made now unless it is held. Raises VideoError, UsageError."""
    from sharpv_cli.pipeline.frames import returned
    from sharpv_cli.pipeline.looks import scanned

    return returned(done(partial(scanned, video, resolved.settings)))


def check_model(resolved: Resolved) -> None:
    """Refuse a checkpoint that cannot be used, then download what is missing of it.

    Raises ModelError, ResourceError, UsageError.
    """
    from sharpv_cli.models import checkpoint, hub

    model, offline = resolved.settings.model, resolved.settings.offline
    checkpoint.check(model, offline=offline)
    if checkpoint.locate(model, offline=offline) is not None:
        return
    require_own_process()
    planned = hub.plan(model)  # a hub that is out of reach is told before torch is imported
    hub.require_space(planned)
    if resolved.settings.memory_check:
        with terminal.heavy_imports():
            _require_room(resolved)
    pull(model, planned)


def say_settings(resolved: Resolved) -> None:
    """`--show-settings`: each setting and where it came from, on stderr."""
    from sharpv_cli.settings import as_yaml

    terminal.show(as_yaml(resolved).rstrip(), soft_wrap=True)


def name_demo_model(resolved: Resolved) -> None:
    """Say that the built-in model answers, when it does."""
    from sharpv_cli.settings import BUILTIN_MODEL

    if resolved.settings.model.id == BUILTIN_MODEL:
        terminal.say(
            "note",
            "the built-in demo model answers; it knows only moving shapes (for a real model: -p llava-ov-0.5b)",
        )


def first_after_loading(events: Iterator[T], progress: terminal.Progress, names: Mapping[str, str]) -> T:
    """Skip to the first event at which there is something to keep; until then Ctrl-C leaves at once."""
    from sharpv_cli.types import StageStarted

    with terminal.heavy_imports():
        for event in events:
            if not (isinstance(event, StageStarted) and event.stage in ("load", "decode")):
                return event
            progress.stage(names[event.stage])
    raise AssertionError("the pipeline ended before it asked the model")


def _stay_offline(resolved: Resolved) -> None:
    """The hub reads these when it is imported, so before that; what is on this machine needs no network."""
    from sharpv_cli.models.on_disk import is_local

    model = resolved.settings.model.id
    if resolved.settings.offline or is_local(model):
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def _require_room(resolved: Resolved) -> None:
    """Refuse a download whose weights would not fit, where that is known beforehand. Raises ResourceError."""
    from sharpv_cli.models.known import foretold

    settings = resolved.settings
    try:
        model = foretold(settings.model)
    except ModelError:
        return  # the size of its files is told before they are fetched
    from sharpv_cli.models.memory_check import require_weights
    from sharpv_cli.models.placement import pick_dtype, place  # imports torch

    placement = place(settings.device)
    dtype = pick_dtype(settings.model.dtype, placement.device)
    require_weights(model, dtype.itemsize, placement.name, placement.available_bytes())
