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


def test_what_failed_before_is_asked_after_all_else(tmp_path: Path) -> None:
    """A row that ends the model's process ends no later run before the others are answered."""
    path = tmp_path / "r.jsonl"
    write(path, answer("a"), error("b", 2), error(None, 3))
    jobs = tuple(Job(f"{id}.mp4", Settings(), (Asked(id, 1, "what?", "d"),)) for id in "abcd")
    with ResultsFile(path) as file:
        again = Plan(jobs, ()).retried_last(file.failed).without(file.done)
    assert [job.video for job in again.jobs] == ["c.mp4", "d.mp4", "b.mp4"]


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


@pytest.mark.parametrize("cut", [2, 10, 60])
def test_a_torn_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    write(path, answer("a"), answer("b"))
    path.write_bytes(path.read_bytes()[:-cut])
    with ResultsFile(path) as file:
        assert file.done == {"a": "d"}
        file.add(answer("b"))
    assert lines(path) == [answer("a"), answer("b")]


def test_a_last_line_that_only_lacks_its_newline_is_kept(tmp_path: Path) -> None:
    """As editors leave it."""
    path = tmp_path / "r.jsonl"
    write(path, answer("a"), answer("b"))
    path.write_bytes(path.read_bytes()[:-1])
    with ResultsFile(path) as file:
        assert file.done == {"a": "d", "b": "d"}
        file.add(answer("c"))
    assert lines(path) == [answer("a"), answer("b"), answer("c")]


def test_a_restart_begins_anew_with_its_first_answer(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, answer("a"), answer("b"))
    with ResultsFile(path, restart=True) as file:
        file.begin(asking("a", "b"))
        assert (file.done, lines(path)) == ({}, [answer("a"), answer("b")])
        file.add(error("a", 1))
        file.add(answer("b", "new"))
        assert lines(path) == [error("a", 1), answer("b", "new")]
        file.add(answer("c"))
    assert lines(path) == [error("a", 1), answer("b", "new"), answer("c")]


def test_a_restart_without_an_answer_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, answer("a"))
    with ResultsFile(path, restart=True) as file:
        file.begin(asking("a", "b"))
        file.add(error("a", 1))
        file.add(error("b", 2))
    assert lines(path) == [answer("a"), error("b", 2)]


@pytest.mark.parametrize("before", [[answer("a", "old")], [answer("a", "old"), error("a", 1)]])
def test_an_error_never_takes_the_place_of_an_answer(tmp_path: Path, before: list[Document]) -> None:
    """A rerun while the videos' folder is not mounted."""
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in before))
    for _ in range(2):
        with ResultsFile(path) as file:
            assert file.done == {"a": "old"}
            file.begin(asking("a", "b"))
            file.add(error("a", 1))
            file.add(error("b", 2))
        assert lines(path) == [answer("a", "old"), error("b", 2)]


@pytest.mark.parametrize(
    ("edited", "told"),
    [
        ('{"schema": "sharpv.ask/1", "id": "b", "digest": "d", "answer": "le', "not JSON"),
        ('{"schema": "sharpv.ask/1", "digest": "d"}', "field 'id' is missing or was changed"),
        ('{"schema": "sharpv.ask/1", "id": 5, "digest": "d"}', "field 'id' is missing or was changed"),
        ('{"schema": "sharpv.error/1", "id": null, "error": "x"}', "field 'line' is missing or was changed"),
        ('{"schema": "sharpv.error/1", "id": [], "line": 1}', "field 'id' is missing or was changed"),
        ('{"schema": "sharpv.ask/10", "id": "b", "digest": "d"}', "another version"),
        (
            '{"schema": "sharpv.ask/1", "id": "b", "seed": ' + "9" * 5000 + "}",
            "a number of thousands of digits",
        ),
        ("[" * 100_000, "nested too deep"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_line_that_was_edited_is_told_as_such_and_nothing_is_touched(
    tmp_path: Path, edited: str, told: str
) -> None:
    path = tmp_path / "r.jsonl"
    text = f"{json.dumps(answer('a'))}\n{edited}\n{json.dumps(answer('c'))}\n".encode(
        errors="surrogateescape"
    )
    path.write_bytes(text)
    with pytest.raises(UsageError, match=r"r\.jsonl:2") as caught:
        ResultsFile(path)
    assert told in str(caught.value) and "remove that line" in str(caught.value.hint)
    assert path.read_bytes() == text


def test_blank_lines_and_carriage_returns_of_an_editor_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"\ufeff{json.dumps(answer('a'))}\r\n\r\n{json.dumps(answer('b'))}\r\n", newline="")
    with ResultsFile(path) as file:
        assert file.done == {"a": "d", "b": "d"}


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
