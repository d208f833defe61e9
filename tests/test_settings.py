"""Settings: precedence and origins, profiles and their errors, ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from sharpv_cli.errors import UsageError
from sharpv_cli.settings import FLAGS, Resolved, Settings, as_yaml, defaults, in_place, profile_paths, resolve

SHIPPED = [
    "internvl3-8b",
    "llava-next-video-7b",
    "llava-ov-0.5b",
    "llava-ov-7b",
    "perception-lm-3b",
    "qwen2.5-vl-3b",
    "qwen2.5-vl-7b",
    "qwen3-vl-4b",
    "qwen3-vl-8b",
    "smolvlm2-2.2b",
    "tiny",
    "video-llava-7b",
    "videollama3-7b",
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "sharpv" / "profiles").mkdir(parents=True)
    return tmp_path / "sharpv"


def run(
    home: Path | None = None,
    flags: Mapping[str, object] | None = None,
    profile: str | None = None,
    **environ: str,
) -> Resolved:
    folder = {} if home is None else {"XDG_CONFIG_HOME": str(home.parent)}
    return resolve(flags or {}, {**folder, **environ}, profile=profile)


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def error_of(*args: object, **kwargs: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        run(*args, **kwargs)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    return caught.value


def test_defaults_are_those_of_the_paper() -> None:
    settings = Settings()
    visual, memory = settings.visual, settings.memory
    assert (visual.mode, visual.w, visual.scale, visual.k, visual.min_tokens) == (
        "adaptive",
        1.0,
        1.0,
        1.6,
        1,
    )
    assert (memory.enabled, memory.m) == (True, 0.2)
    assert settings.generation.temperature == 0.0
    assert settings.positions == "original"


def test_each_place_wins_over_the_next(home: Path) -> None:
    write(home / "config.yaml", "profile: mine\nvisual: {w: 5, k: 5, scale: 5, min_tokens: 5}\n")
    write(home / "profiles" / "mine.yaml", "visual: {w: 4, k: 4, scale: 4}\n")
    resolved = run(home, {"w": 2.0}, SHARPV_W="3", SHARPV_K="3")
    visual = resolved.settings.visual
    assert (visual.w, visual.k, visual.scale, visual.min_tokens) == (2.0, 3.0, 4.0, 5)
    keys = ("w", "k", "scale", "min_tokens", "mode")
    origins = [resolved.origins[f"visual.{key}"] for key in keys]
    assert origins == ["flag --w", "SHARPV_K", "profile mine", "config file", "default"]


def test_every_key_has_an_origin() -> None:
    assert list(run().origins) == list(defaults())
    assert set(FLAGS.values()) <= set(defaults())


@pytest.mark.parametrize(
    ("flag", "value", "key"),
    [("memory", False, "memory.enabled"), ("m", 0.0, "memory.m"), ("start", 0.0, "sampling.start")],
)
def test_falsy_is_not_unset(flag: str, value: object, key: str, home: Path) -> None:
    path = write(home / "p.yaml", "memory: {enabled: true, m: 0.5}\nsampling: {start: 3}\n")
    group, name = key.split(".")
    resolved = run(home, {flag: value}, profile=path)
    assert getattr(getattr(resolved.settings, group), name) == value
    assert resolved.origins[key] == f"flag --{flag}"


def test_empty_variable_is_unset_and_none_flag_too() -> None:
    assert run(flags={"w": None}, SHARPV_W="").origins["visual.w"] == "profile tiny"


def test_variables_are_text_of_every_type() -> None:
    settings = run(
        SHARPV_PRUNE="off", SHARPV_MEMORY="off", SHARPV_W="1e-1", SHARPV_MAX_NEW_TOKENS="7"
    ).settings
    assert (settings.visual.mode, settings.memory.enabled, settings.visual.w) == ("off", False, 0.1)
    assert settings.generation.max_new_tokens == 7


def test_misspelt_variable_is_refused() -> None:
    error = error_of(SHARPV_FRAME="3")
    assert "SHARPV_FRAME " in str(error)
    assert error.hint == "did you mean SHARPV_FRAMES?"


def test_fps_turns_the_strategy_and_lifts_the_limit() -> None:
    sampling = run(flags={"fps": 4.0}, profile="qwen2.5-vl-7b").settings.sampling
    assert (sampling.strategy, sampling.fps, sampling.max_frames) == ("fps", 4.0, None)
    limited = run(flags={"fps": 4.0, "max-frames": 9}, profile="qwen2.5-vl-7b").settings.sampling
    assert limited.max_frames == 9
    by_variable = run(flags={"fps": 4.0}, profile="qwen2.5-vl-7b", SHARPV_MAX_FRAMES="9").settings.sampling
    assert by_variable.max_frames == 9


def test_frames_turns_the_strategy() -> None:
    sampling = run(flags={"frames": 12}, profile="qwen2.5-vl-7b").settings.sampling
    assert (sampling.strategy, sampling.frames) == ("uniform", 12)


def test_fps_and_frames_exclude_each_other_in_one_place_only() -> None:
    error = error_of(flags={"fps": 1.5, "frames": 8})
    assert "--fps 1.5" in str(error)
    assert "--frames 8" in str(error)
    sampling = run(flags={"frames": 8}, SHARPV_FPS="2").settings.sampling
    assert (sampling.strategy, sampling.frames) == ("uniform", 8)


def test_another_model_drops_the_profiles_revision_and_family(home: Path) -> None:
    path = write(home / "p.yaml", "model: {id: a/b, revision: v1, family: internvl}\nvisual: {w: 3}\n")
    model = run(home, {"model": "c/d"}, profile=path).settings.model
    assert (model.id, model.revision, model.family) == ("c/d", None, None)
    pinned = run(home, {"model": "c/d", "revision": "v2"}, profile=path)
    assert pinned.settings.model.revision == "v2"
    assert pinned.settings.visual.w == 3.0


def test_the_demo_profile_does_not_leak_into_another_model(home: Path) -> None:
    assert run().profile_name == "tiny"
    resolved = run(flags={"model": "c/d"})
    assert (resolved.profile_name, resolved.profile_source) == ("none", "default")
    assert resolved.settings.sampling == Settings().sampling
    write(home / "config.yaml", "model: {id: c/d}\n")
    assert run(home).settings.model.id == "c/d"
    assert run(home, profile="tiny").settings.model.id == "builtin"


def test_profile_named_by_flag_then_variable_then_config(home: Path) -> None:
    write(home / "config.yaml", "profile: qwen3-vl-8b\n")
    assert run(home).profile_name == "qwen3-vl-8b"
    assert run(home, SHARPV_PROFILE="llava-ov-7b").profile_name == "llava-ov-7b"
    assert run(home, profile="tiny", SHARPV_PROFILE="llava-ov-7b").profile_name == "tiny"


def test_shipped_profiles_are_complete_and_valid() -> None:
    assert list(profile_paths({})) == SHIPPED
    for name in SHIPPED:
        resolved = run(profile=name)
        assert resolved.profile_source == "shipped"
        assert resolved.description
        assert resolved.settings.model.family
        assert "lanned" not in resolved.description


def test_extends_takes_the_rest_from_the_other_profile() -> None:
    small, large = run(profile="llava-ov-0.5b"), run(profile="llava-ov-7b")
    assert small.settings.model.id != large.settings.model.id
    assert small.settings.sampling == large.settings.sampling
    assert small.origins["model.id"] == "profile llava-ov-0.5b"
    assert small.origins["sampling.frames"] == "profile llava-ov-7b"


def test_own_profile_hides_and_may_extend_the_shipped_one(home: Path) -> None:
    path = write(home / "profiles" / "tiny.yaml", "extends: tiny\nsampling: {frames: 3}\n")
    resolved = run(home)
    assert (resolved.settings.sampling.frames, resolved.settings.model.id) == (3, "builtin")
    assert resolved.profile_source == path


def test_extends_by_path_counts_from_the_file(home: Path) -> None:
    write(home / "base.yaml", "visual: {w: 7}\n")
    path = write(home / "child.yaml", "extends: ./base.yaml\n")
    assert run(home, profile=path).settings.visual.w == 7.0


def test_circle_of_profiles_is_refused(home: Path) -> None:
    write(home / "profiles" / "a.yaml", "extends: b\n")
    write(home / "profiles" / "b.yaml", "extends: a\n")
    assert "circle" in str(error_of(home, profile="a"))


def test_unknown_profile_names_its_neighbours() -> None:
    error = error_of(profile="lava-ov-7b")
    assert "lava-ov-7b" in str(error)
    assert "llava-ov-7b" in (error.hint or "")
    assert "nowhere.yaml" in str(error_of(profile="nowhere.yaml"))
    assert str(error_of(profile="")) == "unknown profile: ''"
    assert "unknown profile: xx" in str(error_of(profile="x" * 5000))


@pytest.mark.parametrize(
    ("text", "key", "near", "line"),
    [
        ("visual:\n  w: 1\n  scael: 2\n", "visual.scael", "visual.scale", 3),
        ("frames: 8\n", "frames", "sampling.frames", 1),
        ("memory: {treshold: 1}\n", "memory.treshold", None, 1),
        ("descripton: x\n", "descripton", "description", 1),
    ],
)
def test_unknown_key_names_key_file_line_and_neighbour(
    home: Path, text: str, key: str, near: str | None, line: int
) -> None:
    path = write(home / "p.yaml", text)
    error = error_of(home, profile=path)
    assert str(error) == f"{path}:{line}: unknown key `{key}`"
    assert near is None or error.hint == f"did you mean `{near}`?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("visual:\n  w: [1\n", "p.yaml:3: not valid YAML"),
        ("visual: {w: [1, 2]}\n", "p.yaml:1: expected one value"),
        ("visual:\n  w: 1\n  w: 2\n", "p.yaml:3: `visual.w` is given twice"),
        ("- visual\n", "p.yaml:1: expected `key: value`"),
        ("visual: 5\n", "p.yaml:1: expected `key: value`"),
        ("extends: 3\n", "`extends` should be text"),
        ("device: !!python/object/apply:os.system [id]\n", "p.yaml:1: expected one value"),
        ("seed: \x07\n", "not valid YAML"),
        ("device: !!bool foo\n", "p.yaml:1: cannot read `foo`"),
        ("device: !!int ''\n", "p.yaml:1: cannot read"),
        ("device: !!timestamp x\n", "p.yaml:1: cannot read `x`"),
        (f"visual: {{w: 0x{'f' * 5000}}}\n", "characters left out"),
    ],
)
def test_bad_yaml_names_file_and_line(home: Path, text: str, said: str) -> None:
    assert said in str(error_of(home, profile=write(home / "p.yaml", text)))


def test_unreadable_profiles(home: Path) -> None:
    (home / "folder.yaml").mkdir()
    assert "cannot read" in str(error_of(home, profile=str(home / "folder.yaml")))
    (home / "latin.yaml").write_bytes(b"description: caf\xe9\n")
    assert "not UTF-8" in str(error_of(home, profile=str(home / "latin.yaml")))


def test_empty_profiles_and_groups_change_nothing(home: Path) -> None:
    for text in ("", "# nothing\n", "visual:\n", "visual:\n  # w: 2\n"):
        assert run(home, profile=write(home / "p.yaml", text)).settings == Settings()


@pytest.mark.parametrize("text", ["off", "'off'", '"off"'])
def test_bare_off_is_a_mode(home: Path, text: str) -> None:
    path = write(home / "p.yaml", f"visual: {{mode: {text}}}\n")
    assert run(home, profile=path).settings.visual.mode == "off"


@pytest.mark.parametrize(
    ("flag", "bad", "good"),
    [
        ("frames", 0, 1),
        ("fps", 0.0, 0.1),
        ("max-frames", 0, 1),
        ("start", "soon", "0:30"),
        ("start", "1:75", "1:05"),
        ("end", 0.0, -0.1),
        ("at", "1,then", "1,-2"),
        ("at", "", "0"),
        ("w", -0.1, 0.0),
        ("w", float("inf"), 9.0),
        ("w", float("nan"), 9.0),
        ("scale", 0.0, 0.1),
        ("k", -0.1, 0.0),
        ("min-tokens", 0, 1),
        ("m", -1.1, -1.0),
        ("m", 1.1, 1.0),
        ("max-new-tokens", 0, 1),
        ("temperature", -0.1, 0.0),
        ("seed", -1, 0),
        ("prune", "most", "manual"),
        ("dtype", "int8", "float16"),
        ("model", "", "a/b"),
    ],
)
def test_ranges(flag: str, bad: object, good: object) -> None:
    written = str(bad).removesuffix(".0")
    assert f"--{flag} {written}" in str(error_of(flags={flag: bad}))
    resolved = run(flags={flag: good})
    assert resolved.origins[FLAGS[flag]] == f"flag --{flag}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5),
        (" 90s ", 90.0),
        ("0:30", 30.0),
        ("90:00", 5400.0),
        ("1:02:03.5", 3723.5),
        ("-10", -10.0),
        ("-1:30", -90.0),
        (7, 7.0),
    ],
)
def test_times_as_people_write_them(text: object, seconds: float) -> None:
    assert run(flags={"start": text}).settings.sampling.start == seconds
    assert run(SHARPV_START=str(text)).settings.sampling.start == seconds
    assert run(flags={"at": f"100000,{text}"}).settings.sampling.at == f"{seconds:g},100000"


def test_an_error_says_the_forms_of_times() -> None:
    forms = "should be a time: 12.5 or 90s, 0:30, 1:02:03.5, or -10 from the end"
    for text in ("soon", "1:2:3:4", "1:60", "::", "5m", "--3"):
        assert str(error_of(flags={"start": text})) == f"--start {text}: {forms}"
    assert str(error_of(flags={"at": "3,soon"})) == f"--at 3,soon: {forms}"


def test_moments_take_the_place_of_other_ways_to_choose_frames(home: Path) -> None:
    sampling = run(flags={"at": "3,1,3"}, SHARPV_FRAMES="4").settings.sampling
    assert (sampling.strategy, sampling.at) == ("at", "1,3")
    assert run(flags={"frames": 4}, SHARPV_AT="3").settings.sampling.strategy == "uniform"
    assert "--frames 4 and --at 3 exclude each other" in str(error_of(flags={"at": "3", "frames": 4}))
    assert "--at 3 and --start 1 exclude each other" in str(error_of(flags={"at": "3", "start": 1}))
    path = write(home / "p.yaml", "sampling: {strategy: at, at: '0:05,-1', start: 1:30}\n")
    sampling = run(home, profile=path).settings.sampling
    assert (sampling.at, sampling.start) == ("-1,5", 90.0)


@pytest.mark.parametrize(
    ("before", "own", "whole"),
    [
        ({"frames": 8, "w": 2.0}, {"at": "3"}, {"w": 2.0, "at": "3"}),
        ({"at": "3"}, {"frames": 4}, {"frames": 4}),
        ({"fps": 1.0, "max-frames": 9}, {"frames": 4}, {"frames": 4}),
        ({"frames": 8, "max-frames": 9}, {"fps": 2.0}, {"max-frames": 9, "fps": 2.0}),
        ({"frames": 8, "seed": 1}, {"seed": 2}, {"frames": 8, "seed": 2}),
    ],
)
def test_a_questions_own_flags_come_in_the_place_of_others(
    before: dict[str, object], own: dict[str, object], whole: dict[str, object]
) -> None:
    """One way to say which frames are taken replaces another, as in a row of a manifest."""
    assert in_place(before, own) == whole
    resolve(in_place(before, own), {})


def test_start_lies_before_end() -> None:
    assert "--start -1 is not before --end -2" in str(error_of(flags={"start": -1, "end": -2}))
    assert run(flags={"start": 5, "end": -2}).settings.sampling.end == -2
    message = str(error_of(flags={"start": 5.0, "end": 5.0}))
    assert "--start 5 is not before --end 5" in message
    assert run(flags={"end": 5.0}).settings.sampling.end == 5.0


@pytest.mark.parametrize("text", ["sampling: {frames: true}", "visual: {w: true}", "model: {revision: 12}"])
def test_wrong_types_name_the_file_and_the_line(home: Path, text: str) -> None:
    path = write(home / "p.yaml", f"# mine\n{text}")
    assert f"{path}:2: " in str(error_of(home, profile=path))


def test_a_wrong_value_is_told_though_the_profile_would_overrule_it(home: Path) -> None:
    path = write(home / "config.yaml", "device: cpu\nvisual:\n  w: -1\n")  # tiny has its own w
    assert f"{path}:3: visual.w: -1: should be greater" in str(error_of(home))


def test_a_file_that_never_ends_is_not_read_to_its_end(home: Path) -> None:
    assert "is over 1 MiB" in str(error_of(home, profile="/dev/../dev/zero"))


def test_printed_yaml_is_a_profile_with_the_same_settings(home: Path) -> None:
    resolved = run(flags={"prune": "off", "start": 1.5}, profile="qwen3-vl-4b")
    text = as_yaml(resolved)
    assert "# flag --prune" in text
    assert Settings.model_validate(yaml.safe_load(text)) == resolved.settings
    assert run(home, profile=write(home / "p.yaml", text)).settings == resolved.settings


def test_what_the_profile_overrules_of_the_config_file_is_known(tmp_path: Path) -> None:
    folder = tmp_path / "sharpv"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "sampling: {frames: 5}\nvisual: {w: 1.0, scale: 9}\ndevice: cpu\n", encoding="utf-8"
    )
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}

    resolved = resolve({"scale": 3.0}, environ)

    assert resolved.overruled == ("sampling.frames",)  # w is the same, scale is the flag's, device is used
    assert resolved.settings.device == "cpu"
    assert resolve({}, environ, profile=str(_empty(tmp_path))).overruled == ()


def _empty(folder: Path) -> Path:
    (folder / "empty.yaml").write_text("description: sets nothing\n", encoding="utf-8")
    return folder / "empty.yaml"
