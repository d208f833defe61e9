"""Templates that fail, never end or leave something out: the model's fault, with the file to mend, and no worse."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from run_cli import SHARPV, run
from templates import templated
from tiny_model import clip, folder, loaded

from sharpv_cli.errors import ModelError
from sharpv_cli.models import templates, tokenizing
from sharpv_cli.models.chat import render
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.models.on_disk import BUILTIN_FOLDER
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.settings import ModelSettings, PromptSettings

NEVER_ENDING = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
QUESTION = "How many boxes are there?"
SAID = (
    "{% for m in messages %}{% for p in m.content %}{{ p.text if p.type == 'text' else 'VIDEO' }}"
    "{% endfor %}{% endfor %}"
)
FAULTY = {
    "": "leaves out the video",
    "{% if %}": "Expected an expression",
    "{{ nothing.to.see }}": "'nothing' is undefined",
    "{% bogus %}": "unknown tag 'bogus'",
    "{{ raise_exception('Roles must alternate') }}": "Roles must alternate",
    "{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}": "can only concatenate str",
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}": "takes messages of text only",
    "{{ messages | tojson }}": "takes messages of text only",
    "{{ messages[3].content }}": "has no element 3",
    "{{ messages[0].content[1].text }}": "leaves out the video",
    f"VIDEO{SAID}": "puts the video in 2 times",
    "VIDEO": "leaves out the question",
    "VIDEO{{ messages[0].content[1].text[:9] }}": "leaves out the question, or its end",
    "VIDEO{{ messages[0].content[1].text | length }}": "leaves out the question, or its end",
    "{% include '/etc/passwd' %}": "no loader",
    "{{ 1 // 0 }}": "integer division or modulo by zero",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "maximum recursion depth",
    NEVER_ENDING: "takes longer than",
    "{{ 9 ** (9 ** 9) }}": "takes longer than",
    "{% set n = namespace(x='aa') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}": "MemoryError",
    "{{ 'a' * 9999999999 }}": "MemoryError",
    "{{ ' ' | center(1000001) }}": "makes 1,000,001 characters",
}


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    """Templates get less time than they have in earnest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "CPU_SEC", 0.5)
        templates.stop()
        yield
    templates.stop()


@pytest.mark.parametrize("template", FAULTY)
def test_a_faulty_template_is_named(template: str) -> None:
    with templated(loaded(), template) as model, pytest.raises(ModelError) as caught:
        render(model, QUESTION, PromptSettings())

    assert caught.value.exit_code == 4
    assert "its chat template (chat_template.jinja)" in str(caught.value)
    assert FAULTY[template] in str(caught.value)
    assert "mend chat_template.jinja" in str(caught.value.hint)
    assert "What" in render(loaded(), "What?", PromptSettings()), "the next one is rendered"


def test_a_question_of_any_length_is_within_bounds() -> None:
    question = "so " * 300_000 + "long?"

    assert render(loaded(), question, PromptSettings()).count("so ") == 300_000


def test_templates_see_surrogates_and_all_else_that_a_command_line_can_hold() -> None:
    question = "\udcff \x00 \x1b[1m {{ 7 * 7 }} \u2028 🙂?"

    assert question in render(loaded(), question, PromptSettings())


def test_after_an_interruption_the_next_question_gets_no_answer_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    render(loaded(), QUESTION, PromptSettings())
    asked = Connection.send_bytes

    def interrupted(self: Connection, request: bytes) -> None:
        asked(self, request)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "send_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render(loaded(), "The one before?", PromptSettings())

    assert "The one behind?" in render(loaded(), "The one behind?", PromptSettings())


def test_a_fork_does_not_read_its_parents_answers() -> None:
    render(loaded(), QUESTION, PromptSettings())
    child = templates._child

    templates._forget()

    assert "In the fork?" in render(loaded(), "In the fork?", PromptSettings())
    assert templates._child is not child
    child.end()


