"""The clips that a process which stays looked at last: a further question about one of them pays only for itself.

A file is the same when device, inode, size and times are. Importing this imports no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Self

from sharpv_cli import metrics
from sharpv_cli.digests import Facts, facts_of, is_settled
from sharpv_cli.pipeline.aside import read_aside
from sharpv_cli.pipeline.frames import scan as scan_anew
from sharpv_cli.pipeline.frames import timed
from sharpv_cli.pipeline.opening import VideoPath, open_clip
from sharpv_cli.seen.recall import Kept
from sharpv_cli.session import Session, held_session, open_session
from sharpv_cli.settings import Settings, reading
from sharpv_cli.shelf import SHELF
from sharpv_cli.types import Loaded, Noted, StageStarted, Waiting
from sharpv_cli.video.local import FilePath, name_of, notes_of
from sharpv_cli.video.subtitle_files import beside

if TYPE_CHECKING:
    from sharpv_cli.pipeline.prompts import SharedPrompts
    from sharpv_cli.pipeline.question import Spent
    from sharpv_cli.video.probe import Scan


_COMING: set[Key | None] = set()
"""What somebody looks at just now: others who ask about the same wait for it."""


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
        _COMING.discard(self.key)
        self.prompts.clip.frames.__exit__()
        self.prompts.first = None
        if self._is_whole:
            SHELF.put(self.key, self)
        elif self.key is not None:
            SHELF.drop(self.key)

    def share(self) -> None:
        """From now on others may ask about the video as well, who have waited for this."""
        _COMING.discard(self.key)
        if self._is_whole:
            clip = self.prompts.clip
            prompts = self.prompts.asked_again(clip.session, clip.settings, clip.info.path, held=clip.held)
            SHELF.put(self.key, replace(self, prompts=prompts, recall=None))

    @property
    def _is_whole(self) -> bool:
        """Whether there is something to go on from, and the file has not changed meanwhile."""
        settings = self.prompts.clip.settings
        return self.key is not None and self.prompts.complete and _key_of(self.video, settings) == self.key

    @property
    def nbytes(self) -> int:
        return self.prompts.nbytes

    def free_bytes(self) -> int | None:
        return self.prompts.free_bytes()

    def kept(self) -> Iterator[Noted | Waiting]:
        """Keep on disk what was seen, for questions of another day; what there is to say about it."""
        from sharpv_cli.pipeline.recalling import keep_seen

        yield from keep_seen(self.recall, self.prompts.take_first())
        yield from map(Noted, [] if self.recall is None else self.recall.notes)


def open_look(
    video: VideoPath,
    settings: Settings,
    scan: Scan | None = None,
    session: Session | None = None,
    recall: Kept | None = None,
) -> Generator[StageStarted | Loaded | Waiting, None, Look]:
    """The look that is held of the video, or a new one. Raises and takes what `open_clip` does."""
    session = session or (yield from held_session(settings))
    key = _key_of(video, settings)
    while key in _COMING:
        yield Waiting()
    if key is not None and SHELF.get(key) is not None and settings.seen != "refresh":
        look = _again(video, settings, key, session, kept=recall is not None)
        if look is not None:
            clip = look.prompts.clip
            yield Loaded(clip.info, clip.sample, clip.loaded.info)
            return look
    with ExitStack() as on_failure:
        if key is not None:
            _COMING.add(key)
            on_failure.callback(_COMING.discard, key)
        clip, spent = yield from open_clip(video, settings, scan, session, recall)
        on_failure.pop_all()
    from sharpv_cli.pipeline.prompts import SharedPrompts

    look = Look(video, SharedPrompts(clip, stays=key is not None), spent, scan, key, recall)
    look.prompts.when_read = look.share
    return look


def scanned(video: FilePath, settings: Settings) -> Generator[Waiting, None, Scan]:
    """The video's scan, made now unless a look is held of it. Raises VideoError, UsageError."""
    key = _key_of(video, settings)
    held: Look | None = None if key is None else SHELF.get(key)
    if held is not None and held.scan is not None:
        return held.scan
    return (yield from read_aside(partial(scan_anew, video, settings)))


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
    prompts = held.prompts.asked_again(ready, settings, name_of(video), held=kept)
    return Look(video, prompts, Spent(load_sec, started=started), held.scan, key)


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
