"""One video and the settings under which it is asked about: what is kept of it, and what will be.

Nothing here delays a first answer. Before a video is decoded, only its ends are read: they tell whether there may be
something of it. All of it is read, for its digest, where that is so, or after the answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli.digests import Facts, Remembered, digest_of, facts_of, is_settled
from sharpv_cli.errors import ModelError, VideoError
from sharpv_cli.models.identity import identity_reader
from sharpv_cli.seen.brought import Brought
from sharpv_cli.seen.head import DamagedError, Head, is_ours
from sharpv_cli.seen.key import Maker, VisualKey
from sharpv_cli.seen.store import Store, ends_of, touch
from sharpv_cli.text import shown
from sharpv_cli.units import disk_size
from sharpv_cli.video.local import FilePath, is_private, name_of

if TYPE_CHECKING:
    from sharpv_cli.seen.entry import Entry
    from sharpv_cli.session import Session
    from sharpv_cli.settings import Settings

EntryFor = Callable[[VisualKey, Maker, str], "Entry | None"]
"""Makes what is to be kept, of a key, what it was made on, and the digest of the video's ends; None: it cannot be."""

_QUICK_BYTES = 32 << 20  # of a video that was written just now: read before it is decoded
_MOST_SHARE = 4  # no entry takes more than this part of the store