@pytest.mark.parametrize("limit", ["-v 20000000", "-v 200000", "-v 100000"])
def test_where_the_child_cannot_be_it_is_the_machines_fault(limit: str, tmp_path: Path) -> None:
    """Limits of this process hold for the child; none of them stands against one that it needs not."""
    script = (
        "from sharpv_cli.models import templates\n"
        "from sharpv_cli.errors import ResourceError\n"
        "try:\n    print(templates.rendered('{{ messages[0].role }}', [{'role': 'yes'}], {}))\n"
        "except ResourceError as error:\n    print(error)\n"
    )
    done = run(["bash", "-c", f'ulimit {limit}; exec "$0" "$@"'], sys.executable, "-c", script, home=tmp_path)

    assert done.returncode == 0, done.stderr
    told = "the process that renders chat templates could not be started"
    assert done.stdout.startswith("yes") or told in done.stdout
    assert limit != "-v 20000000" or done.stdout == "yes\n"
    assert limit != "-v 100000" or told in done.stdout


SYSTEM = PromptSettings(system="Be brief, and 'type': 'text' is no part.")


@pytest.mark.parametrize(
    "written",
    [
        "{{ m.content }}",
        "{{ m['content'] + '' }}",
        "{{ m.content | trim }}",
        "{{ m.content if m.content is string else 1/0 }}",
        "{{ m.content if m.content is string }}",
        "{{ m.content.text or (m.content if m.content is string) }}",
    ],
)
def test_a_template_that_wants_a_system_prompts_text_gets_it(written: str) -> None:
    template = (
        "{% for m in messages if m.role == 'system' %}"
        + written
        + "{% endfor %}VIDEO{{ messages[-1].content[1].text }}"
    )
    with templated(loaded(), template) as model:
        assert render(model, QUESTION, SYSTEM) == f"{SYSTEM.system}<video>\n{QUESTION}"


@pytest.mark.parametrize("change", ["upper", "lower"])
@pytest.mark.parametrize("question", ["Is it x", "Is it X", "IS IT X", "is it y"])
def test_letters_that_a_template_changes_are_not_left_out(question: str, change: str) -> None:
    with templated(loaded(), f"VIDEO{{{{ messages[-1].content[1].text | {change} }}}}") as model:
        assert getattr(question, change)() in render(model, question, PromptSettings())


def test_a_template_that_leaves_out_the_system_prompt_is_told() -> None:
    with templated(loaded(), "VIDEO{{ messages[-1].content[1].text }}") as model:
        with pytest.raises(ModelError, match="leaves out the system prompt") as caught:
            render(model, QUESTION, SYSTEM)
        assert render(model, QUESTION, PromptSettings())
    assert "without --system" in str(caught.value.hint)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder(), tmp_path / "model"))


def opened(path: Path) -> LoadedModel:
    return load(ModelSettings(id=str(path)), "cpu")


def moved_to(path: Path, file: str, template: object) -> None:
    (path / "chat_template.jinja").unlink()
    content = json.loads((path / file).read_text()) if (path / file).exists() else {}
    (path / file).write_text(json.dumps({**content, "chat_template": template}))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("file", ["chat_template.json", "tokenizer_config.json", "processor_config.json"])
def test_a_template_is_found_wherever_transformers_keeps_it_and_named_by_its_file(
    file: str, several: bool, copy: Path
) -> None:
    template = (copy / "chat_template.jinja").read_text()
    if several and file != "tokenizer_config.json":
        pytest.skip("only tokenizers have several by name")
    named = [{"name": "other", "template": "?"}, {"name": "default", "template": template}]
    moved_to(copy, file, named if several else template)

    model = opened(copy)

    assert render(model, QUESTION, PromptSettings()) == render(loaded(), QUESTION, PromptSettings())
    assert model.template_file == file


