"""The results file: what a crash leaves is used, what does not belong to this run is not."""

from __future__ import annotations

import json
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from make_outcome import make_outcome

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.evaluation.results import Missed, Outcome, ResultsFile, item_key, method_digest, open_results

DIGESTS = {"dense": "d1", "sharpv": "s1"}
KEYS = {"a": "ka", "b": "kb"}


def outcome(item: str, method: str, *, right: bool = True) -> Outcome:
    return make_outcome(
        item=item,
        method=method,
        key=f"k{item}",
        right=right,
        tpot_sec=0.003,
        similarities=[0.5, None],
        warnings=["damaged"],
    )


def write(path: Path, *outcomes: Outcome | Missed) -> None:
    with ResultsFile(open_results(path), DIGESTS, KEYS) as file:
        file.begin("cpu")
        for one in outcomes:
            file.add(one)


def test_what_was_answered_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(
        path,
        outcome("a", "dense"),
        Missed("b", "dense", "kb", "no such file", None, 3),
        outcome("a", "sharpv"),
    )
    with ResultsFile(open_results(path), DIGESTS, KEYS) as file:
        assert file.done == {("a", "dense"): outcome("a", "dense"), ("a", "sharpv"): outcome("a", "sharpv")}
        assert file.device == "cpu"
    assert [json.loads(line)["schema"] for line in path.read_text().splitlines()] == [
        "sharpv.eval.methods/1",
        "sharpv.eval.answer/1",
        "sharpv.eval.failure/1",
        "sharpv.eval.answer/1",
    ]


@pytest.mark.parametrize("cut", [2, 20, 150])
def test_a_torn_line_is_dropped_and_written_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    write(path, outcome("a", "dense"), outcome("b", "dense"))
    path.write_bytes(path.read_bytes()[:-cut])
    with ResultsFile(open_results(path), DIGESTS, KEYS) as file:
        assert list(file.done) == [("a", "dense")]
        file.add(outcome("b", "dense"))
    with ResultsFile(open_results(path), DIGESTS, KEYS) as file:
        assert list(file.done) == [("a", "dense"), ("b", "dense")]


def test_a_changed_question_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, outcome("a", "dense"), outcome("b", "dense"))
    with ResultsFile(open_results(path), DIGESTS, {"a": "other", "b": "kb"}) as file:
        assert list(file.done) == [("b", "dense")]


def test_methods_may_come_later_but_not_change(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, outcome("a", "dense"))
    with ResultsFile(open_results(path), {**DIGESTS, "evs": "e1"}, KEYS) as file:
        assert list(file.done) == [("a", "dense")]
    with pytest.raises(UsageError, match="answers of dense with other settings"):
        ResultsFile(open_results(path), {"dense": "d2"}, KEYS)
    ResultsFile(open_results(path), {"evs": "e1"}, KEYS).__exit__()


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with (
        ResultsFile(open_results(path), DIGESTS, KEYS),
        pytest.raises(UsageError, match="another run writes to"),
    ):
        ResultsFile(open_results(path), DIGESTS, KEYS)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        "{}\n",
        "[]\n",
        '{"schema": "sharpv.ask/1"}\n',
        "\n",
        "hello",
        '{"schema": "sharpv.ask/1"}',
        "{}",
    ],
)
def test_another_file_is_left_as_it_is(tmp_path: Path, text: str, restart: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no line of"):
        ResultsFile(open_results(path), DIGESTS, KEYS, restart=restart)
    assert path.read_text() == text


def test_lines_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"schema": "sharpv.eval.answer/1", "item": "a"}\n')
    with pytest.raises(UsageError, match="another version"):
        ResultsFile(open_results(path), DIGESTS, KEYS)


def test_a_restart_forgets_when_the_first_answer_comes(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, outcome("a", "dense"), outcome("b", "dense"))
    before = path.read_bytes()
    with ResultsFile(open_results(path), {"dense": "other"}, KEYS, restart=True) as file:
        assert file.done == {}
        assert path.read_bytes() == before, "what fails before the first answer costs nothing"
        file.begin("cuda:0")
        file.add(outcome("a", "dense", right=False))
    with ResultsFile(open_results(path), {"dense": "other"}, KEYS) as file:
        assert file.done == {("a", "dense"): outcome("a", "dense", right=False)}
        assert file.device == "cuda:0"


def test_a_full_disk_is_said_and_costs_one_line(tmp_path: Path) -> None:
    """The limit of a file's size stands for a disk: what fits is kept, and the rest can be written later."""
    path = tmp_path / "r.jsonl"
    write(path, outcome("a", "dense"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with ResultsFile(open_results(path), DIGESTS, KEYS) as file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
            with pytest.raises(UsageError, match="cannot write"):
                file.add(outcome("b", "dense"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    with ResultsFile(open_results(path), DIGESTS, KEYS) as file:
        assert list(file.done) == [("a", "dense")]
        file.add(outcome("b", "dense"))
    with ResultsFile(open_results(path), DIGESTS, KEYS) as file:
        assert list(file.done) == [("a", "dense"), ("b", "dense")]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        open_results(tmp_path / "none" / "r.jsonl")


def test_the_key_follows_what_is_asked_and_what_is_right() -> None:
    item = Item("a", Path("x.mp4"), "what?", "A", "letter", "g")
    assert item_key(item) == item_key(replace(item, group="h", video=Path("/elsewhere/x.mp4")))
    changes = (
        {"prompt": "who?"},
        {"answer": "B"},
        {"options": ("a",)},
        {"start_sec": 1.0},
        {"video": Path("y.mp4")},
    )
    assert len({item_key(item), *(item_key(replace(item, **change)) for change in changes)}) == 6
    assert method_digest("a", {"b": 1}) != method_digest("a", {"b": 2})
