"""`sharpv profile`: what lands where, what is refused before the model, and one real run against `sharpv ask`."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import statistics
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from run_cli import ROOT, SHARPV, environment, run, scripted
from waiting import LONG

from sharpv_cli.commands.profile.sweep import KEYS, read_sweeps
from sharpv_cli.errors import UsageError
from sharpv_cli.video.encoding import write_clip

NOTE = "note: the built-in demo model answers"
SCHEMA = json.loads((ROOT / "docs" / "schema" / "sharpv.profile.1.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    frames = [np.full((120, 160, 3), 70, np.uint8) for _ in range(20)]
    for index, frame in enumerate(frames):
        frame[40:80, 5 * index : 5 * index + 40] = (220, 40, 40)
    write_clip(folder / "clip.mp4", frames, 10.0)
    return folder


def profile(home: Path, *args: str, scenario: str = "answer", **environ: str) -> Any:
    return run(scripted(scenario), "profile", "clip.mp4", *args, home=home, **environ)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(result, SCHEMA)
    return result


# Streams


@pytest.mark.parametrize("columns", ["40", "120"])
def test_the_report_is_plain_text_in_a_pipe(home: Path, columns: str) -> None:
    done = profile(home, COLUMNS=columns)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "TTFT" in done.stdout
    assert all(line == line.rstrip() and len(line) <= int(columns) for line in done.stdout.splitlines())
    assert done.stderr.startswith(NOTE)
    assert len(done.stderr.splitlines()) == 1


def test_the_report_in_ascii(home: Path) -> None:
    done = profile(home, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "\\u" not in done.stdout


def test_json_is_one_line_and_nothing_else(home: Path) -> None:
    done = profile(
        home, "--json", "-q", " what moves? ", "--methods", "both,dense", "--warmup", "0", "--runs", "3"
    )
    assert done.stdout.count("\n") == 1
    got = document(done)
    assert got["question"] == "what moves?"
    assert list(got["methods"]) == ["dense", "both"]
    assert [len(method["runs"]) for method in got["methods"].values()] == [3, 3]
    assert (got["warmup"], got["new_tokens"]) == (0, 32)
    assert got["profile"]["name"] == "tiny"
    assert got["interrupted"] is False


def test_engines_that_drop_out_are_warned_of(home: Path) -> None:
    done = profile(home, "--engines", "fast,stock", "--json", scenario="dropped")
    got = document(done)
    assert list(got["engines"]) == ["stock", "fast"]
    assert got["engines"]["fast"]["dense"]["error"] == "not this model"
    assert "warning: --engines fast (dense) was left out: not this model" in done.stderr.splitlines()
    assert "warning: --sweep frames=128 (dense) was left out: no room" in done.stderr.splitlines()
    assert done.returncode == 0


def test_quiet_leaves_stderr_empty(home: Path) -> None:
    done = profile(home, "--quiet", "--chart-out", "quiet.svg")
    assert (done.returncode, done.stderr) == (0, "")
    assert "TTFT" in done.stdout


def test_an_export_to_stdout_takes_the_place_of_the_report(home: Path) -> None:
    done = profile(
        home, "--methods", "dense,both", "--runs", "2", "--export-csv", "-", "--export-json", "p.json"
    )
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["method"] for row in rows] == ["dense", "dense", "both", "both"]
    assert min(float(row["ttft_sec"]) for row in rows) > 0
    jsonschema.validate(json.loads((home / "p.json").read_text(encoding="utf-8")), SCHEMA)
    assert done.stderr.splitlines()[-1] == "note: JSON written to p.json"


@pytest.mark.parametrize(
    ("args", "environ", "tokens"),
    [
        (["--max-new-tokens", "100"], {}, 100),
        ([], {"SHARPV_MAX_NEW_TOKENS": "64"}, 64),
        (["-p", "short.yaml"], {}, 10),
    ],
    ids=["flag", "variable", "shorter-profile"],
)
def test_new_tokens_of_a_timed_run(home: Path, args: list[str], environ: dict[str, str], tokens: int) -> None:
    short = "extends: tiny\ngeneration: {max_new_tokens: 10}\n"
    (home / "short.yaml").write_text(short, encoding="utf-8")
    assert document(profile(home, "--json", *args, **environ))["new_tokens"] == tokens


def test_methods_that_are_the_same_are_said_to_be(home: Path) -> None:
    assert "--prune off: visual is the same as dense" in profile(home, "--prune", "off").stderr
    assert "--no-memory: memory is the same as dense" in profile(home, "--no-memory").stderr


def test_ctrl_c_leaves_valid_exports_of_what_was_done(home: Path) -> None:
    args = ["--sweep", "w=0.5,2", "--json", "--export-json", "cut.json", "--export-csv", "cut.csv"]
    with subprocess.Popen(
        [
            *scripted("slow"),
            "profile",
            "clip.mp4",
            *args,
            "--chart-out",
            "cut.svg",
            "--export-markdown",
            "cut.md",
        ],
        env=environment(home),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while "measuring" not in process.stderr.readline():
            assert process.poll() is None
        before = json.loads((home / "cut.json").read_text(encoding="utf-8"))
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=LONG)
    assert process.returncode == 130

    got = json.loads(stdout)
    jsonschema.validate(got, SCHEMA)
    assert json.loads((home / "cut.json").read_text(encoding="utf-8")) == got
    assert (before["interrupted"], got["interrupted"]) == (False, True)
    assert [(point["key"], point["value"]) for point in got["sweep"]] == [("w", 0.5)]
    rows = list(csv.DictReader((home / "cut.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["sweep_value"] for row in rows} == {"", "0.5"}
    assert (home / "cut.svg").stat().st_size > 1000
    assert "dense" in (home / "cut.md").read_text(encoding="utf-8")
    assert not list(home.glob("*.part")) + list(home.glob(".*.part"))


# Refusals: torch cannot be imported here, so they come before it


CASES = [
    (2, ["--methods", "dense,sparse"], "unknown method: 'sparse'"),
    (2, ["--engines", "stock,quick"], "unknown engine: 'quick'"),
    (2, ["--engines", ""], "unknown engine: ''"),
    (2, ["--runs", "0"], "--runs"),
    (2, ["--warmup", "-1"], "--warmup"),
    (2, ["-q", "  "], "the question is empty"),
    (2, ["--sweep", "w=1,-1"], "--sweep w=-1: should be greater than or equal to 0"),
    (2, ["--json", "--export-csv", "-"], "--json and --export-csv - both write to stdout"),
    (2, ["--export-json", "nowhere/p.json"], "nowhere"),
    (2, ["--export-csv", "clip.mp4"], "clip.mp4"),
    (2, ["--chart-out", "chart.bmp"], "chart.bmp"),
    (4, ["--model", "./nowhere"], "no such folder"),
]


@pytest.mark.parametrize(("code", "args", "said"), CASES, ids=[" ".join(args) for _, args, _ in CASES])
def test_refused_before_the_model(home: Path, code: int, args: list[str], said: str) -> None:
    size = (home / "clip.mp4").stat().st_size
    done = profile(home, *args, scenario="real")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr.splitlines()[0]
    assert done.stderr.startswith("error: ")
    assert (home / "clip.mp4").stat().st_size == size


def test_a_bad_video_touches_no_export(home: Path) -> None:
    (home / "kept.json").write_text("mine", encoding="utf-8")
    done = run(scripted("real"), "profile", "nowhere.mp4", "--export-json", "kept.json", home=home)
    assert done.returncode == 3
    assert (home / "kept.json").read_text(encoding="utf-8") == "mine"


# Sweeps


SWEEPS: list[tuple[list[str], dict[str, object], str]] = [
    (["w"], {}, "--sweep w: no values"),
    (["w="], {}, "--sweep w=: no values"),
    (["w=1,,2"], {}, "--sweep w: '' is not a number"),
    (["w=few"], {}, "--sweep w: 'few' is not a number"),
    (["temperature=1"], {}, "--sweep temperature=1: 'temperature' cannot be swept"),
    (["w=nan"], {}, "--sweep w=nan: "),
    (["m=2"], {}, "--sweep m=2: should be less than or equal to 1"),
    (["scale=0"], {}, "--sweep scale=0: should be greater than 0"),
    (["frames=8,0"], {}, "--sweep frames=0: should be greater than or equal to 1"),
    (["frames=2.5"], {}, "--sweep frames=2.5: should be a valid integer"),
    (["frames=4"], {"fps": 1.0}, "--sweep frames=4: --fps 1 and --frames 4 exclude each other"),
    (["w=1,1.0"], {}, "--sweep w: 1 is given twice"),
    (["w=1", "w=1"], {}, "--sweep w: 1 is given twice"),
    (["w=1"], {"prune": "off"}, "--sweep w: Visual SharpV is off"),
    (["scale=1"], {"prune": "off"}, "--sweep scale: Visual SharpV is off"),
    (["scale=1"], {"prune": "manual"}, "--sweep scale: only --prune adaptive has a scale"),
    (["k=1"], {"prune": "adaptive"}, "--sweep k: only --prune manual has a threshold"),
    (["m=0.1"], {"memory": False}, "--sweep m: Memory SharpV is off"),
]


@pytest.mark.parametrize(("given", "flags", "said"), SWEEPS, ids=[" ".join(given) for given, _, _ in SWEEPS])
def test_sweeps_that_cannot_be(
    given: list[str],
    flags: dict[str, object],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(os, "environ", environment(tmp_path))
    with pytest.raises(UsageError) as caught:
        read_sweeps(given, flags, None)
    assert str(caught.value).startswith(said)


def test_each_value_changes_its_setting_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", environment(tmp_path))
    flags: dict[str, object] = {"max-new-tokens": 9}
    given = ["w=0,0.5", "m=-1", "k=1.2", "scale=3", "frames=4"]
    points = read_sweeps(given, flags, None)
    changed = {
        "w": {"visual": {"w": 0.0}},
        "m": {"memory": {"m": -1.0}},
        "k": {"visual": {"k": 1.2, "mode": "manual"}},
        "scale": {"visual": {"scale": 3.0}},
        "frames": {"sampling": {"frames": 4}},
    }
    assert set(changed) == set(KEYS)
    assert [(point.key, point.value) for point in points] == [
        ("w", 0.0), ("w", 0.5), ("m", -1.0), ("k", 1.2), ("scale", 3.0), ("frames", 4.0)
    ]  # fmt: skip
    from sharpv_cli.settings import resolve

    base = resolve(flags, os.environ).settings.model_dump()
    for point in points[:1] + points[2:]:
        want = {group: value | changed[point.key].get(group, {}) if isinstance(value, dict) else value
                for group, value in base.items()}  # fmt: skip
        assert point.settings.model_dump() == want


def test_a_profile_that_prunes_by_threshold_can_sweep_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "manual.yaml"
    path.write_text("extends: tiny\nvisual: {mode: manual}\n", encoding="utf-8")
    monkeypatch.setattr(os, "environ", environment(tmp_path))
    assert read_sweeps(["k=1"], {}, str(path))[0].settings.visual.mode == "manual"
    with pytest.raises(UsageError, match="only --prune adaptive has a scale"):
        read_sweeps(["scale=1"], {}, str(path))


# The built-in model, nothing replaced


@pytest.fixture(scope="module")
def real(home: Path) -> dict[str, Any]:
    args = ["--runs", "2", "--warmup", "1", "--max-new-tokens", "6", "--sweep", "frames=4", "--json"]
    done = run(SHARPV, "profile", "clip.mp4", *args, home=home, SHARPV_SEEN="auto")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(NOTE)
    return document(done)


def test_the_settings_as_given_are_what_ask_reports(real: dict[str, Any], home: Path) -> None:
    args = ["-q", "Describe the video.", "--max-new-tokens", "6", "--json"]
    done = run(SHARPV, "ask", "clip.mp4", *args, home=home)
    asked, both = json.loads(done.stdout), real["methods"]["both"]
    for block in ("answer", "finish_reason", "tokens", "retention"):
        assert both[block] == asked[block], block
    # `ask` reads a prompt in two parts and a measurement in one: the last bits of a cosine may differ.
    for layer, theirs in zip(both["layers"], asked["layers"], strict=True):
        assert layer == {**theirs, "similarity": pytest.approx(theirs["similarity"], abs=1e-6)}
    for figure in ("kv_dense_bytes", "kv_bytes", "kv_retention", "weights_bytes"):
        assert both["memory"][figure] == asked["memory"][figure]
    assert real["sampling"] == asked["sampling"]
    assert real["model"] == asked["model"]
    asked["profile"]["settings"]["seen"] = "auto"  # as the measurement was told
    assert real["profile"] == asked["profile"]


def test_it_keeps_nothing_of_what_it_saw(real: dict[str, Any], home: Path) -> None:
    assert not (home / ".cache" / "sharpv" / "seen").exists()


def test_the_figures_agree_with_each_other(real: dict[str, Any]) -> None:
    assert list(real["methods"]) == ["dense", "visual", "memory", "both"]
    for method in [*real["methods"].values(), *real["sweep"]]:
        tokens, layers, memory = method["tokens"], method["layers"], method["memory"]
        assert sum(layer["kv_bytes"] for layer in layers) == memory["kv_bytes"]
        assert sum(frame["kept"] for frame in method["retention"]) == tokens["visual_kept"]
        stored = sum(tokens["visual_kept"] for layer in layers if layer["visual_kv_kept"])
        assert memory["kv_retention"] == pytest.approx(stored / (tokens["visual_total"] * len(layers)))
        entry = memory["kv_dense_bytes"] / (len(layers) * (tokens["visual_total"] + tokens["text"]))
        read = sum(layer["kv_entries"] + 1 for layer in layers) * entry
        assert method["cost"]["decode_kv_bytes"] == read
        assert len(method["runs"]) == 2
        for timing in method["runs"]:
            stages = sum(timing[f"{stage}_sec"] for stage in ("preprocess", "vision", "prune", "prefill"))
            assert 0 < stages <= timing["ttft_sec"] < timing["total_sec"]
        times = [timing["ttft_sec"] for timing in method["runs"]]
        assert method["summary"]["ttft_sec"]["median"] == pytest.approx(statistics.median(times))
    dense = real["methods"]["dense"]
    assert dense["tokens"]["visual_retention"] == dense["memory"]["kv_retention"] == 1.0
    assert real["rates"]["copy_bytes_per_sec"] > 0
    assert real["sweep"][0]["tokens"]["visual_total"] * 2 == dense["tokens"]["visual_total"]
