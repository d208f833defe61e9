"""`sharpv batch` in processes: what it refuses, what it writes, and that no crash costs or doubles an answer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from held_out_clips import held_out_clips
from run_cli import ROOT, SHARPV, grown, halting, run, scripted, started
from waiting import alive, descendants, until

QUESTIONS = ("how many objects are there?", "describe the video.")
CLIPS = 12
ROWS = CLIPS * len(QUESTIONS)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["none.jsonl", "-o", "r.jsonl"], "none.jsonl"),
        (["m.jsonl", "-o", "m.jsonl"], "is read, so it cannot be written"),
        (["m.jsonl", "-o", "none/r.jsonl"], "none/r.jsonl"),
        (["m.jsonl", "-o", "."], "."),
        (["m.jsonl", "-o", "notes"], "no line of `sharpv batch`"),
        (["m.jsonl", "-o", "notes", "--restart"], "no line of `sharpv batch`"),
        (["m.jsonl"], "-o"),
        (["."], "-o"),
        ([".", "-o", "r.jsonl"], "there is no question"),
        ([".", "-o", "r.jsonl", "-q", " "], "the question is empty"),
        ([".", "-o", "r.jsonl", "-q", "what?"], "holds no video"),
        (["m.jsonl", "-o", "r.jsonl", "--shard", "3/2"], "--shard 3/2"),
        (["m.jsonl", "-o", "r.jsonl", "--limit", "0"], "--limit"),
        (["m.jsonl", "-o", "r.jsonl", "--frames", "x"], "--frames"),
        (["m.jsonl", "-o", "r.jsonl", "--choices", "one"], "only one choice: 'one'"),
        (["m.jsonl", "-o", "r.jsonl", "--json-schema", '{"type": "text"}'], "the JSON schema"),
        (["m.jsonl", "-o", "r.jsonl", "--address", "auto"], "--address is for --runner ray"),
        (
            ["m.jsonl", "-o", "r.jsonl", "--runner", "ray", "--processes", "2"],
            "--processes is for --runner local",
        ),
        (["m.jsonl", "-o", "r.jsonl", "--runner", "slurm"], "slurm"),
        (["empty.jsonl", "-o", "r.jsonl"], "holds no line"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_refused_before_torch(args: list[str], problem: str, tmp_path: Path) -> None:
    files = {"m.jsonl": '{"video": "a.mp4", "question": "what?"}\n', "notes": "mine", "empty.jsonl": ""}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    done = run(scripted("real"), "batch", *args, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert problem in done.stderr
    assert "hint:" in done.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files, "nothing was written"


def test_a_file_that_cannot_be_written_is_told_before_the_model_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"video": "a.mp4", "question": "what?"}\n')
    missing = ("--model", "nobody/nothing", "--offline")
    done = run(scripted("real"), "batch", "m.jsonl", "-o", "none/r.jsonl", *missing, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "none/r.jsonl" in done.stderr
    done = run(scripted("real"), "batch", "m.jsonl", "-o", "r.jsonl", *missing, home=tmp_path)
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "nobody/nothing" in done.stderr


def test_rows_that_are_all_broken_need_no_model(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("{broken\n" + json.dumps({"video": "a.mp4"}) + "\n")
    done = run(scripted("real"), "batch", "m.jsonl", "-o", "r.jsonl", home=tmp_path)
    assert (done.returncode, done.stdout) == (6, ""), done.stderr
    assert [line["line"] for line in documents(tmp_path / "r.jsonl")] == [1, 2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return held_out_clips(tmp_path_factory.mktemp("clips"), CLIPS)


def documents(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file, each checked against the schema that it names."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        name, version = line["schema"].removeprefix("sharpv.").split("/")
        schema = json.loads((ROOT / "docs" / "schema" / f"sharpv.{name}.{version}.json").read_text())
        jsonschema.validate(line, schema)
    return lines


def answers(path: Path) -> dict[str, str]:
    """By id; no id comes twice."""
    lines = documents(path)
    found = {line["id"]: line["answer"] for line in lines if line["schema"] == "sharpv.ask/1"}
    assert len({line["id"] or line["line"] for line in lines}) == len(lines)
    return found


def manifest(folder: Path, clips: Path, count: int = CLIPS) -> Path:
    path = folder / "m.jsonl"
    videos = sorted(clips.iterdir())[:count]
    rows = [{"id": video.stem, "video": str(video), "questions": QUESTIONS} for video in videos]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def start(home: Path, *args: str, command: list[str] = SHARPV) -> subprocess.Popen[str]:
    return started(command, "batch", "m.jsonl", "-o", "r.jsonl", *args, home=home)


def halted(home: Path, lines: int, *args: str) -> subprocess.Popen[str]:
    """In the middle of its work, however late we come."""
    process = start(home, *args, command=halting(lines))
    grown(home / "r.jsonl", lines, process)
    return process


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    """What stands on stderr; nothing stands on stdout."""
    out, errors = process.communicate(timeout=120)
    assert (process.returncode, out) == (code, ""), errors
    return errors


@pytest.fixture(scope="module")
def unbroken(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("unbroken")
    manifest(home, clips)
    errors = finished(start(home))
    assert f"{ROWS} answered" in errors
    return answers(home / "r.jsonl")


def test_some_answers_are_those_of_ask(clips: Path, unbroken: dict[str, str], tmp_path: Path) -> None:
    for id in ("00003#1", "00011#2"):
        stem, number = id.split("#")
        video = next(clips.glob(f"{stem}.*"))
        asked = run(SHARPV, "ask", str(video), QUESTIONS[int(number) - 1], "--quiet", home=tmp_path)
        assert asked.stdout == unbroken[id] + "\n"


def test_kills_cost_and_double_nothing(clips: Path, tmp_path: Path, unbroken: dict[str, str]) -> None:
    """SIGKILL again and again, each after some more answers: the same answers in the end."""
    manifest(tmp_path, clips)
    results = tmp_path / "r.jsonl"
    for lines in (1, 6, 8):
        process = halted(tmp_path, lines)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    there = results.read_text().count("\n")
    assert 8 <= there < ROWS, "killed on the way"
    errors = finished(start(tmp_path))
    assert f"{ROWS - there} answered" in errors and f"{there} were there already" in errors
    assert answers(results) == unbroken


@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_keeps_what_there_is(
    clips: Path, tmp_path: Path, unbroken: dict[str, str], processes: str
) -> None:
    manifest(tmp_path, clips)
    process = halted(tmp_path, 3, "--processes", processes)
    process.send_signal(signal.SIGINT)
    errors = finished(process, 130)
    assert "rerunning the same command resumes" in errors
    assert "leaked" not in errors and "Traceback" not in errors
    kept = answers(tmp_path / "r.jsonl")
    assert kept and kept.items() < unbroken.items()
    finished(start(tmp_path))
    assert answers(tmp_path / "r.jsonl") == unbroken


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_model_that_cannot_be_loaded_ends_the_run(clips: Path, tmp_path: Path, processes: str) -> None:
    manifest(tmp_path, clips)
    errors = finished(start(tmp_path, "--device", "cuda:99", "--processes", processes), 5)
    assert "'cuda:99' cannot be used" in errors
    assert "leaked" not in errors and "Traceback" not in errors
    assert (tmp_path / "r.jsonl").read_text() == ""


def test_two_processes_give_the_same_and_end_with_their_parent(
    clips: Path, tmp_path: Path, unbroken: dict[str, str]
) -> None:
    manifest(tmp_path, clips)
    process = halted(tmp_path, 3, "--processes", "2")
    until(lambda: len(descendants(process.pid)) >= 4, "two models, two readers, and multiprocessing's own")
    family = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until(lambda: not any(map(alive, family)), "a child outlives the command")
    finished(start(tmp_path, "--processes", "2"))
    assert answers(tmp_path / "r.jsonl") == unbroken


def test_shards_make_the_whole(clips: Path, tmp_path: Path, unbroken: dict[str, str]) -> None:
    manifest(tmp_path, clips)
    for shard in ("1/2", "2/2"):
        finished(start(tmp_path, "--shard", shard))
    assert answers(tmp_path / "r.jsonl") == unbroken


def test_a_tenth_of_broken_lines_costs_nothing_else(
    clips: Path, tmp_path: Path, unbroken: dict[str, str]
) -> None:
    good = [json.loads(line) for line in manifest(tmp_path, clips).read_text().splitlines()]
    (tmp_path / "corrupt.mp4").write_bytes(b"\0" * 5000)
    broken = [
        {"id": "gone", "video": "gone.mp4", "question": "what?"},
        {"id": "corrupt", "video": "corrupt.mp4", "question": "what?"},
        {"id": "empty", "video": "a.mp4", "question": ""},
        "{broken",
        {"id": good[0]["id"], "video": "a.mp4", "questions": ["what?"]},
        {"id": "type", "video": 7, "question": "what?"},
    ]
    rows: list[Any] = list(good)
    for place, row in zip((2, 5, 9, 12, 14, 17), broken, strict=True):
        rows.insert(place, row)
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    (tmp_path / "m.jsonl").write_text(text)
    errors = finished(start(tmp_path), 6)
    failed = [line for line in documents(tmp_path / "r.jsonl") if line["schema"] == "sharpv.error/1"]
    found = sorted((line["line"], line["exit_code"], line["id"]) for line in failed)
    assert found == [
        (3, 3, "gone"),
        (6, 3, "corrupt"),
        (10, 2, "empty"),
        (13, 2, None),
        (15, 2, None),
        (18, 2, "type"),
    ]
    assert "m.jsonl:13: is not JSON" in errors
    assert answers(tmp_path / "r.jsonl") == unbroken
    shutil.copy(next(clips.iterdir()), tmp_path / "gone.mp4")
    errors = finished(start(tmp_path), 6)
    assert "1 answered" in errors and f"5 failed, {ROWS} were there already" in errors
    assert len(answers(tmp_path / "r.jsonl")) == ROWS + 1


def test_to_stdout_from_stdin(clips: Path, tmp_path: Path) -> None:
    rows = manifest(tmp_path, clips, 2).read_text()
    done = run(SHARPV, "batch", "-", "-o", "-", "--frames", "4", "--quiet", home=tmp_path, stdin=rows)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["id"] for line in lines] == ["00000#1", "00000#2", "00001#1", "00001#2"]
    assert {line["sampling"]["frames"] for line in lines} == {4}


def test_answers_have_the_form_that_is_asked_for(clips: Path, tmp_path: Path) -> None:
    """A row's own choices come before those of the command; another form is another answer, the same is the same."""
    video = str(min(clips.iterdir()))
    own = {"id": "own", "video": video, "question": QUESTIONS[0], "choices": ["one", "two", "three"]}
    wrong = {"id": "wrong", "video": video, "question": QUESTIONS[0], "choices": ["<|im_end|>", "two"]}
    rows = [own, {"id": "run", "video": video, "question": QUESTIONS[0]}, wrong]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    finished(start(tmp_path, "--choices", "four,five", "--logprobs"), 6)
    first = {line["id"]: line for line in documents(tmp_path / "r.jsonl")}
    assert [choice["text"] for choice in first["own"]["choices"]] == ["one", "two", "three"]
    assert [choice["text"] for choice in first["run"]["choices"]] == ["four", "five"]
    assert first["own"]["logprobs"] and first["run"]["logprobs"]
    assert first["wrong"]["error"].startswith("the model cannot write the choice")

    errors = finished(start(tmp_path, "--json-schema", '{"enum": ["two", 2, {"a": 1}]}', "--logprobs"), 6)
    assert "1 answered" in errors and "1 were there already" in errors
    again = {line["id"]: line for line in documents(tmp_path / "r.jsonl")}
    assert again["own"] == first["own"]
    assert again["run"]["answer_json"] in ("two", 2, {"a": 1})

    cut = ("--regex", "[xyz]{99}", "--logprobs", "--max-new-tokens", "3")
    for answered in ("2 answered", "0 answered"):  # the second time it is not asked again, and no better
        errors = finished(start(tmp_path, *cut), 6)
        assert answered in errors
        assert "not complete, as --max-new-tokens ended them: 1 answers" in errors