@dataclass
class Recall:
    """Of the video under `settings`; `notes` are sentences for the user, as they come up.

    `expected` says that something may be there, so that the model is needed before the video is.
    """

    video: FilePath
    settings: Settings
    store: Store
    notes: list[str] = field(default_factory=list)
    expected: bool = field(default=False, init=False)
    _file: str = field(default="", init=False)  # the same from any folder
    _ends: str = field(default="", init=False)
    _facts: Facts | None = field(default=None, init=False)
    _first_digest: str | None = field(default=None, init=False)
    _key: VisualKey | None = field(default=None, init=False)
    _own_key: VisualKey | None = field(default=None, init=False)  # of what is to be kept
    _is_read: bool = field(default=False, init=False)

    @classmethod
    def at(cls, video: FilePath, settings: Settings) -> Recall | Brought | None:
        """`Brought` where the video is a file of what was seen of one; None where nothing is to be kept or used.

        Raises VideoError where only what was kept may be used, ModelError.
        """
        if is_ours(_beginning(video)):
            return Brought.of(video, settings)
        store = None if settings.seen == "off" else Store.of(settings.seen_max_bytes)
        if store is None:
            if settings.seen == "only":
                raise _nothing_kept(video, "there is no home folder")
            return None
        recall = cls(video, settings, store)
        recall._begin()
        if settings.seen == "only" and recall._ends and not recall.expected:
            raise _nothing_kept(video, "nothing is kept of it with these settings and this model")
        return recall

    def _begin(self) -> None:
        self._ends = ends_of(os.fspath(self.video))
        if not self._ends:
            return
        try:
            self._file = os.fspath(Path(self.video).absolute())
            self._facts = facts_of(self._file)
            known = self.settings.seen != "refresh" and self.store.knows(self._ends)
            fresh = not is_private(self.video) and not is_settled(self._facts)
            if known or (fresh and self._facts[2] <= _QUICK_BYTES):
                self._first_digest = self._digest()
        except OSError:
            return  # whoever decodes it says what is wrong
        if fresh and self._first_digest is None:
            self._facts = None
        if known and self._first_digest is not None:
            self._key = VisualKey.of(self._first_digest, self.settings)
            self.expected = bool(self.store.made_of(self._ends, self._key))

    def entry(self, session: Session) -> Entry | None:
        """What is kept, as it was made on the session's device. Raises VideoError where only that may be used."""
        assert self._key is not None
        path = self.store.path(self._ends, self._key, Maker.of(session))
        entry = self._read(path) if path.exists() else None
        if entry is None and self.settings.seen == "only":
            raise _nothing_kept(self.video, "nothing is kept of it for this device and number format")
        return entry

    def _read(self, path: Path) -> Entry | None:
        from sharpv_cli.seen.entry import read_entry

        try:
            entry = read_entry(path)
            self._require_own(path, entry.head)
        except FileNotFoundError:  # it was put out just now
            return None
        except (DamagedError, OSError, MemoryError) as error:
            self.notes.append(f"what was kept of {shown(name_of(self.video))} cannot be used: {error}")
            return None
        if not serves(entry.head, self.settings):
            return None
        touch(path)
        return entry

    def _require_own(self, path: Path, head: Head) -> None:
        """Raise DamagedError for a file of another clip under this one's name."""
        if path != self.store.path(self._ends, head.key, head.maker):
            raise DamagedError("it is of something else than its name says")

    def read_whole(self) -> None:
        """Read all of the video, once it was decoded, and of the checkpoint, for their digests: `made` needs them.

        Where it cannot be, `notes` say why. A copy of our own is gone when what was seen is kept.
        """
        self.reader()()

    def reader(self) -> Callable[[], None]:
        """What does so, on any thread and from any folder."""
        if self._facts is not None and not self._is_read:
            self._is_read = True
            with self._noting():
                checkpoint = identity_reader(self.settings.model, offline=self.settings.offline)
                return partial(self._read_whole, self._facts, checkpoint)
        return lambda: None

    def _read_whole(self, facts: Facts, checkpoint: Callable[[], str]) -> None:
        with self._noting():
            self.store.prepare()
            if (whole := self._unchanged_digest(facts)) is not None:
                self._own_key = VisualKey.of(whole, self.settings, checkpoint())

    def made(self, session: Session, entry_for: EntryFor) -> Entry | None:
        """What is to be kept, once, of a video that was read whole; None where it changed meanwhile."""
        key, self._own_key = self._own_key, None
        if key is not None:
            with self._noting():
                return entry_for(key, Maker.of(session), self._ends)
        return None

    def write(self, entry: Entry) -> None:
        """Keep it; on any thread, for there may be much of it."""
        with self._noting():
            content = entry.to_bytes()
            if len(content) <= self.store.most_bytes // _MOST_SHARE:
                self.store.write(self.store.path(self._ends, entry.head.key, entry.head.maker), content)
            else:
                self._note(f"it takes {disk_size(len(content))}, more than a quarter of --seen-max-bytes")

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except ModelError:
            return  # its files are gone: whoever loads it next says so
        except (OSError, MemoryError) as error:
            self._note(f"{shown(self.store.folder)}: {getattr(error, 'strerror', None) or error}")

    def _note(self, why: str) -> None:
        name = shown(name_of(self.video))
        self.notes.append(f"what was seen of {name} is not kept: {why} (--seen off does without)")

    def _unchanged_digest(self, facts: Facts) -> str | None:
        """That of the video which was decoded; None where it is another one by now."""
        if is_private(self.video) and self._first_digest is not None:
            return self._first_digest
        digest = self._digest()
        unchanged = facts_of(self._file) == facts and self._first_digest in (None, digest)
        return digest if unchanged else None

    def _digest(self) -> str:
        """Of the whole video; remembered, for one that stays where it is."""
        if is_private(self.video):
            return digest_of(self._file)
        remembered = Remembered(self.store.digests)
        digest = remembered.digest(self._file)
        remembered.save()
        return digest


def serves(head: Head, settings: Settings) -> bool:
    """Whether an entry of the right key holds all that these settings keep: of a larger scale it is a part."""
    least = head.least_answer
    return (head.mode != "adaptive" or settings.visual.scale <= head.scale) and (
        least is None or settings.generation.max_new_tokens >= least
    )


def _beginning(video: FilePath) -> bytes:
    """Some bytes; none of what is no file, or cannot be read, which whoever decodes it says."""
    if not os.path.isfile(video):  # noqa: PTH113 - never raises
        return b""
    try:
        with open(video, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read(64)
    except OSError:
        return b""


def _nothing_kept(video: FilePath, why: str) -> VideoError:
    return VideoError(
        f"{shown(name_of(video))}: --seen only, and {why}",
        hint="leave out --seen only, or look at it first with `sharpv index`",
    )


Kept = Recall | Brought
"""What is known of a video that may have been seen before: from the store, or brought along."""
