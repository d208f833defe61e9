"""The results file: one line for each id in the end, and no answer is lost on the way there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharpv_cli.batch.manifest import Failure
from sharpv_cli.batch.planning import Asked, Job, Plan
from sharpv_cli.batch.results import Document, ResultsFile
from sharpv_cli.errors import UsageError, VideoError
from sharpv_cli.report.document import error_document
from sharpv_cli.settings import Settings


def answer(id: str, digest: str = "d", text: str = "left") -> Document:
    return {"schema": "sharpv.ask/1", "id": id, "digest": digest, "answer": text}


def error(id: str | None, line: int) -> Document:
    return error_document(VideoError("no such file"), line=line, id=id)


def asking(*ids: str) -> Plan:
    questions = tuple(Asked(id, line, "what?", "d") for line, id in enumerate(ids, start=1))
    return Plan((Job("a.mp4", Settings(), questions),), ())


def lines(path: Path) -> list[Document]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, *documents: Document) -> None:
    with ResultsFile(path) as file:
        for document in documents:
            file.add(document)


def test_answers_are_there_again_and_errors_are_not_done(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, answer("a"), error("b", 2))
    with ResultsFile(path) as file:
        assert file.done == {"a": "d"}
    assert lines(path) == [answer("a"), error("b", 2)]


def test_an_error_that_is_tried_again_is_taken_out_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, answer("a"), error("b", 2), error(None, 3), error("other", 40), error(None, 50))
    broken = Failure(3, None, UsageError("is not JSON"))
    with ResultsFile(path) as file:
        file.begin(Plan(asking("a", "b").jobs, (broken,)))
        assert lines(path) == [answer("a"), error("other", 40), error(None, 50)]
        file.add(answer("b"))
    assert lines(path)[-1] == answer("b")


def test_an_answer_stays_until_another_one_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, answer("a", "old"), answer("b"))
    with ResultsFile(path) as file:
        file.begin(asking("a"))
        assert lines(path)[0] == answer("a", "old")
        file.add(answer("a", "new"))
        assert len(lines(path)) == 3
    assert lines(path) == [answer("b"), answer("a", "new")]


def test_what_a_crash_left_twice_is_settled_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (answer("a", "old"), answer("b"), answer("a"))))
    with ResultsFile(path) as file:
        assert file.done == {"a": "d", "b": "d"}
        file.begin(asking("c"))
        assert lines(path) == [answer("b"), answer("a")]
        file.add(answer("c"))
    assert [line["id"] for line in lines(path)] == ["b", "a", "c"]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_torn_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    write(path, answer("a"), answer("b"))
    path.write_bytes(path.read_bytes()[:-cut])
    with ResultsFile(path) as file:
        assert file.done == {"a": "d"}
        file.add(answer("b"))
    assert lines(path) == [answer("a"), answer("b")]


def test_a_restart_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, answer("a"))
    with ResultsFile(path, restart=True) as file:
        assert (file.done, path.read_text()) == ({}, "")


@pytest.mark.parametrize(
    "text", ["hello\n", "hello", '{"schema": "sharpv.eval.answer/1"}\n', '{"schema": "sharpv.ask/1"}\n', "{}"]
)
@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_is_none_of_ours_is_left_as_it_is(tmp_path: Path, text: str, restart: bool) -> None:
    path = tmp_path / "notes"
    path.write_text(text)
    with pytest.raises(UsageError, match="sharpv"):
        ResultsFile(path, restart=restart)
    assert path.read_text() == text


def test_two_runs_do_not_share_a_file_also_after_it_was_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, error("a", 1))
    with ResultsFile(path) as file:
        file.begin(asking("a"))
        with pytest.raises(UsageError, match="another run writes to"):
            ResultsFile(path)
        file.add(answer("a"))
    assert lines(path) == [answer("a")]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(real)
    write(link, error("a", 1))
    with ResultsFile(link) as file:
        file.begin(asking("a"))
        file.add(answer("a"))
    assert link.is_symlink()
    assert lines(real) == [answer("a")]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["link.jsonl", "real.jsonl"]
