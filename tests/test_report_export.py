"""Charts as files: what is refused before any work, what is written, and that it opens elsewhere."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from io import FileIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from make_answer import make_answer

from sharpv_cli.errors import UsageError
from sharpv_cli.report.document import Asked
from sharpv_cli.report.export import answer_exports
from sharpv_cli.types import Answer

ODD_QUESTION = 'Is it [red]red[/red], :smile: or {blue} <b>&amp;</b>? textLength="1" | `x`'
SUFFIXES = (".html", ".svg", ".png", ".md", ".txt")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_chart(answer: Answer, path: Path) -> None:
    answer_exports([path]).write([Asked(answer, {})])


def written(tmp_path: Path, suffix: str, **changes: object) -> str:
    path = tmp_path / f"chart{suffix}"
    write_chart(make_answer(8, **changes), path)
    assert names(tmp_path) == [path.name]
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["chart", "chart.pdf", "chart.", ".svg", "chart.svg.gz"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(name)) as caught:
        answer_exports([tmp_path / name])
    assert caught.value.hint == "end the name in one of .html, .svg, .png, .md, .txt"


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".SVG", ".Png"])
def test_check_leaves_nothing_behind(tmp_path: Path, suffix: str) -> None:
    answer_exports([tmp_path / f"chart{suffix}"])
    assert names(tmp_path) == []


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its folder is missing") as caught:
        answer_exports([tmp_path / "nowhere" / "chart.svg"])
    assert caught.value.hint is not None
    assert str(tmp_path / "nowhere") in caught.value.hint


def test_a_link_into_a_missing_folder_names_that_folder(tmp_path: Path) -> None:
    (tmp_path / "chart.svg").symlink_to(tmp_path / "nowhere" / "chart.svg")
    with pytest.raises(UsageError) as caught:
        answer_exports([tmp_path / "chart.svg"])
    assert caught.value.hint == f"create {tmp_path / 'nowhere'} first"


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    name = "円" * 83 + ".txt"  # 253 bytes
    write_chart(make_answer(1), tmp_path / name)
    assert names(tmp_path) == [name]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Not a directory"):
        answer_exports([tmp_path / "file" / "chart.svg"])


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "chart.svg").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        answer_exports([tmp_path / "chart.svg"])


def test_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:  # root may write anywhere: ask as someone else
        os.seteuid(65534)
    try:
        with pytest.raises(UsageError, match="Permission denied"):
            answer_exports([folder / "chart.svg"])
    finally:
        if is_root:
            os.seteuid(0)


def test_control_characters_in_a_name_are_escaped(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\\x1b\[2J"):
        answer_exports([tmp_path / "a\x1b[2J.pdf"])


def test_write_checks_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_chart(make_answer(1), tmp_path / "chart.bmp")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_old_file_is_replaced_whole(tmp_path: Path, suffix: str) -> None:
    path, link = tmp_path / f"real{suffix}", tmp_path / f"link{suffix}"
    path.write_bytes(b"of before" * 1_000_000)
    link.symlink_to(path)
    write_chart(make_answer(1), link)
    assert link.is_symlink()
    assert b"of before" not in path.read_bytes()
    assert names(tmp_path) == [link.name, path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chart.txt"
    path.write_text("old", encoding="utf-8")

    def full_disk(file: FileIO, content: bytes) -> None:
        file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sharpv_cli.files.write_all", full_disk)
    with pytest.raises(UsageError, match="No space left on device"):
        write_chart(make_answer(1), path)
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["chart.txt"]


def test_the_environment_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {suffix: written(tmp_path / suffix, suffix) for suffix in _folders(tmp_path)}
    for variable, value in {"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "dumb", "COLUMNS": "33"}.items():
        monkeypatch.setenv(variable, value)
    assert {suffix: written(tmp_path / suffix, suffix) for suffix in before} == before


def _folders(tmp_path: Path) -> list[str]:
    suffixes = [".svg", ".html", ".txt"]
    for suffix in suffixes:
        (tmp_path / suffix).mkdir()
    return suffixes


def test_foreign_text_is_written_as_it_is(tmp_path: Path) -> None:
    answer = "[bold]yes[/bold] :+1: {0}"
    changes = {"question": ODD_QUESTION, "text": answer}
    for suffix in (".txt", ".md"):
        (tmp_path / suffix).mkdir()
        shown = " ".join(written(tmp_path / suffix, suffix, **changes).split())
        assert ODD_QUESTION in shown
        assert answer in shown


@pytest.mark.parametrize("suffix", [".svg", ".txt", ".md"])
def test_control_characters_and_lone_surrogates_do_not_break_a_file(tmp_path: Path, suffix: str) -> None:
    text = written(tmp_path, suffix, question="a\x1b[2J\udcff\ufffe\x00b", text="one\n\ntwo\r\nthree")
    assert "a\\x1b[2J\\udcff\\ufffe\\x00b" in text
    assert "\x1b" not in text
    if suffix == ".svg":
        ET.fromstring(text)


def test_txt_is_the_plain_chart_at_80_columns(tmp_path: Path) -> None:
    lines = written(tmp_path, ".txt").splitlines()
    assert lines[0] == "video             demo/circle.mp4"
    assert lines[5] == "0:00.5            █████████████████████████████████████████     196/196   100.0%"
    assert max(len(line) for line in lines) == 80
    assert all(line == line.rstrip() for line in lines)


def test_md_has_the_figures_of_the_chart(tmp_path: Path) -> None:
    text = written(tmp_path, ".md")
    for row in (
        "| 0:01.5 | 24/196 | 12.2% |",
        "| 4–7 | discarded | 0.02 to 0.18 | 240.0 KiB |",
        "| visual retention | 21.9% |",
        "| KV retention | 13.1% |",
        "| KV bytes dense | 15.9 MiB |",
        "| KV bytes now | 2.6 MiB |",
        "| TTFT | 182 ms |",
        "| TPOT | 12.1 ms |",
    ):
        assert f"\n{row}\n" in text


def test_md_tables_are_not_broken_by_foreign_text(tmp_path: Path) -> None:
    answer = make_answer(2)
    answer = replace(answer, model=replace(answer.model, id="a|b `c`\n# d"), text="```\n# not a heading\n```")
    write_chart(answer, tmp_path / "chart.md")
    text = (tmp_path / "chart.md").read_text(encoding="utf-8")
    assert "| model | ``a\\|b `c`\\n# d`` |\n" in text
    assert "````text\n```\n# not a heading\n```\n````\n" in text