@pytest.mark.parametrize(
    "template", [None, "", 7, [], {}, [{"name": "tool", "template": "x"}], [{"template": 1}]]
)
@pytest.mark.parametrize("file", ["chat_template.json", "tokenizer_config.json", "processor_config.json"])
def test_what_is_no_template_is_refused(file: str, template: object, copy: Path) -> None:
    moved_to(copy, file, template)

    with pytest.raises(ModelError) as caught:
        render(opened(copy), QUESTION, PromptSettings())
    assert str(copy) in str(caught.value)
    assert caught.value.hint


def test_nothing_is_cut_off_or_filled_up_by_what_is_saved_with_a_tokenizer(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["truncation"] = {
        "direction": "Right",
        "max_length": 40,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    tokenizer["padding"] = {
        "strategy": {"Fixed": 900},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))

    ids = build_inputs(opened(copy), *clip(), QUESTION, PromptSettings())["input_ids"]

    assert torch.equal(ids, build_inputs(loaded(), *clip(), QUESTION, PromptSettings())["input_ids"])


@pytest.mark.parametrize(
    ("filler", "said"),
    [
        ("word " * 2000, r"writes \d+ tokens around the question, of the \d+ that"),
        ("x" * 60_000, "writes 60,"),
    ],
)
def test_a_template_that_leaves_no_room_is_to_blame_and_not_the_question(
    filler: str, said: str, copy: Path
) -> None:
    path = copy / "chat_template.jinja"
    path.write_text(path.read_text() + filler)

    with pytest.raises(ModelError, match=said) as caught:
        render(opened(copy), QUESTION, PromptSettings())
    assert str(caught.value.hint).startswith("mend chat_template.jinja")


def test_a_tokenizer_that_takes_ever_longer_is_refused_before_it_reads_all(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pattern looks at each pair of letters of a word; of a question as long as may be that takes days."""
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    slow = {"type": "Split", "pattern": {"Regex": "a+a+a+$"}, "behavior": "Isolated", "invert": False}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [slow, tokenizer["pre_tokenizer"]]}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    monkeypatch.setattr(tokenizing, "_SLOW_SEC", 0.05)
    model = opened(copy)

    assert tokenizing.count_tokens(model, "what?") > 0
    # Whichever comes first: our bound on time, or the regex library's own on steps.
    said = r"its tokenizer (takes .* s for \d+ characters of text|cannot be used: Onig)"
    with pytest.raises(ModelError, match=said):
        tokenizing.count_tokens(model, "a" * 200_000 + "b")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model, to be given another template, and a clip."""
    path = tmp_path_factory.mktemp("home")
    shutil.copytree(BUILTIN_FOLDER, path / "model")
    (path / "clips").mkdir()
    shutil.copy(BUILTIN_FOLDER.parent / "demo" / "moving.mp4", path / "clips")
    return path


def test_a_template_without_end_ends_the_command(home: Path) -> None:
    (home / "model" / "chat_template.jinja").write_text(NEVER_ENDING)

    done = run(SHARPV, "ask", "clips/moving.mp4", QUESTION, "--model", "./model", home=home)

    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "its chat template (chat_template.jinja) cannot be used: it takes longer than" in done.stderr
    assert "hint: mend chat_template.jinja" in done.stderr


def test_in_a_batch_a_template_costs_the_questions_that_it_fails_for(home: Path) -> None:
    (home / "model" / "chat_template.jinja").write_text(
        "{% set asked = messages[0].content[1].text %}"
        "{% if 'why' in asked %}{{ raise_exception('no reasons') }}{% endif %}"
        "{% if 'when' in asked %}" + NEVER_ENDING + "{% endif %}<video>{{ asked }}"
    )
    questions = ("why?", "when?", "how many?")

    done = run(
        SHARPV,
        "batch",
        "clips",
        *(part for question in questions for part in ("-q", question)),
        *("--model", "./model", "-o", "answers.jsonl"),
        home=home,
    )

    lines = [json.loads(line) for line in (home / "answers.jsonl").read_text().splitlines()]
    assert done.returncode == 6, done.stderr
    assert [line.get("exit_code") for line in lines] == [4, 4, None]
    assert "no reasons" in lines[0]["error"]
    assert "takes longer than" in lines[1]["error"]
