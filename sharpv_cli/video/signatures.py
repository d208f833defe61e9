"""What a file is, by its first bytes: archives, pictures, pages, and films of kinds that are not read."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

READABLE = "mp4, mov, mkv, webm, avi, ts, mxf, gif and many other files are read"
AS_PICTURE = "with --picture it is read as a clip of one frame"
_UNPACK = "unpack it first, then give the video that it holds"
_CONVERT = "convert it to MP4 first; ffmpeg may be able to"

_STILL_BRANDS = {b"avif", b"mif1", b"heic", b"heix", b"heim", b"heis"}
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"8BPS", b"\0\0\1\0")
_ARCHIVES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1f\x8b", "compressed (gzip)"),
    (0, b"\x1f\x9d", "compressed (compress)"),
    (0, b"BZh", "compressed (bzip2)"),
    (0, b"\xfd7zXZ\0", "compressed (xz)"),
    (0, b"\x28\xb5\x2f\xfd", "compressed (Zstandard)"),
    (0, b"\x04\x22\x4d\x18", "compressed (LZ4)"),
    (0, b"\x02\x21\x4c\x18", "compressed (LZ4)"),
    (0, b"LZIP", "compressed (lzip)"),
    (0, b"\x89LZO\0\r\n\x1a\n", "compressed (lzop)"),
    (0, b"LRZI", "compressed (lrzip)"),
    (0, b"\xff\x06\0\0sNaPpY", "compressed (Snappy)"),
    (0, b"PK\3\4", "a ZIP archive, or a document made of one"),
    (0, b"PK\5\6", "an empty ZIP archive"),
    (0, b"PK\7\x08", "a part of a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"MSCF\0\0\0\0", "a CAB archive"),
    (0, b"xar!", "a XAR archive"),
    (0, b"!<arch>\n", "an ar archive"),
    (0, b"\xed\xab\xee\xdb", "an RPM archive"),
    (0, b"070701", "a cpio archive"),
    (0, b"\x60\xea", "an ARJ archive"),
    (2, b"-lh", "an LHA archive"),
    (7, b"**ACE**", "an ACE archive"),
    (257, b"ustar", "a tar archive"),
)
_FILMS: tuple[tuple[int, bytes, str], ...] = (
    (0, b".RMF", "RealMedia"),
    (0, b".REC", "RealMedia"),
    (0, b"FWS", "Flash (SWF)"),
    (0, b"CWS", "Flash (SWF)"),
    (0, b"ZWS", "Flash (SWF)"),
    (4, b"\x11\xaf", "FLIC"),
    (4, b"\x12\xaf", "FLIC"),
    (0, b"BIK", "Bink"),
    (0, b"KB2", "Bink"),
    (0, b"SMK2", "Smacker"),
    (0, b"SMK4", "Smacker"),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d", "WTV"),
    (0, b"NSVf", "NSV"),
    (0, b"NSVs", "NSV"),
    (8, b"4XMV", "4XM"),
    (8, b"AMV ", "AMV"),
    (0, b"\x84\x10\xff\xff\xff\xff", "RoQ"),
    (4, b"RED1", "REDCODE (R3D)"),
    (4, b"RED2", "REDCODE (R3D)"),
    (0, b"MLVI", "Magic Lantern (MLV)"),
    (0, b"CI\x2c\0", "Phantom Cine"),
    (0, b"LUCAM-RECORDER", "SER"),
    (0, b"DHAV", "Dahua's recordings (DHAV)"),
    (0, b"DAHUA", "Dahua's recordings (DHAV)"),
    (0, b"IMKH", "Hikvision's recordings (IMKH)"),
    (0, b"BBCD", "Dirac"),
    (0, b"Interplay MVE File", "Interplay MVE"),
    (0, b"CRID", "Sofdec (USM)"),
    (0, b"THP\0", "THP"),
)
_OTHERS: tuple[tuple[int, bytes, str, str], ...] = (
    (
        0,
        b"\0\5\x16\7",
        "a Mac's notes on a file (AppleDouble), not the file",
        "give the one without ._ in its name",
    ),
    (0, b"SDPX", "a picture (DPX), not a video", "convert the sequence to a video first"),
    (0, b"XPDS", "a picture (DPX), not a video", "convert the sequence to a video first"),
    (0, b"\x76\x2f\x31\x01", "a picture (EXR), not a video", "convert the sequence to a video first"),
    (0, b"\xff\x0a", "a picture (JPEG XL), not a video", "convert it to JPEG or PNG first"),
    (4, b"JXL \r\n\x87\n", "a picture (JPEG XL), not a video", "convert it to JPEG or PNG first"),
    (4, b"jP  \r\n\x87\n", "a picture (JPEG 2000), not a video", "convert it to JPEG or PNG first"),
    (0, b"%PDF", "a PDF document, not a video", READABLE),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an office program, not a video", READABLE),
    (0, b"\x7fELF", "a program, not a video", READABLE),
    (0, b"MZ", "a program, not a video", READABLE),
    (0, b"SQLite format 3\0", "a database, not a video", READABLE),
    (0, b"MThd", "a file of music (MIDI), not a video", READABLE),
    (8, b"AIFF", "sound (AIFF), not a video", "give a file with a video track"),
    (0, b"caff", "sound (CAF), not a video", "give a file with a video track"),
    (0, b"#!AMR", "sound (AMR), not a video", "give a file with a video track"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """`what` the file is, behind "is", and a `hint` what to do."""

    what: str
    hint: str


def archive(head: bytes) -> Kind | None:
    """The archive or compressed file that begins so. FFmpeg could take what it holds for a film."""
    if named := next(iter(_at(head, _ARCHIVES)), None):
        return Kind(named, _UNPACK)
    return next((Kind(f"compressed ({name})", _UNPACK) for name, is_so in _PACKED if is_so(head)), None)


def known(head: bytes) -> Kind | None:
    """What is known of a file that FFmpeg does not open."""
    for matches, what, hint in _SIGNATURES:
        if matches(head):
            return Kind(what, hint)
    for name in _at(head, _FILMS):
        return Kind(f"in a container that is not read ({name})", _CONVERT)
    for start, magic, what, hint in _OTHERS:
        if head.startswith(magic, start):
            return Kind(what, hint)
    return Kind("a text file, not a video", READABLE) if _is_text(head) else None


def _at(head: bytes, table: Iterable[tuple[int, bytes, str]]) -> Iterable[str]:
    return (what for start, magic, what in table if head.startswith(magic, start))


def _is_zlib(head: bytes) -> bool:
    """By its header (RFC 1950), which is short, and by what follows: it unpacks."""
    if len(head) < 8 or head[0] & 15 != 8 or head[0] >> 4 > 7 or int.from_bytes(head[:2]) % 31:
        return False
    try:
        return bool(zlib.decompressobj().decompress(head, 1))
    except zlib.error:
        return False


def _is_lzma_alone(head: bytes) -> bool:
    """The format of `lzma` before xz: by the checks of XZ Utils, since it has no magic of its own."""
    if len(head) < 18 or not 0 < head[0] < 225 or head[13]:  # 0 is what GXF and streams of MPEG begin with
        return False
    dictionary, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    usual = dictionary >= 4096 and f"{dictionary:b}".rstrip("0") in ("1", "11")
    return usual and (size == (1 << 64) - 1 or 0 < size < 1 << 38)


_PACKED: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("zlib", _is_zlib),
    ("LZMA", _is_lzma_alone),
)


def is_still_heif(head: bytes) -> bool:
    """Whether the file is an AVIF or HEIC picture, which FFmpeg opens as a film of one frame."""
    return head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS


def is_jpeg(head: bytes) -> bool:
    return head.startswith(b"\xff\xd8\xff")


def is_picture(head: bytes) -> bool:
    return _is_webp(head) or head.startswith(_PICTURES)


def is_animated_webp(head: bytes) -> bool:
    # The VP8X chunk's flags: bit 1 says that an ANIM chunk follows.
    return _is_webp(head) and head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_html(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))


def _is_playlist(head: bytes) -> bool:
    return head.startswith((b"#EXTM3U", b"ffconcat", b"[playlist]"))


def _is_text(head: bytes) -> bool:
    try:  # bit by bit, since the head may end inside a character
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\r\n\t\f\ufeff" for c in text)


_SIGNATURES: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (is_animated_webp, "an animated WebP, which is not supported", "convert it to GIF or MP4 first"),
    (is_picture, "a picture, not a video", AS_PICTURE),
    (
        _is_html,
        "a web page (HTML), not a video",
        "the download saved a page instead of the file; get it again",
    ),
    (_is_playlist, "a playlist, not a video", "give one of the video files that it names"),
)
