"""The clips that a process which stays looked at last: a further question about one of them pays only for itself.

A file is the same when device, inode, size and times are. Importing this imports no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Self

from sharpv_cli import metrics
from sharpv_cli.digests import Facts, facts_of, is_settled
from sharpv_cli.pipeline.frames import timed
from sharpv_cli.pipeline.opening import VideoPath, open_clip
from sharpv_cli.seen.recall import Kept
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, reading
from sharpv_cli.shelf import SHELF
from sharpv_cli.types import Loaded, Noted, StageStarted
from sharpv_cli.video.local import FilePath, name_of, notes_of
from sharpv_cli.video.subtitle_files import beside

if TYPE_CHECKING:
    from sharpv_cli.pipeline.prompts import SharedPrompts
    from sharpv_cli.pipeline.question import Spent
    from sharpv_cli.video.probe import Scan


@dataclass(frozen=True, slots=True)
class Look:
    """A video that was opened, for questions about it; `spent` counts with the first one. A context manager.

    `recall` keeps on disk what was seen, None where that is not wanted. In a process that stays it is held when it is
    closed, for later commands.
    """

    video: FilePath
    prompts: SharedPrompts
    spent: Spent
    scan: Scan | None
    key: Key | None
    recall: Kept | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        clip = self.prompts.clip
        clip.frames.__exit__()
        self.prompts.first = None
        if self.key is None:
            return
        if self.prompts.complete and _key_of(self.video, clip.settings) == self.key:
            SHELF.put(self.key, self)
        else:  # the file has changed meanwhile, or there is nothing to go on from
            SHELF.drop(self.key)

    @property
    def nbytes(self) -> int:
        return self.prompts.nbytes

    def free_bytes(self) -> int | None:
        return self.prompts.free_bytes()

    def kept(self) -> Iterator[Noted]:
        """Keep on disk what was seen, for questions of another day; what there is to say about it."""
        recall, first = self.recall, self.prompts.first
        if recall is None:
            return
        if first is not None and first.clip.entry is None:
            from sharpv_cli.pipeline.recalling import keep_seen

            keep_seen(recall, first)
        yield from map(Noted, recall.notes)


def open_look(
    video: VideoPath,
    settings: Settings,
    scan: Scan | None = None,
    session: Session | None = None,
    recall: Kept | None = None,
) -> Generator[StageStarted | Loaded, None, Look]:
    """The look that is held of the video, or a new one. Raises and takes what `open_clip` does."""
    key = _key_of(video, settings)
    if key is not None and SHELF.get(key) is not None and settings.seen != "refresh":
        look = _again(video, settings, key, session, kept=recall is not None)
        if look is not None:
            clip = look.prompts.clip
            yield Loaded(clip.info, clip.sample, clip.loaded.info)
            return look
    clip, spent = yield from open_clip(video, settings, scan, session, recall)
    from sharpv_cli.pipeline.prompts import SharedPrompts

    return Look(video, SharedPrompts(clip, stays=key is not None), spent, scan, key, recall)


def scan_of(video: FilePath, settings: Settings) -> Scan | None:
    """The scan of a video that a look is held of."""
    key = _key_of(video, settings)
    held: Look | None = None if key is None else SHELF.get(key)
    return None if held is None else held.scan


def _again(
    video: FilePath, settings: Settings, key: Key, session: Session | None, *, kept: bool
) -> Look | None:
    """What is held, with the model that it was made with; where that was exchanged, nothing is held any more."""
    from sharpv_cli.pipeline.question import Spent

    started = metrics.now()
    ready, load_sec = timed(lambda: session or open_session(settings))
    held: Look | None = SHELF.get(key)
    if held is None or held.prompts.clip.loaded is not ready.loaded:
        return None
    held.prompts.begin(ready, settings, name_of(video), held=kept)
    return Look(video, held.prompts, Spent(load_sec, started=started), held.scan, key)


@dataclass(frozen=True, slots=True)
class Key:
    """All that decides what is read of a video, but for the model that is loaded; `suffix` names its container.

    `words` are the files of subtitles that may be read with it.
    """

    file: Facts
    words: tuple[tuple[str, Facts | None], ...]
    suffix: str
    notes: tuple[str, ...]
    settings: str


def _key_of(video: FilePath, settings: Settings) -> Key | None:
    """None where nothing will be held: in most processes, and of a file that may still change unseen."""
    if not SHELF.places:
        return None
    file = _identity(video)
    words = [(name, _identity(name)) for name in _words_of(video, settings)]
    if file is None or any(same is None and os.path.lexists(name) for name, same in words):
        return None
    return Key(
        file, tuple(words), PurePath(name_of(video)).suffix, notes_of(video), json.dumps(reading(settings))
    )


def _identity(file: FilePath) -> Facts | None:
    """None of what is not there, or may still change unseen."""
    try:
        facts = facts_of(file)
    except (OSError, ValueError):
        return None
    return facts if is_settled(facts) else None


def _words_of(video: FilePath, settings: Settings) -> list[str]:
    """The files of subtitles that may be meant, which are in other places where the command is given elsewhere."""
    wanted = settings.prompt.subtitles
    if wanted == "off":
        return []
    return [os.path.abspath(name) for name in (wanted, *(file.path for file in beside(video)))]  # noqa: PTH100
