"""The options that say what an answer has to look like, on the command's streams and in its exit code."""

from __future__ import annotations

import json
import subprocess

import jsonschema
import pytest
from run_cli import ROOT, SHARPV, run

from sharpv_cli.shapes.demo import write_demo

CLIP, ASKED = "demo/moving.mp4", "Which direction does the red circle move?"
SCHEMA = """{"type": "object", "properties": {"to": {"enum": ["left", "right"]}}, "required": ["to"],
             "additionalProperties": false}"""
COMMANDS = {
    "choices": ["ask", CLIP, ASKED, "--choices", "up, left", "--choice", "right, or so", "--stats"],
    "choices in JSON": ["ask", CLIP, "-q", ASKED, "-q", "Is there a red circle?", "--choices", "left,yes", "--json"],
    "schema": ["ask", CLIP, ASKED, "--json-schema", "schema.json", "--json", "--logprobs"],
    "regex": ["ask", CLIP, ASKED, "--regex", "(left|right), I think", "--quiet"],
    "cut off": ["ask", CLIP, ASKED, "--json-schema", SCHEMA, "--max-new-tokens", "3", "--json"],
    "cut off among others": ["ask", CLIP, "-q", ASKED, "-q", "Describe the video.", "--regex", "left|[ab]{5}",
                             "--max-new-tokens", "1"],
}  # fmt: skip


Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    home = tmp_path_factory.mktemp("home")
    write_demo(home / "demo")
    (home / "schema.json").write_text(SCHEMA, encoding="utf-8")
    return {name: run(SHARPV, *words, home=home) for name, words in COMMANDS.items()}


def test_the_answer_is_one_of_the_choices(done: dict[str, Done]) -> None:
    got = done["choices"]
    assert (got.returncode, got.stdout) == (0, "left\n")
    assert "\nnote: left >99.9%, ahead of up by >99.9%\n" in got.stderr


def test_each_of_several_questions_has_the_choices(done: dict[str, Done]) -> None:
    got = [json.loads(line) for line in done["choices in JSON"].stdout.splitlines()]
    assert [one["answer"] for one in got] == ["left", "yes"]
    assert [[choice["text"] for choice in one["choices"]] for one in got] == [["left", "yes"]] * 2


def test_a_schema_from_a_file(done: dict[str, Done]) -> None:
    document = json.loads(done["schema"].stdout)
    schema = json.loads((ROOT / "docs" / "schema" / "sharpv.ask.1.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    assert document["answer_json"] == json.loads(document["answer"])
    assert document["answer_json"]["to"] in ("left", "right")
    assert len(document["logprobs"]["tokens"]) == document["tokens"]["generated"]


def test_an_expression(done: dict[str, Done]) -> None:
    assert (done["regex"].returncode, done["regex"].stdout) == (0, "left, I think\n")


def test_what_is_cut_off_is_exit_6(done: dict[str, Done]) -> None:
    got = done["cut off"]
    assert got.returncode == 6
    document = json.loads(got.stdout)
    assert (document["finish_reason"], document["answer_json"]) == ("length", None)
    assert "error: the answer is not complete: --max-new-tokens 3 ended it\nhint: raise it" in got.stderr


def test_the_others_are_answered_all_the_same(done: dict[str, Done]) -> None:
    got = done["cut off among others"]
    assert got.returncode == 6
    assert got.stdout.splitlines()[0] == "left"
    assert got.stderr.count("error: the answer is not complete: --max-new-tokens 1 ended it") == 1
