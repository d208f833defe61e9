"""Manifests: what is read of each form, what a broken row is told, and what becomes of settings and shards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest
from web_server import serving

from sharpv_cli.batch.manifest import Manifest, read_manifest
from sharpv_cli.batch.planning import Plan, plan
from sharpv_cli.errors import UsageError
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.tables import reading
from sharpv_cli.tables.shard import Shard, read_shard
from sharpv_cli.types import Form
from sharpv_cli.video import stamp as stamping
from sharpv_cli.video.local import Limits
from sharpv_cli.video.sources import local_video


def settings_for(own: Mapping[str, object]) -> Settings:
    return resolve(own, {}).settings


def written(folder: Path, *rows: object, name: str = "m.jsonl") -> str:
    path = folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return str(path)


def planned(
    manifest: Manifest, shard: str = "1/1", limit: int | None = None, weights: str = "0123456789abcdef"
) -> Plan:
    return plan(manifest, settings_for, weights, read_shard(shard), limit)


def test_json_lines_with_ids_and_without(tmp_path: Path) -> None:
    source = written(
        tmp_path,
        {"video": "a.mp4", "question": " what? ", "id": 7},
        "",
        {"video": "/b.mp4", "questions": ["one?", "two?"], "id": "b"},
        {"video": "https://x/c.mp4", "question": "what?", "max_new_tokens": 5},
    )
    rows = read_manifest(source, ()).rows
    assert [(row.line, row.video) for row in rows] == [
        (1, str(tmp_path / "a.mp4")),
        (3, "/b.mp4"),
        (4, "https://x/c.mp4"),
    ]
    assert [list(row.asked()) for row in rows] == [
        [("7", "what?")],
        [("b#1", "one?"), ("b#2", "two?")],
        [("line-4", "what?")],
    ]
    assert rows[2].settings == {"max-new-tokens": 5}


def test_csv_where_empty_cells_are_nothing(tmp_path: Path) -> None:
    source = written(
        tmp_path, "id,video,question,questions,frames", 'a,a.mp4,"what, then?",,', 'b,b.mp4,,"[""one?""]",4',
        name="m.csv",
    )  # fmt: skip
    first, second = read_manifest(source, ()).rows
    assert (first.questions, first.settings, first.line) == (("what, then?",), {}, 2)
    assert (second.questions, second.settings) == (("one?",), {"frames": "4"})
    assert planned(Manifest((second,), ())).jobs[0].settings.sampling.frames == 4


def test_choices_of_a_row_come_before_those_of_the_run(tmp_path: Path) -> None:
    rows = "video,question,choices", 'a.mp4,what?,"[""car"", ""bus, red""]"', "b.mp4,what?,"
    source = written(tmp_path, *rows, name="m.csv")
    run = Form(grammar="of a schema", is_json=True, logprobs=True)
    asked = plan(read_manifest(source, ()), settings_for, "", read_shard("1/1"), form=run).asked
    assert [one.form for one in asked] == [Form(choices=("car", "bus, red"), logprobs=True), run]


def test_a_folder_is_asked_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/c.MKV", ".hidden/d.mp4", "notes.txt", ".e.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = read_manifest(str(tmp_path), ("one?", "two?")).rows
    assert [id for row in rows for id, _ in row.asked()] == ["a/c.MKV#1", "a/c.MKV#2", "b.mp4#1", "b.mp4#2"]
    with pytest.raises(UsageError, match="there is no question"):
        read_manifest(str(tmp_path), ())


def test_questions_of_the_command_are_for_rows_without(tmp_path: Path) -> None:
    source = written(tmp_path, {"video": "a.mp4"}, {"video": "b.mp4", "question": "own?"})
    assert [row.questions for row in read_manifest(source, ("what?",)).rows] == [("what?",), ("own?",)]
    assert [failure.line for failure in read_manifest(source, ()).failures] == [1]


GOOD = {"video": "a.mp4", "question": "what?", "id": "a"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{broken", "is not JSON"),
        ("[]", "not an object"),
        ({"question": "what?"}, "no field 'video'"),
        ({"video": "a.mp4"}, "no field 'question'"),
        ({"video": "a.mp4", "question": "  "}, "'question' is empty"),
        ({"video": 5, "question": "what?"}, "'video' is a number"),
        ({"video": "-", "question": "what?"}, "stdin is no video"),
        ({"video": "a.mp4", "question": ["x"]}, "'question' is a list"),
        ({"video": "a.mp4", "questions": []}, "an empty list"),
        ({"video": "a.mp4", "questions": "what?"}, "not a list of texts"),
        ({"video": "a.mp4", "questions": ["a", 3]}, "text 2 of 'questions'"),
        ({"video": "a.mp4", "questions": ["a"], "question": "b"}, "exclude each other"),
        ({"video": "a.mp4", "question": "what?", "id": []}, "'id' is a list"),
        ({"video": "a.mp4", "question": "what?", "id": "a"}, "the id 'a' is that of line 1"),
        ({"video": "a.mp4", "question": "what?", "model": "x"}, "give it as --model"),
        ({"video": "a.mp4", "question": "what?", "allow_url": True}, "give it as --allow-url"),
        ({"video": "a.mp4", "question": "what?", "frame": 3}, "did you mean 'frames'"),
        ({"video": "a.mp4", "question": "what?", "regex": "a+"}, "give it as --regex"),
        ({"video": "a.mp4", "question": "what?", "choices": "car,bus"}, "'choices' is a text, not a list"),
        ({"video": "a.mp4", "question": "what?", "choices": []}, "'choices' is an empty list"),
        ({"video": "a.mp4", "question": "what?", "choices": ["car"]}, "only one choice: 'car'"),
        ({"video": "a.mp4", "question": "what?", "frames": "x"}, "--frames x"),
        ({"video": "a.mp4", "question": "what?", "start": 3, "end": 2}, "not before"),
    ],
    ids=str,
)
def test_each_broken_row_is_told_with_its_line_and_the_rest_is_kept(
    row: object, problem: str, tmp_path: Path
) -> None:
    source = written(tmp_path, GOOD, row, {**GOOD, "id": "z"})
    found = planned(read_manifest(source, ()))
    assert [asked.id for asked in found.asked] == ["a", "z"]
    (failure,) = found.failures
    assert failure.line == 2
    assert failure.error.exit_code == 2
    assert "m.jsonl:2: " in str(failure.error) and problem in str(failure.error)


@pytest.mark.parametrize(
    ("content", "problem"), [("", "holds no line"), (None, "cannot be used")], ids=["empty", "missing"]
)
def test_a_manifest_that_is_none(content: str | None, problem: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "m.jsonl").write_text(content)
    with pytest.raises(UsageError, match=problem):
        read_manifest(str(tmp_path / "m.jsonl"), ())


ROWS = 'video,question\na.mp4,"what, then?"\nb.mp4,was ändert sich?\n'
ENTRIES = [{"video": "a.mp4", "question": "what, then?"}, {"video": "b.mp4", "question": "was ändert sich?"}]
LINES = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in ENTRIES)
SEMICOLONS = "video;question\na.mp4;what, then?\nb.mp4;was ändert sich?\n"


@pytest.mark.parametrize("name", ["m.jsonl", "m.json", "m.csv", "m.txt", "m"])
@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        LINES.encode("utf-8-sig"),
        LINES.encode("utf-16"),
        b"\xfe\xff" + LINES.encode("utf-16-be"),
        LINES.encode("utf-32"),
        json.dumps(ENTRIES, indent=1).encode(),
        ROWS.encode(),
        ROWS.replace("\n", "\r\n").encode("utf-16"),
        SEMICOLONS.encode("utf-8-sig"),
        b"sep=;\r\n" + SEMICOLONS.encode(),
        SEMICOLONS.replace(";", "\t").encode(),
        SEMICOLONS.replace(";", "|").encode(),
        ("\n" + SEMICOLONS + ";\n;\n").encode(),
        LINES.replace("\n", ",\n").encode(),
        LINES.replace("\n", "\r\n").encode(),
        LINES.replace("\n", "\r").encode(),
        LINES.replace("\n", "").encode(),
        LINES.replace("\n", ", ").encode(),
        "\n".join(json.dumps(entry, indent=2) for entry in ENTRIES).encode(),
        ROWS.replace("\n", "\r").encode(),
        SEMICOLONS.replace(";", "; ").encode(),
    ],
    ids=[
        "lines", "lines-bom", "lines-16", "lines-16-be", "lines-32", "list", "csv", "csv-16", "semicolons", "sep",
        "tabs", "bars", "blank-rows", "commas-at-ends", "lines-windows", "lines-mac", "joined", "joined-by-commas",
        "over-lines", "csv-mac", "blanks-behind-delimiters",
    ],
)  # fmt: skip
def test_a_manifest_is_read_by_its_content(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    manifest = read_manifest(str(tmp_path / name), ())
    assert [row.video for row in manifest.rows] == [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    assert [row.questions for row in manifest.rows] == [("what, then?",), ("was ändert sich?",)]
    assert (manifest.failures, manifest.unused) == ((), ())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (LINES.encode("utf-16-le"), "is UTF-16 or UTF-32 text without a byte order mark"),
        (b"\xff\xfe\x00\xd8\x00", "begins as UTF-16 text and is none"),
        (b"a.mp4\nb.mp4\nc.mp4\n", "no line of it can be read"),
        (b"{'video': 'a.mp4'}\n" * 9, "no line of it can be read"),
        (b"{'video': 'a.mp4'}\n" * 9, "m.jsonl:1 is a Python dict with single quotes, not JSON"),
        (b"[{'video': 'a.mp4'}, {'video': 'b.mp4'}]", "is not JSON"),
        (b'{"video": "a.mp4",}\n' * 9, "m.jsonl:1 is JSON but for a comma before the closing bracket"),
        (b'[{"video": "a.mp4"}, ]', "is JSON but for a comma before the closing bracket"),
        (b'[{"video": "a.mp4"}, {"video": ', "is not JSON"),
        (
            LINES.replace("what", "w\u00e4s").encode("cp1252"),
            "probably Windows-1252 or Latin-1 (line 1 would read 'w\u00e4s')",
        ),
        (
            ROWS.replace("then", "\u00fcber").encode("latin-1"),
            "probably Windows-1252 or Latin-1 (line 2 would read",
        ),
        (
            (LINES * 3)
            .replace("was", "\u0447\u0442\u043e")
            .replace("what", "\u0447\u0442\u043e")
            .encode("cp1251", "replace"),
            "is no UTF-8 text (line 1)",
        ),
        (
            b"video,question\na.mp4;what?\nb.mp4;who?\n",
            "has a header with ',' between its fields, and rows with ';'",
        ),
        (b'["a.mp4", "what?"]\n["b.mp4", "who?"]\n', "no line of it can be read"),
        (b"path,question\na.mp4,what?\n", "no line of it can be read"),
        (b'{"clip": "a.mp4", "question": "what?"}\n' * 3, "no row has a field 'video', but clip, question"),
        (b"video,question,question\na.mp4,what?,who?\n", "has a header with 'question' twice"),
        (b"video,question\n", "it holds no line"),
        (b" \n\n", "it holds no line"),
        (b"\x89PNG\r\n\x1a\n", "is no text"),
        (b"PK\x03\x04\rclip.mp4,\r\x00,mdat", "no line of it can be read"),
        (b"\x1f\x8b\x08\0\xa5" + b"x" * 90, "is no text: it is compressed"),
        (bytes(90), "is no text"),
        (b"," + b"x" * 200_000, "no line of it can be read"),
    ],
)
def test_what_is_wrong_with_all_of_it_is_said_once(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "m.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=r"m\.jsonl cannot be used") as caught:
        read_manifest(str(tmp_path / "m.jsonl"), ())
    assert told in str(caught.value)


def test_a_few_broken_bytes_cost_their_own_rows(tmp_path: Path) -> None:
    rows = [*LINES.encode().splitlines(), b'{"video": "c\xff\xfe.mp4", "question": "what?"}'] * 3
    (tmp_path / "m.jsonl").write_bytes(b"\n".join(rows))
    found = read_manifest(str(tmp_path / "m.jsonl"), ())
    assert [row.line for row in found.rows] == [1, 2, 4, 5, 7, 8]
    assert ["not UTF-8 text" in str(failure.error) for failure in found.failures] == [True] * 3


def test_more_entries_than_memory_holds_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_MOST_ENTRIES", 5)
    for content in (LINES * 4, json.dumps(ENTRIES * 4), LINES.replace("\n", "") * 4, ROWS * 4):
        (tmp_path / "m").write_text(content, encoding="utf-8")
        with pytest.raises(UsageError, match="holds more than 5 entries: split it"):
            read_manifest(str(tmp_path / "m"), ())
    monkeypatch.setattr(reading, "_MOST_ENTRIES", 100)
    monkeypatch.setattr(reading, "_MOST_VALUES", 100)
    (tmp_path / "m").write_text("[" + "{}," * 200 + "{}]")
    with pytest.raises(UsageError, match="holds more than"):
        read_manifest(str(tmp_path / "m"), ())
    monkeypatch.setattr(reading, "MOST_BYTES", 100)
    with pytest.raises(UsageError, match="it is over 100"):
        read_manifest(str(tmp_path / "m"), ())


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full"])
def test_a_device_is_no_manifest(device: str) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        read_manifest(device, ())


def test_a_manifest_through_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["sh", "-c", 'printf %s "$0" > "$1"', LINES, tmp_path / "fifo"]):
        assert len(read_manifest(str(tmp_path / "fifo"), ()).rows) == 2


@pytest.mark.parametrize("first", ["good", "broken"])
def test_a_broken_row_never_has_the_id_of_a_good_one(tmp_path: Path, first: str) -> None:
    """In the results each would take the other's place, run after run."""
    good, broken = {**GOOD}, {**GOOD, "question": ""}
    rows = [good, broken] if first == "good" else [broken, good]
    found = planned(read_manifest(written(tmp_path, *rows), ()))
    assert [asked.id for asked in found.asked] == ["a"]
    (failure,) = found.failures
    assert failure.id is None
    assert "'question' is empty" in str(failure.error)
    assert f"its id 'a' is that of line {1 + rows.index(good)}" in str(failure.error)


