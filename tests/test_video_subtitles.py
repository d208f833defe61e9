"""Subtitles: real tracks of each kind, files beside a video, and what was made to break readers."""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from subtitles import ASS, HEADER, SRT, VTT, add_mov_text, add_tracks, pgs

from sharpv_cli.errors import UsageError
from sharpv_cli.types import Cue
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.languages import same_language
from sharpv_cli.video.local import LocalVideo
from sharpv_cli.video.subtitles import plain, read_subtitles

DEMO = Path(__file__).parent.parent / "sharpv_cli" / "assets" / "demo"
WHOLE = (0.0, 60.0)
FIRST = Cue(0.5, 1.5, "Hello there")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return Path(shutil.copy(DEMO / "moving.mp4", tmp_path / "clip.mp4"))


@pytest.mark.parametrize(
    ("suffix", "text", "format", "second"),
    [
        ("mkv", SRT, "subrip", "second line and more"),
        ("mkv", ASS, "ass", "second line"),
        ("mkv", VTT, "webvtt", "second line & more"),
    ],
)
def test_text_inside_a_film(film: Path, suffix: str, text: str, format: str, second: str) -> None:
    made = add_tracks(film, film.with_name(f"made.{suffix}"), [("eng", text)])
    found = read_subtitles(made, "auto", WHOLE)
    assert found.cues == (FIRST, Cue(2.0, 3.0, second))
    assert (found.source, found.format, found.language, found.warnings) == ("stream 1", format, "eng", ())


def test_mov_text_inside_an_mp4(film: Path) -> None:
    made = add_mov_text(
        film, film.with_name("made.mp4"), [(0.5, 1.5, "Hello there"), (2.0, 3.0, "second\nline")]
    )
    found = read_subtitles(made, "fr", WHOLE)
    assert found.cues == (FIRST, Cue(2.0, 3.0, "second line"))
    assert found.format == "mov_text"


@pytest.mark.parametrize(
    ("name", "text"), [("clip.srt", SRT), ("clip.vtt", VTT), ("clip.ass", ASS), ("clip.en.srt", SRT)]
)
def test_a_file_beside_the_film(film: Path, name: str, text: str) -> None:
    film.with_name(name).write_text(text, encoding="utf-8")
    found = read_subtitles(film, "auto", WHOLE)
    assert (found.source, found.cues[0]) == (str(film.with_name(name)), FIRST)
    film.with_name("clip.other.film.srt").write_text(text, encoding="utf-8")
    film.with_name("clip2.srt").write_text(text, encoding="utf-8")
    assert read_subtitles(film, "auto", WHOLE) == found


def test_a_file_beside_comes_before_what_is_inside_unless_another_is_named(film: Path) -> None:
    made = add_tracks(film, film.with_name("made.mkv"), [("eng", SRT), ("ger", ASS)])
    made.with_name("made.fr.srt").write_text(SRT.replace("Hello", "Salut"), encoding="utf-8")
    text = partial(read_subtitles, made, stretch=WHOLE)
    assert text("auto").cues[0].text == "Salut there"
    assert text("fr").language == "fr"
    assert text("de").source == text("2").source == "stream 2"
    assert text("1").format == "subrip"
    copied = LocalVideo(str(made), "stdin")  # whose name is another one: there is nothing beside it
    assert read_subtitles(copied, "auto", WHOLE).source == "stream 1"


