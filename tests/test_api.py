"""The Python interface: what docs/python.md shows, and that it is the command's own way to an answer."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from tiny_model import clip, folder

import sharpv_cli
from sharpv_cli import Sharpv, UsageError, api
from sharpv_cli.commands.options import SETTING_OPTIONS
from sharpv_cli.session import open_session
from sharpv_cli.settings import FLAGS
from sharpv_cli.shapes.demo import write_demo
from sharpv_cli.types import Finished, TextPiece
from sharpv_cli.video.encoding import write_clip

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python.md"
QUESTION = "What is shown?"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    write_clip(path, clip(12)[1].images, fps=6.0)
    return path


@pytest.fixture
def model() -> Sharpv:
    return Sharpv(model=str(folder()), device="cpu", frames=4, max_new_tokens=6)


def test_the_page_says_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_demo(tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    test = doctest.DocTestParser().get_doctest("".join(blocks), {}, PAGE.name, str(PAGE), 0)
    told: list[str] = []
    result = doctest.DocTestRunner().run(test, out=told.append)
    assert result.attempted > 15
    assert result.failed == 0, "".join(told)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, sharpv_cli; light = set(sys.modules); from sharpv_cli import Sharpv; Sharpv();"
        "print([n for n in ('numpy', 'pydantic', 'av') if n in light], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n"
    with pytest.raises(AttributeError, match="no attribute 'Vidoe'"):
        sharpv_cli.Vidoe  # noqa: B018


def test_keyword_arguments_are_the_flags() -> None:
    hints = get_type_hints(api.Flags)
    assert list(hints) == [name.replace("-", "_") for name in FLAGS]
    for name, option in SETTING_OPTIONS.items():
        taken, flag = hints[name.replace("-", "_")], get_args(option)[0]
        # In Python a time may be a number, too.
        assert taken == flag or (name in ("start", "end", "at") and {*get_args(flag)} < {*get_args(taken)}), (
            name
        )


@pytest.mark.parametrize(
    ("wrong", "meant"), [({"frame": 8}, "frames"), ({"max_tokens": 9}, "max_pixels|max_new_tokens")]
)
def test_a_misspelt_setting_is_named(wrong: dict[str, int], meant: str) -> None:
    (name,) = wrong
    with pytest.raises(UsageError, match=f"no setting {name}$") as refused:
        Sharpv(**wrong)  # type: ignore[misc]
    assert re.fullmatch(rf"did you mean ({meant})\?", str(refused.value.hint))
    with pytest.raises(UsageError, match=f"no setting {name}$"):
        Sharpv().ask("clip.mp4", "what?", **wrong)  # type: ignore[misc]


def test_the_model_is_loaded_once_and_again_after_it_was_closed(
    model: Sharpv, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[int] = []
    monkeypatch.setattr(
        "sharpv_cli.pipeline.opening.open_session",
        lambda *args, **options: (loads.append(1), open_session(*args, **options))[1],
    )
    with model:
        first, second = model.ask(video, QUESTION), model.ask(video, QUESTION)
        assert loads == [1]
    assert first.text == second.text == model.ask(video, QUESTION).text
    assert loads == [1, 1]
    assert second.timing.load_sec == 0 < second.timing.decode_sec


def test_pieces_join_to_the_answer_and_need_not_be_taken(model: Sharpv, video: Path) -> None:
    want = model.ask(video, QUESTION)
    with model.stream(video, QUESTION) as pieces:
        assert "".join(pieces) == pieces.answer.text == want.text
    with model.stream(video, QUESTION) as pieces:
        assert next(pieces)
        assert pieces.answer.text == want.text
    assert model.ask(video, QUESTION, max_new_tokens=2).generated_tokens == 2


def test_streams_and_opened_videos_take_a_form_as_well(model: Sharpv, video: Path) -> None:
    schema = {"enum": ["left", 3]}
    with model.stream(video, QUESTION, json_schema=schema) as pieces:
        assert json.loads("".join(pieces)) == pieces.answer.value
        assert pieces.answer.value in ("left", 3)
    with model.open(video) as opened:
        assert opened.stream(QUESTION, choices=["no", "a box"]).answer.text in ("no", "a box")
        assert opened.ask(QUESTION, regex="x{3}", logprobs=True).text == "xxx"


def test_questions_about_one_video_share_a_look(model: Sharpv, video: Path) -> None:
    with model.open(video) as opened:
        answers = [opened.ask(question) for question in (QUESTION, "Why?")]
    assert [got.text for got in answers] == [model.ask(video, got.question).text for got in answers]
    assert answers[0].timing.vision_sec > 0 == answers[1].timing.vision_sec
    assert answers[1].memory.shared_prefix_bytes is not None
    assert model.ask(video, "Why?").memory.shared_prefix_bytes is None


def test_an_answer_that_is_cut_short_is_none(
    model: Sharpv, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = "sharpv_cli.models.streaming.TextStream.push"

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(push, interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.ask(video, QUESTION)
    monkeypatch.undo()
    assert model.ask(video, QUESTION).finish_reason == "length"


def test_frames_and_a_rate_replace_each_other(model: Sharpv, video: Path) -> None:
    assert len(model.ask(video, QUESTION, fps=3.0).sample) == 6
    with pytest.raises(UsageError, match="exclude each other"):
        model.ask(video, QUESTION, fps=3.0, frames=2)


def test_another_model_is_another_object(model: Sharpv, video: Path) -> None:
    assert model.ask(video, QUESTION).engine == "fast"
    with pytest.raises(UsageError, match="cannot change it") as refused:
        model.ask(video, QUESTION, engine="reference")
    assert "engine" in str(refused.value.hint)


def test_the_command_gets_the_same_events(model: Sharpv, video: Path) -> None:
    want = model.ask(video, QUESTION)
    events = list(Sharpv(model.settings).events(video, QUESTION))
    assert isinstance(events[-1], Finished)
    assert events[-1].answer.text == want.text
    assert "".join(event.text for event in events if isinstance(event, TextPiece)) == want.text
