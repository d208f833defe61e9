"""`sharpv eval` in processes: what it refuses, what it prints, and that no crash costs an answer."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from datasets_on_disk import videomme_entry, write
from run_cli import ROOT, SHARPV, environment, grown, halting, run, scripted, started
from subtitles import SRT

from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.shapes.demo import write_demo

SCHEMA = json.loads((ROOT / "docs" / "schema" / "sharpv.eval.1.json").read_text(encoding="utf-8"))
QUESTIONS = 16
ANSWERS = 4 * QUESTIONS  # of the methods that are compared
TIMES = ("prune_sec", "prefill_sec", "tpot_sec")


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["shapes", "--methods", "dense,nonsense"], "unknown method: 'nonsense'"),
        (["shapes", "--sweep", "w"], "--sweep w"),
        (["shapes", "--methods", "dense,sharpv:w=1", "--sweep", "w=1"], "'sharpv:w=1' is given twice"),
        (["shapes", "--baseline", "evs"], "--baseline evs"),
        (["shapes", "--match", "all"], "--match all"),
        (["shapes", "--methods", "dense,evs", "--match", "sharpv:kv"], "needs SharpV's own answers"),
        (["shapes", "--methods", "sharpv,evs+memory", "--match", "sharpv:kv"], "would discard"),
        (["shapes", "--methods", "dense,dense"], "'dense' is given twice"),
        (["shapes", "--match", "tokens:64", "--methods", "manual"], "manual has a threshold, no scale"),
        (["shapes", "--match", "all:0.1", "--sweep", "scale=1"], "finds the scale that sharpv:scale=1 gives"),
        (["shapes", "--methods", "dense-fewer-frames+memory"], "keeps all of the frames that it gets"),
        (["shapes", "--methods", ""], "unknown method: ''"),
        (["x" * 5000], "cannot be read"),
        (["shapes:nonsense"], "no such variant"),
        (["shapes", "--layout", "jsonl"], "--layout is for files"),
        (["nothing.jsonl"], "nothing.jsonl"),
        (["mine.jsonl", "--clips", "x"], "--clips is for shapes"),
        (["mine.jsonl", "--out", "mine.jsonl"], "is read, so it cannot be written"),
        (["mine.jsonl", "--layout", "nonsense"], "nonsense"),
        (["shapes", "--chart-out", "x.bmp"], "cannot write a chart"),
        (["shapes", "--json", "--export-markdown", "-"], "both write to stdout"),
        (["shapes", "--limit", "0"], "--limit"),
        (["shapes", "--shard", "3/2"], "--shard 3/2"),
        (["shapes", "-o", "none/r.jsonl"], "none"),
        (["shapes", "-o", "-"], "stdout gets the report"),
        (["shapes", "-o", "/dev/stdout"], "stdout gets the report"),
        (["shapes", "-o", "/dev/full"], "is a device"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_refused_before_torch(args: list[str], problem: str, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"video": "a.mp4", "question": "what?", "answer": "yes"}\n')
    done = run(scripted("real"), "eval", *args, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert problem in done.stderr
    assert "hint:" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"mine.jsonl"}, "nothing was written"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    dataset = shapes.load(None, QUESTIONS, folder)
    for item in dataset.items:
        dataset.prepare(item)
    return folder


def test_a_file_of_ones_own_with_gaps(clips: Path, tmp_path: Path) -> None:
    items = shapes.load(None, 4, clips).items
    lines = [
        json.dumps({"video": str(item.video), "question": item.prompt, "answer": item.answer})
        for item in items
    ]
    gone = json.dumps({"video": "gone.mp4", "question": "what?", "answer": "yes"})
    (tmp_path / "mine.jsonl").write_text("\n".join([*lines, gone, "{broken"]) + "\n")
    done = run(SHARPV, "eval", "mine.jsonl", "--json", "--export-markdown", "r.md", home=tmp_path)
    assert done.returncode == 6, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert (document["questions"], document["asked"], document["videos"]) == (4, 5, 2)
    assert document["methods"]["dense"]["accuracy"] == 1.0
    places = [failure["place"] for failure in document["failures"]]
    assert places[0].endswith("mine.jsonl:6")
    assert len(places) == 2
    assert "gone.mp4" in done.stderr
    assert "mine.jsonl:6" in done.stderr
    assert "answers go to sharpv-eval-mine.jsonl\n" in done.stderr
    again = run(SHARPV, "eval", ".", "--quiet", "--out", "other.jsonl", home=tmp_path)
    assert again.returncode == 6, "the results file is no dataset"
    assert "failures" in again.stderr, "also when it is quiet"
    assert "| `sharpv` | 100.0" in (tmp_path / "r.md").read_text()


def test_parts_of_a_file_share_what_is_wrong_with_it(clips: Path, tmp_path: Path) -> None:
    """A broken line is in one part; a part without a video says so."""
    [item] = shapes.load(None, 1, clips).items
    good = json.dumps({"video": str(item.video), "question": item.prompt, "answer": item.answer})
    (tmp_path / "mine.jsonl").write_text(f"{good}\n{{broken\n")
    told = []
    for part in ("1/2", "2/2"):
        args = ("mine.jsonl", "--shard", part, "-o", f"{part[0]}.jsonl", "--json")
        told.append(run(SHARPV, "eval", *args, home=tmp_path))
    documents = [json.loads(done.stdout) for done in told]
    assert [done.returncode for done in told] == [6, 0]
    assert [len(document["failures"]) for document in documents] == [1, 0]
    assert [document["questions"] for document in documents] == [1, 0]
    assert "note: --shard 2/2: no video is left for this part" in told[1].stderr


COMPARED = ("--methods", "dense,sharpv,random-star,evs", "--limit", str(QUESTIONS), "--json")


def start(clips: Path, home: Path, *args: str, command: list[str] = SHARPV) -> subprocess.Popen[str]:
    return started(command, "eval", "shapes", "--clips", str(clips), *COMPARED, *args, home=home)


def halted(clips: Path, home: Path, lines: int) -> subprocess.Popen[str]:
    """In the middle of its work, however late we come."""
    process = start(clips, home, "--out", "r.jsonl", command=halting(lines))
    grown(home / "r.jsonl", lines, process)
    return process


def figures(text: str) -> dict[str, Any]:
    """The final table without its times."""
    document: dict[str, Any] = json.loads(text)
    for method in document["methods"].values():
        for name in TIMES:
            del method[name]
    return document


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return figures(out)


@pytest.fixture(scope="module")
def unbroken(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("unbroken")
    return finished(start(clips, home))


def test_kills_cost_nothing(clips: Path, tmp_path: Path, unbroken: dict[str, Any]) -> None:
    """SIGKILL six times, each after at least one more answer, which follows what is compared: the same final table."""
    results = tmp_path / "r.jsonl"
    for lines in (2, 7, 11, 16, 20, 26):
        process = halted(clips, tmp_path, lines)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = sum('"sharpv.eval.answer/1"' in line for line in results.read_text().splitlines())
    assert 16 <= done < ANSWERS, "killed on the way"
    assert finished(start(clips, tmp_path, "--out", "r.jsonl")) == unbroken
    answers = [json.loads(line) for line in results.read_text().splitlines()]
    asked = [(line["item"], line["method"]) for line in answers if "item" in line]
    assert len(asked) == len(set(asked)) == ANSWERS, "nothing is asked twice"


def test_ctrl_c_keeps_and_shows_what_there_is(clips: Path, tmp_path: Path, unbroken: dict[str, Any]) -> None:
    process = halted(clips, tmp_path, 6)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    assert document["interrupted"] is True
    assert 0 < document["questions"] < QUESTIONS
    assert "rerunning the same command resumes" in errors
    assert finished(start(clips, tmp_path, "--out", "r.jsonl")) == unbroken
    again = run(
        SHARPV, "eval", "shapes", "--clips", str(clips), *COMPARED[:-1], "-o", "r.jsonl", home=tmp_path
    )
    assert f"{ANSWERS} of {ANSWERS} are already there" in again.stderr
    assert f"{QUESTIONS}, about {QUESTIONS // 2} videos" in again.stdout


def test_answers_go_into_another_program_and_an_edited_line_is_told(clips: Path, tmp_path: Path) -> None:
    items = shapes.load(None, 2, clips).items
    rows = [{"video": str(item.video), "question": item.prompt, "answer": item.answer} for item in items]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = f"{' '.join(SHARPV)} eval mine.jsonl --methods dense --json -o >(cat > got.jsonl; touch got)"
    done = subprocess.run(
        ["bash", "-c", f"{line}; code=$?; until [ -e got ]; do sleep 0.01; done; exit $code"],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "sharpv.eval/1"
    got = [json.loads(line) for line in (tmp_path / "got.jsonl").read_text().splitlines()]
    assert [line["schema"] for line in got] == ["sharpv.eval.methods/1", *["sharpv.eval.answer/1"] * 2]
    got[1]["visual_retention"] = "most"
    (tmp_path / "got.jsonl").write_text("".join(json.dumps(line) + "\n" for line in got))
    args = ("eval", "mine.jsonl", "--methods", "dense", "-o", "got.jsonl")
    done = run(scripted("real"), *args, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "got.jsonl:2 was edited" in done.stderr


def test_parts_make_the_whole(clips: Path, tmp_path: Path, unbroken: dict[str, Any]) -> None:
    """The files of all shards, one after the other, are the file of the whole, and nothing is asked again."""
    parts = [f"part{number}.jsonl" for number in (1, 2, 3)]
    asked = [
        finished(start(clips, tmp_path, "--shard", f"{number}/3", "--out", part))["questions"]
        for number, part in enumerate(parts, start=1)
    ]
    assert asked == [6, 6, 4], "8 videos with two questions each"
    (tmp_path / "whole.jsonl").write_text("".join((tmp_path / part).read_text() for part in parts))
    process = start(clips, tmp_path, "--out", "whole.jsonl")
    out, errors = process.communicate(timeout=120)
    assert figures(out) == unbroken
    assert f"{ANSWERS} of {ANSWERS} are already there" in errors


def test_other_settings_do_not_mix(clips: Path, tmp_path: Path) -> None:
    common = ("eval", "shapes", "--clips", str(clips), "--limit", "2", "-o", "r.jsonl", "--quiet")
    assert run(SHARPV, *common, home=tmp_path).returncode == 0
    other = run(SHARPV, *common, "--frames", "4", home=tmp_path)
    assert (other.returncode, other.stdout) == (2, "")
    assert "--restart" in other.stderr
    assert run(SHARPV, *common, "--frames", "4", "--restart", home=tmp_path).returncode == 0


def test_what_pruned_nothing_is_told_and_exits_6(clips: Path, tmp_path: Path) -> None:
    """At all tokens nobody prunes; `sharpv` without both of its parts is dense under another name."""
    eight = ("eval", "shapes", "--clips", str(clips), "--limit", "2", "--json")
    args = (*eight, "--match", "1", "--methods", "dense,stride,sharpv,dense-fewer-frames", "-o", "a.jsonl")
    done = run(SHARPV, *args, home=tmp_path)
    assert done.returncode == 6, done.stderr
    methods = json.loads(done.stdout)["methods"]
    told = {name: method["pruned_nothing"] for name, method in methods.items()}
    assert told == {"dense": False, "stride": True, "sharpv": False, "dense-fewer-frames": True}
    assert "stride pruned nothing" in done.stderr
    again = run(SHARPV, *args, "--allow-noop", home=tmp_path)
    assert again.returncode == 0, "and nothing is asked again"
    assert "stride pruned nothing" in again.stderr
    jsonschema.validate(json.loads(again.stdout), SCHEMA)


def test_videomme_with_its_subtitles(tmp_path: Path) -> None:
    """They stand before the question; where they change, what was answered with the others is asked again."""
    write_demo(tmp_path / "data")
    films = {"moving": "one", "arriving": "two", "growing": "three"}
    write(
        tmp_path / "videomme.json", [videomme_entry(videoID=film, question_id=films[film]) for film in films]
    )
    words = write(tmp_path / "subtitle/moving.srt", SRT)
    common = "eval . --methods sharpv --subtitles auto --max-subtitle-tokens 60 -o r.jsonl --quiet".split()

    def answers() -> dict[str, list[str]]:
        """The warnings of each question's answers."""
        done = run(SHARPV, *common, home=tmp_path)
        assert done.returncode == 0, done.stderr
        told: dict[str, list[str]] = {id: [] for id in films.values()}
        for line in map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines()):
            if "item" in line:
                told[line["item"]].append(" ".join(line["warnings"]))
        return told

    first = answers()
    left_out = "1 of 2 subtitles are left out: max_subtitle_tokens is 60"
    assert left_out in first["one"][0]
    assert all("no subtitles are used" in first[id][0] for id in ("two", "three"))
    words.write_text(SRT.replace("more", "less"))
    write(tmp_path / "data/arriving.srt", SRT)
    again = answers()
    assert [len(again[id]) for id in films.values()] == [2, 2, 1]
    assert left_out in again["one"][1] and left_out in again["two"][1]