WORDS = {
    "cp1252": "Où est passée la fenêtre ?|Déjà cassée à Noël !|Ça va être très long, mon élève|Voilà le garçon",
    "cp1250": "Gdzie byłaś wczoraj wieczorem?|Nie wiem, co ci powiedzieć|To było bardzo dawno|Chodźmy do domu",
    "cp949": "어젯밤에 어디 있었어?|무슨 말을 해야 할지 모르겠어|그건 아주 오래전 일이야|집에 가자, 엄마가 기다려",
    "cp1251": "Где ты была вчера вечером?|Я не знаю, что тебе сказать|Это было очень давно|Пойдём домой, мама ждёт",
    "cp932": "昨日の夜はどこにいたの？|何を言えばいいのか分からない|それはとても昔のことだ|家に帰ろう、母が待っている",
    "big5": "昨天晚上你在哪裡？|我不知道該說什麼|那是很久以前的事了|我們回家吧，媽媽在等",
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", *WORDS])
def test_encodings_are_guessed(film: Path, encoding: str) -> None:
    words = WORDS.get(encoding, WORDS["cp1252"]).split("|")
    cues = [f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\n{words[n % 4]}\n\n" for n in range(20)]
    film.with_name("clip.srt").write_bytes("".join(cues).encode(encoding))
    found = read_subtitles(film, "auto", WHOLE)
    assert [cue.text for cue in found.cues] == words * 5


def test_only_what_is_on_screen_in_the_stretch(film: Path) -> None:
    film.with_name("clip.srt").write_text(SRT, encoding="utf-8")
    for stretch, count in (
        ((0.0, 0.4), 0),
        ((0.0, 0.6), 1),
        ((1.6, 1.9), 0),
        ((1.0, 2.5), 2),
        ((2.5, 2.5), 1),
    ):
        assert len(read_subtitles(film, "auto", stretch).cues) == count, stretch


def test_pictures_of_text_are_refused_by_name(film: Path) -> None:
    made = add_tracks(film, film.with_name("made.mkv"), [("eng", pgs())])
    told = "stream 1 (eng): PGS subtitles, which are pictures and are not read"
    for wanted in ("1", "en"):
        with pytest.raises(UsageError, match="PGS subtitles, which are pictures"):
            read_subtitles(made, wanted, WHOLE)
    none = read_subtitles(made, "auto", WHOLE)
    assert none.cues == () and told in none.warnings[0]
    for name in ("clip.sup", "clip.idx", "clip.sub"):
        film.with_name(name).write_bytes(pgs())
        with pytest.raises(UsageError, match="which are pictures and are not read"):
            read_subtitles(film, str(film.with_name(name)), WHOLE)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("3", "--subtitles 3: .* has none"),
        ("xx", "--subtitles xx: .* has none"),
        ("gone.srt", "No such file"),
        ("./", "Is a directory"),
    ],
)
def test_what_is_named_and_is_not_there(film: Path, wanted: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_subtitles(film, wanted, WHOLE)


def test_a_film_without_any_says_so(film: Path) -> None:
    (said,) = read_subtitles(film, "auto", WHOLE).warnings
    assert "holds no subtitles; no file beside it has its name" in said


DIALOGUE = f"{HEADER}Dialogue: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,".encode()
HOSTILE = {
    "binary.srt": bytes(range(256)) * 400,
    "nothing.srt": b"",
    "zeros.srt": bytes(100_000),
    "negative.srt": b"1\n-00:00:05,000 --> -00:00:01,000\nx\n\n2\n00:00:05,000 --> 00:00:01,000\nbackwards\n\n",
    "huge.srt": b"1\n99999999:00:00,000 --> 999999999999:00:00,000\nlate\n\n",
    "deep.srt": b"1\n00:00:00,000 --> 00:00:09,000\n" + b"<i>{" * 50_000 + b"\n\n",
    "deep.ass": DIALOGUE + b"{" * 50_000,
    "drawn.ass": DIALOGUE + b"{\\p1}m " * 9_000,
    "long.vtt": b"WEBVTT\n\n00:00.000 --> 00:09.000\n" + b"word " * 200_000,
    "million.vtt": b"WEBVTT\n\n" + b"".join(b"0:1.0 --> 0:2.0\nx%d\n\n" % n for n in range(1_000_000)),
    "many.srt": b"".join(b"0:0:1,0-->0:0:2,0\n%x\n\n" % n for n in range(600_000)),  # as many as 16 MiB hold
    "huge_file.srt": b"x" * (17 << 20),
}


def test_hostile_files_are_bounded(film: Path) -> None:
    """Each in the child that reads videos, as a command does it: a UsageError, or a few cues."""
    found = {}
    with IsolatedReader() as reader:
        for name, content in HOSTILE.items():
            file = film.with_name(name)
            file.write_bytes(content)
            with suppress(UsageError):
                found[name] = reader.read(film, partial(read_subtitles, wanted=str(file), stretch=WHOLE))
    assert {"deep.srt", "deep.ass", "drawn.ass", "long.vtt", "many.srt"} <= set(found)
    assert not {"million.vtt", "huge_file.srt"} & set(found)
    for name, subtitles in found.items():
        assert len(subtitles.cues) <= 20_000, name
        assert all(len(cue.text) <= 500 and 0 <= cue.start_sec < cue.end_sec for cue in subtitles.cues), name
    assert found["many.srt"].warnings[0].startswith("only the first 20000 cues")
    assert "negative.srt" not in found or not found["negative.srt"].cues


def test_more_cues_inside_a_film_than_are_read(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpv_cli.video.subtitles._MOST_PACKETS", 100)
    monkeypatch.setattr("sharpv_cli.video.subtitles._MOST_CUES", 20)
    text = "".join(f"{n}\n00:00:01,000 --> 00:00:02,000\nx{n}\n\n" for n in range(210))
    made = add_tracks(film, film.with_name("made.mkv"), [("eng", text)])
    assert read_subtitles(made, "auto", (50.0, 60.0)).warnings == (
        "only the first 100 cues of stream 1 are read",
    )
    found = read_subtitles(made, "auto", WHOLE)
    assert (len(found.cues), found.warnings) == (20, ("only the first 20 cues of stream 1 are read",))


@pytest.mark.parametrize(
    ("dialogue", "words"),
    [
        (r"{\an8\fad(1,2)}Where {\i1}is{\i0} it?", "Where is it?"),
        (r"one\Ntwo\hthree  four\nfive", "one two three four five"),
        (r"{\p1}m 0 0 l 100 0{\p0}text", "text"),
        (r"{\pos(1,2)\p4}m 0 0", ""),
        ("{not closed", "{not closed"),
    ],
)
def test_words_without_mark_up(dialogue: str, words: str) -> None:
    assert plain(dialogue) == words


@pytest.mark.parametrize(
    ("wanted", "given", "same"),
    [
        ("en", "eng", True),
        ("eng", "en", True),
        ("de", "ger", True),
        ("deu", "de", True),
        ("en", "en-GB", True),
        ("pt-BR", "pt", True),
        ("pt-BR", "pt-PT", False),
        ("es", "est", False),
        ("en", None, False),
    ],
)
def test_names_of_languages(wanted: str, given: str | None, same: bool) -> None:
    assert same_language(wanted, given) is same
