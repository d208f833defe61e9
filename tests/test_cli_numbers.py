"""Numbers at the ends of what can be written: refused with the setting's name and its range, or of use."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import pytest
from run_cli import run, scripted

from sharpv_cli.errors import UsageError
from sharpv_cli.settings import FLAGS, Settings, defaults, resolve, variable
from sharpv_cli.settings.dotted import nest

NUMBERS = [flag for flag, key in FLAGS.items() if type(defaults()[key]) in (int, float)] + [
    *("max-frames", "start", "end", "seed")
]
EXTREMES = [
    *(
        "0",
        "-0.0",
        "-1",
        "1e-45",
        "5e-324",
        "1e-10",
        "1e30",
        "1e39",
        "1e308",
        "1e400",
        "-1e400",
        "nan",
        "inf",
    ),
    *("2147483648", "9223372036854775807", "9223372036854775808", "1" + "0" * 20, "9" * 400, "9" * 5000),
    *("0x10", "1_000", "\N{ARABIC-INDIC DIGIT THREE}", "1e", "--", "", " 7 ", "7\n", "true", "off", "[1]"),
]


def largest(key: str) -> float:
    """What a float32, or a count of 64 bits, holds of this setting."""
    return (
        2**63
        if key in ("video.max_bytes", "generation.seed", "seen_max_bytes")
        else 1e10
        if key == "video.timeout"
        else 2**31
    )


def resolved(environ: dict[str, str], profile: str | None = None) -> Settings | str:
    """The settings, or why there are none."""
    try:
        return resolve({}, environ, profile=profile).settings
    except UsageError as error:
        return str(error)


@pytest.mark.parametrize("value", EXTREMES, ids=lambda value: value[:20])
@pytest.mark.parametrize("flag", NUMBERS)
def test_a_variable_is_of_use_or_refused(flag: str, value: str) -> None:
    settings = resolved({variable(flag): value})
    if isinstance(settings, str):
        assert settings.startswith(f"{variable(flag)}={value[:20]}")
    else:
        assert_of_use(flag, settings)


@pytest.mark.parametrize("value", EXTREMES, ids=lambda value: value[:20])
@pytest.mark.parametrize("flag", ["frames", "temperature", "w", "seed"])
def test_a_value_in_yaml_is_of_use_or_refused(tmp_path: Path, flag: str, value: str) -> None:
    group, _, name = FLAGS[flag].partition(".")
    profile = tmp_path / "p.yaml"
    profile.write_text(f"{group}:\n  {name}: {value}\n", encoding="utf-8")
    settings = resolved({}, str(profile))
    if isinstance(settings, str):
        assert str(profile) in settings
    else:
        assert_of_use(flag, settings)


def assert_of_use(flag: str, settings: Settings) -> None:
    value = attrgetter(FLAGS[flag])(settings)
    assert value is None or -1 <= value <= largest(FLAGS[flag]) or flag in ("start", "end")
    if flag == "temperature" and value:
        assert 1e-6 <= value <= 1e6


@pytest.mark.parametrize("flag", [*NUMBERS])
def test_numbers_of_many_digits_as_flags(tmp_path: Path, flag: str) -> None:
    whole = "9" * 5000
    done = run(scripted("real"), "ask", "nope.mp4", "what?", f"--{flag}", whole, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"--{flag}" in done.stderr
    assert "unexpected" not in done.stderr
    assert len(done.stderr) < 3000


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--temperature", "1e-45"], "--temperature 1e-45: should be 0, or from 0.000001 to 1000000"),
        (["--temperature", "1e30"], "--temperature 1e+30: should be less than or equal to 1000000"),
        (["--frames", f"{10**20}"], f"--frames {10**20}: should be less than 2147483648"),
        (["--seed", f"{2**63}"], f"--seed {2**63}: should be less than 2^63"),
        (["--max-bytes", f"{2**63}"], f"--max-bytes {2**63}: should be less than 2^63"),
        (["--w", "1e39"], "--w 1e+39: should be less than or equal to 1000000"),
        (["--fps", "1e308"], "--fps 1e+308: should be less than or equal to 1000000"),
    ],
)
def test_the_range_is_said(tmp_path: Path, args: list[str], said: str) -> None:
    done = run(scripted("real"), "ask", "nope.mp4", "what?", *args, home=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, f"error: {said}")


@pytest.mark.parametrize(
    "args",
    [
        *(
            ["profile", "clip.mp4", flag, number]
            for flag in ("--runs", "--warmup")
            for number in ("9" * 5000, "-1")
        ),
        ["profile", "clip.mp4", "--runs", f"{10**20}"],
        ["profile", "clip.mp4", "--sweep", f"frames={10**20}"],
        ["profile", "clip.mp4", "--sweep", f"frames={'9' * 5000}"],
        ["profile", "clip.mp4", "--sweep", "w=nan"],
        ["profile", "clip.mp4", "--sweep", "w=1e39"],
        ["eval", "shapes", "--limit", f"{10**20}"],
        ["eval", "shapes", "--shard", f"{'9' * 5000}/{'9' * 5000}"],
        ["batch", "rows.jsonl", "-o", "out.jsonl", "--shard", f"1/{'9' * 5000}"],
        ["batch", "rows.jsonl", "-o", "out.jsonl", "--limit", f"{10**20}"],
        ["batch", "rows.jsonl", "-o", "out.jsonl", "--readers", f"{10**20}"],
        ["batch", "rows.jsonl", "-o", "out.jsonl", "--runner", "ray", "--num-gpus", "nan"],
        ["batch", "rows.jsonl", "-o", "out.jsonl", "--runner", "ray", "--num-cpus", "inf"],
    ],
    ids=lambda args: " ".join(args)[:60],
)
def test_the_other_options_have_ends_too(home: Path, args: list[str]) -> None:
    done = run(scripted("real"), *args, home=home)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert args[-2] in done.stderr


def test_the_defaults_are_in_their_ranges() -> None:
    assert Settings.model_validate(nest(defaults())) == Settings()
