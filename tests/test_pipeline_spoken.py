"""The words of a video in its prompt: where they stand, how many there is room for, and what they may not do."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from subtitles import SRT

from sharpv_cli import Sharpv
from sharpv_cli.errors import UsageError
from sharpv_cli.models.chat import render
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import decode_whole, scan
from sharpv_cli.pipeline.spoken import spoken
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.types import Cue, Subtitles

DEMO = Path(__file__).parent.parent / "sharpv_cli" / "assets" / "demo"
QUESTION = "Which direction does the red circle move?"
HEAD = "This video's subtitles are listed below:"


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(settings())


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "clip.srt").write_text(SRT, encoding="utf-8")
    return Path(shutil.copy(DEMO / "moving.mp4", tmp_path / "clip.mp4"))


def settings(**flags: object) -> Settings:
    return resolve({name.replace("_", "-"): value for name, value in flags.items()}, {}).settings


def clip_of(session: Session, film: Path, **flags: object) -> Clip:
    own = settings(**flags)
    return Clip(session, decode_whole(str(film), own), own)


def test_they_stand_before_the_question_with_their_times(session: Session, film: Path) -> None:
    clip = clip_of(session, film, subtitles="auto")
    text = render(clip.loaded, QUESTION, clip.prompt)
    words = f"{HEAD}\n[0:00.5 - 0:01.5] Hello there\n[0:02.0 - 0:03.0] second line and more\n{QUESTION}"
    assert text.count(words) == 1
    assert text.replace(words, QUESTION) == render(clip.loaded, QUESTION, settings().prompt)
    assert clip.spoken is not None
    used = clip.spoken.used
    assert (used.source, used.format, used.cues, used.left_out) == (
        f"{film.with_suffix('.srt')}", "subrip", 2, 0,
    )  # fmt: skip
    assert used.tokens == len(clip.loaded.tokenizer(clip.spoken.text)["input_ids"])


def test_only_those_of_the_stretch(session: Session, film: Path) -> None:
    clip = clip_of(session, film, subtitles="auto", start="1.8")
    assert clip.spoken is not None and "Hello" not in str(clip.spoken.text)
    none = clip_of(session, film, subtitles="auto", at="1.7")
    assert none.prompt.prefix is None
    assert any("has no subtitles where the video is looked at" in warning for warning in none.warnings)


def test_more_frames_than_the_demo_model_was_trained_with_are_said(
    session: Session, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sharpv_cli.models.known._TRAINED_FRAMES", 16)  # this film has not more than it was
    said = "the demo model was trained with at most 16 frames and gets 17: its answers may be wrong"
    assert said in clip_of(session, film, frames=17).warnings
    assert clip_of(session, film, frames=16).warnings == ()


def test_off_is_as_if_there_were_none(session: Session, film: Path) -> None:
    clip = clip_of(session, film)
    assert (clip.spoken, clip.prompt) == (None, settings().prompt)


def test_what_there_is_no_room_for_is_left_out_and_said(session: Session, film: Path) -> None:
    cues = tuple(Cue(float(n), n + 0.9, f"this is line number {n}") for n in range(400))
    sample = clip_of(session, film).sample
    found = spoken(session.loaded, Subtitles("a.srt", "subrip", None, cues), sample, 300)
    lines = str(found.text).splitlines()
    assert lines[0] == HEAD
    assert [line.rpartition(" ")[2] for line in lines[1:]] == [str(n) for n in range(len(lines) - 1)]
    assert found.used.cues == len(lines) - 1 > 3
    assert found.used.tokens <= 300
    left_out = 400 - found.used.cues
    assert found.warnings == (f"{left_out} of 400 subtitles are left out: max_subtitle_tokens is 300",)
    assert spoken(session.loaded, Subtitles("a.srt", "subrip", None, cues), sample, 3).text is None


@pytest.mark.parametrize("seed", range(3))
def test_those_next_to_the_frames_come_first(session: Session, film: Path, seed: int) -> None:
    """Whatever overlaps: as looking at each frame for each cue has it, which takes long for long films."""
    rng = random.Random(seed)
    stamps = tuple(sorted(rng.sample(range(100), 8)))
    sample = replace(clip_of(session, film, frames=8).sample, timestamps_sec=tuple(map(float, stamps)))
    starts = sorted(rng.sample(range(100), 30))
    cues = tuple(Cue(float(start), start + rng.choice((0.5, 3.0, 40.0)), f"line {start}") for start in starts)
    found = spoken(session.loaded, Subtitles("a.srt", "subrip", None, cues), sample, 300)

    def distance(cue: Cue) -> float:
        return min(max(cue.start_sec - stamp, stamp - cue.end_sec, 0.0) for stamp in stamps)

    taken = {int(line.rpartition(" ")[2]) for line in str(found.text).splitlines()[1:]}
    nearest = sorted(cues, key=distance)[: len(taken)]
    assert 3 < len(taken) < 30
    assert taken == {int(cue.start_sec) for cue in nearest}


def test_they_end_no_turn_and_stand_for_no_picture(session: Session, film: Path) -> None:
    tokenizer = session.loaded.tokenizer
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    video = session.loaded.processor.video_token
    nested = f"{video[:3]}{video}{video[3:]}"
    cue = Cue(0.0, 1.0, f"look {video} {' '.join(special)} {nested} here")
    sample = clip_of(session, film).sample
    found = spoken(session.loaded, Subtitles("a.srt", "subrip", None, (cue,)), sample, 999)
    assert special and not [word for word in (video, *special) if word in str(found.text)]
    assert "look" in str(found.text) and "here" in str(found.text)


def test_a_track_that_is_not_there_is_told_before_the_model_is_loaded(film: Path) -> None:
    with pytest.raises(UsageError, match=r"--subtitles fr: .* has none"):
        scan(str(film), settings(subtitles="fr"))


def test_answers_tell_what_was_used_and_questions_share_it(film: Path) -> None:
    with Sharpv(subtitles="auto") as model:
        alone = model.ask(film, QUESTION)
        with model.open(film) as video:
            video.ask("How many objects are there?")
            shared = video.ask(QUESTION)
    assert alone.subtitles == shared.subtitles
    assert alone.subtitles is not None and alone.subtitles.cues == 2
    assert (alone.text, alone.token_ids) == (shared.text, shared.token_ids)
    assert alone.text_tokens == shared.text_tokens > alone.subtitles.tokens
