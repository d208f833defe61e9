"""Files of subtitles beside a video: by their names, and as text whatever their encoding."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sharpv_cli.errors import UsageError
from sharpv_cli.smallfile import marked_encoding, read_bytes
from sharpv_cli.video.local import FilePath, LocalVideo
from sharpv_cli.video.refusals import shown
from sharpv_cli.video.stamp import stamp

SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")
_PICTURES = {".sub": "DVD (VobSub)", ".idx": "DVD (VobSub)", ".sup": "PGS"}
_MOST_BYTES = 16 << 20
_MOST_NAMES = 100_000
_SAMPLE_BYTES = 1 << 16  # a guess needs no more
_NO_WORDS = re.compile(rb"[\d\s:,.>-]*")
# Those that files of subtitles are in.
_ENCODINGS = [
    "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp1258", "koi8_r", "cp932", "euc_jp", "big5",
    "gb18030", "cp949", "tis_620",
]  # fmt: skip
_ALIKE = 0.02  # guesses no further apart than this are the same: then the one that is met more often


@dataclass(frozen=True, slots=True)
class Beside:
    """`clip.srt`, or `clip.en.srt` with its language."""

    path: str
    language: str | None


def beside(path: FilePath) -> list[Beside]:
    """The files of subtitles that have the video's name, those without a language first. Never raises."""
    if isinstance(path, LocalVideo) and path.path != path.name:
        return []  # a copy of what came from elsewhere
    folder, name = os.path.split(os.fspath(path))
    stem = os.path.splitext(name)[0]  # noqa: PTH122 - of a name, not of a path
    try:
        with os.scandir(folder or ".") as entries:
            found = [*_named(folder, stem, (entry.name for entry in islice(entries, _MOST_NAMES)))]
    except OSError:
        return []
    return sorted(
        found, key=lambda file: (file.language or "", SUFFIXES.index(_suffix(file.path)), file.path)
    )


def stamps(path: FilePath, wanted: str) -> list[tuple[str, int, str]]:
    """What tells the files of subtitles apart that `wanted` may mean for a video: names, sizes and contents."""
    if wanted == "off":
        return []
    return [(file, *stamp(file)) for file in (wanted, *(other.path for other in beside(path)))]


def _named(folder: str, stem: str, names: Iterator[str]) -> Iterator[Beside]:
    for name in names:
        inner = name[len(stem) : len(name) - len(_suffix(name))]
        own = name.startswith(stem) and _suffix(name) in SUFFIXES
        if own and (not inner or (inner.startswith(".") and inner.count(".") == 1)):
            yield Beside(os.path.join(folder, name), inner[1:] or None)  # noqa: PTH118 - as it was given


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def format_of(text: str) -> str:
    """FFmpeg's name of the format, by how the text begins; names lie."""
    head = text[:1000].lstrip()
    if head.startswith("WEBVTT"):
        return "webvtt"
    return "ass" if head.startswith("[") or "\nDialogue:" in text[:100_000] else "srt"


def text_of(file: str) -> str:
    """The text of a file; its encoding is guessed where it is not UTF-8 and does not say. Raises UsageError."""
    name = f"--subtitles {shown(file)}"
    if kind := _PICTURES.get(_suffix(file)):
        raise UsageError(
            f"{name}: {kind} subtitles, which are pictures and are not read", hint="give them as text"
        )
    content = read_bytes(file, most=_MOST_BYTES, name=name, hint="give a .srt, .vtt or .ass file")
    if (encoding := marked_encoding(content)) is not None:
        return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode(_guessed(content, name), "replace")


def _guessed(content: bytes, name: str) -> str:
    from charset_normalizer import from_bytes

    # Each line of words once: numbers and times are alike in all encodings.
    lines = dict.fromkeys(
        line for line in content[:_SAMPLE_BYTES].splitlines() if not _NO_WORDS.fullmatch(line)
    )
    guesses = list(from_bytes(b"\n".join(lines), cp_isolation=_ENCODINGS))
    if not guesses:
        raise UsageError(f"{name} is no text", hint="give a .srt, .vtt or .ass file")
    best = guesses[0]
    alike = [
        guess.encoding
        for guess in guesses
        if guess.chaos - best.chaos <= _ALIKE and best.coherence - guess.coherence <= _ALIKE
    ]
    return min(alike, key=_ENCODINGS.index)
