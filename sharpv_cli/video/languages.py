"""Languages by the names that files use: `en` (ISO 639-1), `eng` (639-2), `en-GB` (BCP 47)."""

from __future__ import annotations

# Of the languages that have a name of two letters, the three-letter names that do not begin with it, or have two.
_LONG = {
    "cs": "ces cze", "cy": "cym wel", "de": "deu ger", "el": "ell gre", "es": "spa", "et": "est", "eu": "eus baq",
    "fa": "fas per", "fr": "fra fre", "ga": "gle", "hr": "hrv", "hy": "hye arm", "id": "ind", "is": "isl ice",
    "ja": "jpn", "ka": "kat geo", "lt": "lit", "lv": "lav", "mk": "mkd mac", "mn": "mon", "ms": "msa may",
    "my": "mya bur", "nb": "nob", "nl": "nld dut", "nn": "nno", "pl": "pol", "pt": "por", "ro": "ron rum",
    "sk": "slk slo", "sl": "slv", "sq": "sqi alb", "sr": "srp", "sv": "swe", "sw": "swa", "tr": "tur", "uk": "ukr",
    "zh": "zho chi",
}  # fmt: skip


def same_language(wanted: str, given: str | None) -> bool:
    """Whether a track in the language `given` is meant by `wanted`."""
    if given is None:
        return False
    one, other = (name.lower().replace("_", "-") for name in (wanted, given))
    if one == other:
        return True
    short, long = _parts(one), _parts(other)
    if "-" in one and "-" in other:
        return False
    return _alike(short, long) or _alike(long, short)


def _parts(name: str) -> str:
    return name.partition("-")[0]


def _alike(short: str, long: str) -> bool:
    if short == long:
        return True
    if len(short) != 2 or len(long) != 3:
        return False
    return long in _LONG[short].split() if short in _LONG else long.startswith(short)
