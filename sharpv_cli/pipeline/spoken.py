"""The words of a video in its prompt: which cues there is room for, and how they stand before the question.

As published evaluations of Video-MME with subtitles put them there (the authors' prompt, and lmms-eval's), but with the
times of each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from sharpv_cli.models.blame import Using
from sharpv_cli.models.chat import placeholders
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.types import Cue, FrameSample, Subtitles, UsedSubtitles

_HEAD = "This video's subtitles are listed below:"


@dataclass(frozen=True, slots=True)
class Spoken:
    """The text before a question, None where there is nothing to say, what it was made of, and warnings."""

    text: str | None
    used: UsedSubtitles
    warnings: tuple[str, ...]


def spoken(loaded: LoadedModel, subtitles: Subtitles, sample: FrameSample, most_tokens: int) -> Spoken:
    """As many cues as `most_tokens` have room for, those next to the sampled frames first, in the order of time."""
    cues = [Cue(cue.start_sec, cue.end_sec, _harmless(loaded, cue.text)) for cue in subtitles.cues]
    lines = [f"[{_clock(cue.start_sec)} - {_clock(cue.end_sec)}] {cue.text}" for cue in cues]
    with Using("tokenizer", loaded.info.id):
        nearest = sorted(range(len(cues)), key=lambda place: _distance(cues[place], sample.timestamps_sec))
        left, taken = most_tokens - len(loaded.tokenizer(f"{_HEAD}\n")["input_ids"]), []
        for place in nearest:
            left -= len(loaded.tokenizer(f"{lines[place]}\n", add_special_tokens=False)["input_ids"])
            if left < 0:
                break
            taken.append(place)
        text = "\n".join([_HEAD, *(lines[place] for place in sorted(taken))]) if taken else None
        tokens = len(loaded.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else 0
    out = len(cues) - len(taken)
    used = UsedSubtitles(subtitles.source, subtitles.format, subtitles.language, len(taken), out, tokens)
    return Spoken(text, used, (*subtitles.warnings, *_left_out(subtitles, used, most_tokens)))


def _left_out(subtitles: Subtitles, used: UsedSubtitles, most: int) -> Sequence[str]:
    if used.left_out:
        total = used.cues + used.left_out
        return [f"{used.left_out} of {total} subtitles are left out: max_subtitle_tokens is {most}"]
    if not subtitles.cues and subtitles.source:
        return [f"{subtitles.source} has no subtitles where the video is looked at"]
    return []


def _distance(cue: Cue, stamps: Sequence[float]) -> float:
    """Seconds from a cue to the next of some moments, which are in order."""
    place = bisect_left(stamps, cue.start_sec)
    near = stamps[max(place - 1, 0) : place + 1]  # one before it, one from its start on
    return min(max(cue.start_sec - stamp, stamp - cue.end_sec, 0.0) for stamp in near)


def _clock(seconds: float) -> str:
    """`0:12.5`, `1:02:03.0`."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _harmless(loaded: LoadedModel, text: str) -> str:
    """Without the words that end a turn of the chat or stand for pictures: subtitles are anybody's."""
    own = loaded.tokenizer.added_tokens_decoder.values()
    words = {token.content for token in own if token.special and token.content.strip()}
    before = None
    while before != text:
        before = text
        for word in words.union(placeholders(loaded)):
            text = text.replace(word, " ")
    return text