def test_errors_never_take_the_place_of_answers(clips: Path, tmp_path: Path) -> None:
    """A rerun while the videos' folder is not mounted, and a broken row with the id of a good one."""
    videos, away = tmp_path / "videos", tmp_path / "away"
    videos.mkdir()
    shutil.copy(min(clips.iterdir()), videos / "a.mp4")
    rows = [{"id": "a", "video": "videos/a.mp4", "question": question} for question in (QUESTIONS[0], "")]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    finished(start(tmp_path), 6)
    before = (tmp_path / "r.jsonl").read_text()
    assert len(answers(tmp_path / "r.jsonl")) == 1
    videos.rename(away)
    assert "0 answered, 2 failed" in finished(start(tmp_path), 6)
    assert answers(tmp_path / "r.jsonl").keys() == {"a"}
    away.rename(videos)
    assert "1 were there already" in finished(start(tmp_path), 6)
    assert sorted((tmp_path / "r.jsonl").read_text().splitlines()) == sorted(before.splitlines())


def test_a_changed_video_is_asked_again_and_nothing_else(clips: Path, tmp_path: Path) -> None:
    for video in sorted(clips.iterdir())[:3]:
        shutil.copy(video, tmp_path)
    command = ("batch", ".", "-q", QUESTIONS[0], "-o", "r.jsonl")
    assert "3 answered" in run(SHARPV, *command, home=tmp_path).stderr
    video = next(tmp_path.glob("00001.*"))
    os.utime(video, (1, 1))
    again = run(SHARPV, *command, home=tmp_path)
    assert "1 answered" in again.stderr and "2 were there already" in again.stderr
    assert [line["id"] for line in documents(tmp_path / "r.jsonl")][-1] == video.name
    last = run(scripted("real"), *command, home=tmp_path)
    assert (last.returncode, "0 answered" in last.stderr) == (0, True), "all is there: no model is loaded"