def test_ids_of_failures_are_told_once_each(tmp_path: Path) -> None:
    several = {"video": "a.mp4", "questions": ["1?", "2?"], "id": "s", "frames": "none"}
    rows = [
        {**GOOD, "question": ""},
        {**GOOD, "question": 3},
        several,
        {**GOOD, "id": "s"},
        {**GOOD, "id": "s#2"},
    ]
    found = planned(read_manifest(written(tmp_path, *rows, {**GOOD, "id": "b"}), ()))
    assert [asked.id for asked in found.asked] == ["b"]
    assert [failure.id for failure in found.failures] == ["a", None, "s", None, None]
    assert "its id 'a' is that of line 1" in str(found.failures[1].error)


@pytest.mark.parametrize(("listed", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_that_differ_only_in_how_accents_are_written_are_found(
    tmp_path: Path, listed: str, on_disk: str
) -> None:
    name = "für/Ångström – é.mp4"
    path = tmp_path / unicodedata.normalize(on_disk, name)
    path.parent.mkdir()
    path.write_bytes(b"film")
    row = {"video": unicodedata.normalize(listed, name), "question": "what?"}
    first = planned(read_manifest(written(tmp_path, row), ())).asked[0].digest
    with local_video(str(tmp_path / str(row["video"])), Limits()) as video:
        assert Path(video).read_bytes() == b"film"
    path.write_bytes(b"another")
    assert planned(read_manifest(written(tmp_path, row), ())).asked[0].digest != first


def test_what_else_lies_in_a_folder_is_counted(tmp_path: Path) -> None:
    videos = ["a.vob", "b.h264", "c.m2v", "d.ivf", "e.ogg", "f.MXF", "sub/g.ts"]
    for name in [
        *videos,
        "notes.txt",
        "more.txt",
        "sub/poster.jpg",
        "LICENSE",
        ".hidden.txt",
        "odd.mp4/inside.mp4",
    ]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    manifest = read_manifest(str(tmp_path), ("what?",))
    assert [row.id for row in manifest.rows] == sorted([*videos, "odd.mp4/inside.mp4"])
    (note,) = manifest.notes
    assert "left out: 2 .txt" in note and "1 .jpg" in note and "1 without a suffix" in note


def test_what_is_no_file_in_a_folder_is_counted_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    (tmp_path / "a.mp4").touch()
    os.mkfifo(tmp_path / "b.mp4")
    (tmp_path / "c.mp4").symlink_to("b.mp4")
    (tmp_path / "d.mp4").symlink_to("/dev/zero")
    (tmp_path / "e.mp4").symlink_to("gone.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("f.mp4")
        manifest = read_manifest(str(tmp_path), ("what?",))
    assert [row.id for row in manifest.rows] == ["a.mp4", "e.mp4"]
    assert manifest.notes == ("what is no file is left out: 1 device(s), 2 pipe(s), 1 socket(s)",)


def test_an_answer_without_pruning_does_not_depend_on_how_it_would_be_pruned(tmp_path: Path) -> None:
    def digest(**own: object) -> str:
        return planned(read_manifest(written(tmp_path, {**GOOD, **own}), ())).asked[0].digest

    assert digest(prune="off", w=1) == digest(prune="off", w=2) != digest(w=2) != digest(w=1)
    assert digest(memory=False, m=0.1) == digest(memory=False, m=0.2) != digest(m=0.1)


def test_a_video_of_the_same_size_and_time_in_its_place_is_asked_again(tmp_path: Path) -> None:
    video, digests = tmp_path / "a.mp4", set()
    middle = b"1" * 150_000 + b"2" + b"1" * 149_999
    for content in (b"1" * 300_000, b"2" + b"1" * 299_999, b"1" * 299_999 + b"2", middle):
        video.write_bytes(content)
        os.utime(video, ns=(1, 1))
        digests.add(planned(read_manifest(written(tmp_path, GOOD), ())).asked[0].digest)
    assert len(digests) == 4


def test_of_a_long_video_pieces_all_over_it_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamping, "_PIECE", 100)
    contents = [bytearray(100_000) for _ in range(4)]
    for number, place in ((1, 50), (2, 99_950), (3, (100_000 - 100) * 31 // 63)):
        contents[number][place] = 1
    stamps = set()
    for content in contents:
        (tmp_path / "a.mp4").write_bytes(content)
        stamps.add(stamping.stamp(str(tmp_path / "a.mp4")))
    assert len(stamps) == 4
    contents[0][120] = 1
    (tmp_path / "a.mp4").write_bytes(contents[0])
    assert stamping.stamp(str(tmp_path / "a.mp4")) in stamps, "what lies between them is not read"


def test_of_an_address_the_version_counts_that_the_server_says(tmp_path: Path) -> None:
    resolved = {"allow-url": True}

    def asked() -> Plan:
        def settings(own: Mapping[str, object]) -> Settings:
            return resolve({**resolved, **own}, {}).settings

        return plan(read_manifest(source, ()), settings, "weights", read_shard("1/1"))

    with serving({}) as (server, address):
        source = written(tmp_path, {"video": f"{address}/a.mp4?ticket=1", "question": "what?", "id": "a"})
        found = []
        for headers in (
            {"ETag": '"1"'},
            {"ETag": '"2"'},
            {"Last-Modified": "then"},
            {"Last-Modified": "now"},
        ):
            server.pages["/a.mp4?ticket=1"] = (200, headers, b"film")
            found.append(asked())
        digests = [one.asked[0].digest for one in found]
        assert len(set(digests)) == 4
        assert asked().without({"a": digests[3]}).jobs == ()
        assert found[1].without({"a": digests[0]}).jobs == found[1].jobs
        server.pages["/a.mp4?ticket=1"] = (200, {}, b"film")
        silent = asked()
        assert silent.without({"a": silent.asked[0].digest}).jobs == ()
    gone = asked()
    assert gone.asked[0].digest == silent.asked[0].digest
    assert gone.without({"a": digests[0]}).jobs == (), (
        "what was answered stays while the server cannot be asked"
    )
    resolved["allow-url"] = False
    assert asked().without({"a": digests[0]}).jobs, "other settings are asked"


@pytest.mark.parametrize("number", [2**63, 10**30, -(2**70), 10**400, 1e300])
@pytest.mark.parametrize(
    "field", ["frames", "max-frames", "seed", "max-new-tokens", "min-tokens", "start", "fps", "w"]
)
def test_a_number_beyond_all_bounds_costs_its_row(tmp_path: Path, field: str, number: float) -> None:
    found = planned(read_manifest(written(tmp_path, {**GOOD, field: number}, {**GOOD, "id": "b"}), ()))
    assert [asked.id for asked in found.asked][-1] == "b"
    assert len(found.asked) + len(found.failures) == 2
    for failure in found.failures:
        assert f"--{field}" in str(failure.error)
    if field in ("frames", "seed", "max-new-tokens", "min-tokens"):
        assert found.failures


def test_fields_that_are_nothing_of_ours_are_named(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, {**GOOD, "label": 3}, {**GOOD, "id": "b", "split": "x"}), ())
    assert (manifest.unused, manifest.failures) == (("label", "split"), ())


def test_questions_with_the_same_video_and_settings_share_a_job(tmp_path: Path) -> None:
    rows = [
        {"video": "a.mp4", "question": "1?"},
        {"video": "b.mp4", "question": "2?"},
        {"video": "a.mp4", "questions": ["3?", "4?"]},
        {"video": "a.mp4", "question": "5?", "frames": 4},
    ]
    found = planned(read_manifest(written(tmp_path, *rows), ()))
    asked = [[one.question for one in job.questions] for job in found.jobs]
    assert asked == [["1?", "3?", "4?"], ["2?"], ["5?"]]
    assert [
        len(job.questions) for job in planned(read_manifest(written(tmp_path, *rows), ()), limit=2).jobs
    ] == [2]


def test_shards_are_a_partition_that_keeps_videos_together(tmp_path: Path) -> None:
    rows: list[object] = [{"video": f"{n % 5}.mp4", "question": "what?", "id": str(n)} for n in range(20)]
    manifest = read_manifest(written(tmp_path, *rows, "{broken", "{broken"), ())
    parts = [planned(manifest, f"{n}/3") for n in (1, 2, 3)]
    assert sorted(asked.id for part in parts for asked in part.asked) == sorted(map(str, range(20)))
    videos = [{job.video for job in part.jobs} for part in parts]
    assert sum(map(len, videos)) == 5 == len(set.union(*videos))
    assert sorted(failure.line for part in parts for failure in part.failures) == [21, 22]


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "x/3", "1", "1/", "-1/3", "1/0", "1/" + "9" * 5000, "9" * 5000 + "/1", "²/3"]
)
def test_a_shard_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        read_shard(text)
    assert read_shard("3/3") == Shard(3, 3)


def test_words_and_moments_count_in_the_digest_where_they_are_used(tmp_path: Path) -> None:
    def digest(**own: object) -> str:
        return planned(read_manifest(written(tmp_path, {**GOOD, **own}), ())).asked[0].digest

    plain, spoken = digest(), digest(subtitles="auto")
    assert len({plain, spoken, digest(at="0:05"), digest(at="0:06"), digest(start="0:30")}) == 5
    assert digest(start="0:30") == digest(start=30)
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    assert digest() == plain
    assert digest(subtitles="auto") != spoken


def test_the_digest_follows_the_file_the_question_the_settings_and_the_weights(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"1")

    def digest(weights: str = "trained", **changes: object) -> str:
        manifest = read_manifest(written(tmp_path, {"video": "a.mp4", "question": "what?", **changes}), ())
        return planned(manifest, weights=weights).asked[0].digest

    first = digest()
    assert digest(id="other") == first
    changed = (digest(question="who?"), digest(frames=3), digest(m=0.4), digest("trained anew"))
    assert len({first, *changed}) == 5
    os.utime(video, ns=(1, 1))
    touched = digest()
    video.write_bytes(b"12")
    os.utime(video, ns=(1, 1))
    assert len({first, touched, digest()}) == 3


def test_what_is_done_is_left_out(tmp_path: Path) -> None:
    found = planned(read_manifest(written(tmp_path, {**GOOD}, {**GOOD, "id": "b", "question": "who?"}), ()))
    a, b = found.asked
    assert [one.id for one in found.without({"a": a.digest, "b": "older"}).asked] == ["b"]
    assert found.without({"a": a.digest, "b": b.digest}).jobs == ()
