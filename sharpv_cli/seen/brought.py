"""A clip that was kept somewhere else, in the place of a video: a file that is trusted no more than any other video."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sharpv_cli.errors import ModelError, VideoError
from sharpv_cli.models.identity import checkpoint_identity
from sharpv_cli.seen.head import DamagedError, Head, read_head
from sharpv_cli.settings import SamplingSettings, Settings, VisualSettings
from sharpv_cli.text import shown
from sharpv_cli.units import disk_size
from sharpv_cli.video.local import FilePath, name_of

if TYPE_CHECKING:
    from sharpv_cli.seen.entry import Entry
    from sharpv_cli.session import Session


@dataclass(frozen=True, slots=True)
class Brought:
    """`settings` are the user's with the file's own sampling and pruning: what was not kept cannot be chosen any more.

    Of `scale` the smaller one holds. `notes` say where the file has its own way.
    """

    video: FilePath
    settings: Settings
    head: Head
    notes: list[str]

    @classmethod
    def of(cls, video: FilePath, settings: Settings) -> Brought:
        """Raises VideoError, ModelError for one that another model has made."""
        name = shown(name_of(video))
        try:
            size = os.stat(video).st_size  # noqa: PTH116
            if size > settings.video.max_bytes:
                raise VideoError(
                    f"{name} has {disk_size(size)}, over the limit", hint="allow more with --max-bytes"
                )
            head = read_head(video)
            own = _own(head, settings)
        except (DamagedError, OSError) as error:
            raise _damaged(video, error) from error
        _require_model(video, head, settings)
        differs = own.sampling != settings.sampling or own.visual != settings.visual
        notes = [f"{name} was sampled and pruned when it was kept, and stays so"] if differs else []
        return cls(video, own, head, notes)

    @property
    def expected(self) -> bool:
        return True

    def entry(self, session: Session) -> Entry:
        """Raises VideoError for a damaged file, ModelError for another number format."""
        from sharpv_cli.seen.entry import read_entry

        if session.loaded.info.dtype != self.head.dtype:
            raise ModelError(
                f"{shown(name_of(self.video))} was kept in {self.head.dtype}, the model runs in "
                f"{session.loaded.info.dtype}",
                hint=f"use --dtype {self.head.dtype}",
            )
        try:
            entry = read_entry(self.video)
        except (DamagedError, OSError) as error:
            raise _damaged(self.video, error) from error
        if entry.head != self.head:
            raise _damaged(self.video, "it has changed just now")
        return entry

    def read_whole(self) -> None:
        """It is kept where it is, and so it is not read again."""

    def reader(self) -> Callable[[], None]:
        """As `read_whole`."""
        return self.read_whole

    def made(self, *_: object) -> None:
        """As `read_whole`."""

    def write(self, *_: object) -> None:
        """As `read_whole`."""


def _own(head: Head, settings: Settings) -> Settings:
    try:
        told: dict[str, Any] = json.loads(head.settings)
        scale = min(settings.visual.scale, head.scale)
        sampling = SamplingSettings.model_validate(told["sampling"])
        visual = VisualSettings.model_validate({**told["visual"], "scale": scale})
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise DamagedError("its settings cannot be read") from error
    if visual.mode != head.mode or head.height * head.width > settings.video.max_pixels:
        raise DamagedError("it contradicts itself")
    return settings.model_copy(update={"sampling": sampling, "visual": visual})


def _require_model(video: FilePath, head: Head, settings: Settings) -> None:
    if checkpoint_identity(settings.model, offline=settings.offline) != head.checkpoint:
        raise ModelError(
            f"{shown(name_of(video))} was made with {shown(head.model)}, and {shown(settings.model.id)} is another one",
            hint="name the same model with -p or --model; its files have to be the same to the byte",
        )
    least = head.least_answer
    if least is not None and settings.generation.max_new_tokens < least:
        raise VideoError(
            f"{shown(name_of(video))} holds what the context has room for beside {least} tokens of answer",
            hint=f"use --max-new-tokens {least} or more",
        )


def _damaged(video: FilePath, error: object) -> VideoError:
    return VideoError(
        f"{shown(name_of(video))} cannot be used: {error}", hint="export it again with `sharpv seen export`"
    )
