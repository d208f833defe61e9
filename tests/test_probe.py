"""`sharpv probe`: what it finds in files, what it foretells against what asking does, and how it is shown."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import jsonschema
import numpy as np
import pytest
from clips import encode
from drawing import drawn
from events import ask
from rich.cells import cell_len
from rich.console import Console
from run_cli import ROOT, SHARPV, environment, run

from sharpv_cli.pipeline.frames import decode_whole
from sharpv_cli.pipeline.probing import look, plan_of, varies
from sharpv_cli.report.probe_chart import ProbeChart
from sharpv_cli.report.probe_document import probe_document
from sharpv_cli.settings import SamplingSettings, Settings, resolve
from sharpv_cli.types import (
    MemoryEstimate,
    MemoryScenario,
    ModelOutlook,
    Outlook,
    SamplePlan,
    StreamInfo,
    VideoInfo,
)
from sharpv_cli.video.probe import scan
from sharpv_cli.video.streams import streams

NAME = "a/very/long/folder/[red]häß\x1b[31mlich.mkv"
SCHEMA = json.loads((ROOT / "docs" / "schema" / "sharpv.probe.1.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("home") / "clip.mp4", 40)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two languages of sound around a video, in Matroska."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w") as output:
        sounds = [output.add_stream("aac", rate=44100, layout=layout) for layout in ("stereo", "mono")]
        video = output.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for sound, language in zip(sounds, ("eng", "deu"), strict=True):
            sound.metadata["language"] = language
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(video.encode(frame))
        for sound in sounds:
            silence = np.zeros((sound.channels, 4410), np.float32)
            audio = av.AudioFrame.from_ndarray(silence, format="fltp", layout=sound.layout.name)
            audio.sample_rate, audio.pts = 44100, 0
            output.mux(sound.encode(audio))
            output.mux(sound.encode(None))
        output.mux(video.encode(None))
    return path


# What is found


def test_every_stream_is_listed(film: Path) -> None:
    assert streams(film) == (
        StreamInfo(0, "audio", "aac", rate=44100.0, channels=2, language="eng"),
        StreamInfo(1, "audio", "aac", rate=44100.0, channels=1, language="deu"),
        StreamInfo(2, "video", "h264", 64, 48, 10.0, main=True),
    )


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([40] * 5, False),
        ([33, 34, 33, 33, 34], False),  # 30 fps in milliseconds
        ([40, 40, 80, 40], True),
        ([40], False),
        ([], False),
    ],
)
def test_a_rate_varies_by_more_than_rounding(gaps: list[int], expected: bool) -> None:
    assert varies(np.cumsum([0, *gaps]) / 1000) is expected


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingSettings(frames=7),
        SamplingSettings(strategy="fps", fps=5.0),
        SamplingSettings(strategy="fps", fps=25.0, max_frames=6, start=0.3, end=1.1),
        SamplingSettings(frames=90),
        SamplingSettings(strategy="at", at="0:00.5,-0.1"),
        SamplingSettings(frames=3, start=-0.5),
    ],
)
def test_the_plan_is_what_decoding_takes(clip: Path, sampling: SamplingSettings) -> None:
    sample = decode_whole(clip, Settings(sampling=sampling)).sample
    plan = plan_of(scan(clip).timeline, sampling)
    assert (plan.strategy, plan.indices) == (sample.strategy, sample.indices)
    assert plan.timestamps_sec == pytest.approx(sample.timestamps_sec)
    assert set(plan.warnings) <= set(sample.warnings)


def test_tokens_and_cache_are_those_of_an_answer(clip: Path) -> None:
    """The built-in model, asked for real: visual tokens, weights, and the bytes of the dense cache."""
    from sharpv_cli.types import Finished

    settings = resolve({"prune": "off", "memory": False, "max-new-tokens": 1, "frames": 5}, {}).settings
    *_, last = ask(clip, "What happens?", settings)
    assert isinstance(last, Finished)
    answer, model = last.answer, look(clip, settings).model
    assert model is not None
    assert model.visual_tokens == answer.visual_total
    dense = model.scenarios[0]
    assert (dense.name, dense.kept) == ("dense", answer.visual_kept)
    assert dense.estimate.weights == answer.memory.weights_bytes
    text = answer.text_tokens
    assert model.kv_bytes_per_token * (answer.visual_kept + text) == answer.memory.kv_dense_bytes
    assert abs(model.text_tokens - text) < 64
    assert (model.dtype, model.layers) == (answer.model.dtype, len(answer.layers))


def settings_for(**flags: object) -> Settings:
    return resolve(flags, {}, profile="tiny").settings


def test_an_unknown_model_leaves_the_video(clip: Path) -> None:
    settings = resolve({"model": "nobody/knows-this"}, {}).settings
    outlook = look(clip, settings)
    assert outlook.model is None
    assert outlook.model_error is not None
    assert outlook.model_error[0].startswith("nobody/knows-this: not on this machine")
    assert outlook.video.frames_total == 40
    assert len(outlook.plan) == 32


def test_what_does_not_fit_is_said_with_a_way_out(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sharpv_cli.models import available

    plenty = look(clip, settings_for()).model
    assert plenty is not None
    assert [scenario.fits for scenario in plenty.scenarios] == [True, True, True]
    assert plenty.advice == ()
    need = plenty.scenarios[0].estimate.device_bytes
    monkeypatch.setattr(available, "host_bytes", lambda: need - 1)
    short = look(clip, settings_for()).model
    assert short is not None
    assert short.scenarios[0].fits is False
    frames = next(flag for flag in short.advice if flag.startswith("--frames "))
    fewer = look(clip, settings_for(frames=int(frames.split()[1]))).model
    assert fewer is not None
    assert fewer.scenarios[0].fits


def test_more_tokens_than_the_context_is_a_warning(clip: Path) -> None:
    settings = resolve({"frames": 40}, {}, profile="video-llava-7b").settings
    assert any("context of 4096" in warning for warning in look(clip, settings).warnings)
    fitting = resolve({"frames": 8}, {}, profile="video-llava-7b").settings
    assert look(clip, fitting).warnings == ()


# How it is shown


def outlook(**changes: Any) -> Outlook:
    """A made-up one that does not fit, with long and foreign text."""
    whole = MemoryEstimate(16 << 30, 3 << 28, 1 << 25, 1 << 26, 1 << 29, 1 << 30, 3 << 28, one_memory=False)
    less = replace(whole, prefill=1 << 27, kv_cache=1 << 27)
    model = ModelOutlook(
        id="someone/A-Model-With-A-Long-Name-7B-hf",
        family="llava_onevision",
        source="shipped facts",
        dtype="bfloat16",
        device="cuda:0",
        available_bytes=17 << 30,
        parameters=8_030_807_584,
        layers=28,
        context=32768,
        kv_bytes_per_token=57344,
        slots=32,
        rows=14,
        columns=14,
        text_tokens=64,
        scenarios=(
            MemoryScenario("dense", 1.0, 6272, whole, fits=False),
            MemoryScenario("sharpv", 0.3, 1882, less, fits=True),
        ),
        advice=("--scale 0.4", "--frames 24"),
    )
    base = Outlook(
        video=VideoInfo(NAME, "matroska", "h264", 1080, 1920, 90, 29.97, 61.5, 1843),
        streams=(
            StreamInfo(0, "video", "h264", 1920, 1080, 29.97, main=True),
            StreamInfo(1, "audio", "aac", rate=48000.0, channels=2, language="deu"),
            StreamInfo(2, "data", None),
        ),
        size_bytes=12_345_678,
        variable_rate=True,
        plan=SamplePlan("uniform", tuple(range(32)), tuple(float(2 * t) for t in range(32))),
        model=model,
        model_error=None,
    )  # fmt: skip
    return replace(base, **changes)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120])
def test_every_line_fits_and_nothing_is_lost(width: int, encoding: str) -> None:
    text = drawn(ProbeChart(outlook()), width, encoding=encoding)
    assert all(cell_len(line.rstrip()) <= width for line in text.splitlines())
    assert "\x1b" not in text
    squeezed = "".join(text.split())
    for part in ("[red]h", "\\x1b[31mlich.mkv", "someone/A-Model-With-A-Long-Name-7B-hf", "32x14x14=6272"):
        assert part in squeezed
    for part in (
        "variable,onaverage29.97asecond",
        "turnedby90degrees",
        "audioaac48000/s2channelsdeu",
        "17.0GiBfree",
    ):
        assert part in squeezed
    assert "wouldfit:--scale0.4or--frames24" in squeezed
    assert squeezed.count("doesnotfit") == 1
    assert "if30%arekept" in squeezed and "128.0MiB" in squeezed and "1882" in squeezed
    assert "thenthelargerofencoding" in squeezed
    assert ("…" in text) is False


def test_the_report_at_80() -> None:
    lines = drawn(ProbeChart(outlook()), 80).splitlines()
    assert "dense               6272  768.0 MiB  17.8 GiB  does not fit" in lines
    assert "if 30% are kept     1882  128.0 MiB  16.6 GiB  fits" in lines
    assert "stream 2          data" in lines
    assert "shape             8.03 B parameters, 28 layers, llava_onevision" in lines


def test_meaning_is_not_in_colours() -> None:
    plain = drawn(ProbeChart(outlook()), 80)
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system="truecolor", _environ={})
    console.print(ProbeChart(outlook()))
    coloured = stream.getvalue()
    assert "\x1b[" in coloured
    assert "does not fit" in plain


@pytest.mark.parametrize("available", [None, 0])
def test_the_verdict_follows_what_is_free(available: int | None) -> None:
    model = outlook().model
    assert model is not None
    fits = None if available is None else False
    scenarios = tuple(replace(scenario, fits=fits) for scenario in model.scenarios)
    changed = replace(model, available_bytes=available, scenarios=scenarios, advice=())
    text = drawn(ProbeChart(outlook(model=changed)), 100)
    verdict = next(line for line in text.splitlines() if line.startswith("verdict"))
    assert ("not known" in verdict) == (available is None)
    assert ("does not fit" in verdict) == (available == 0)


def test_a_model_that_is_unknown_is_said_with_the_hint() -> None:
    text = drawn(ProbeChart(outlook(model=None, model_error=("x/y: not here", "pull it"))), 80)
    assert "model             x/y: not here" in text
    assert "hint              pull it" in text
    assert "verdict" not in text


def document(of: Outlook) -> dict[str, Any]:
    found = probe_document(of, {"name": "tiny", "source": "shipped", "settings": {}})
    jsonschema.validate(found, SCHEMA)
    return json.loads(json.dumps(found, allow_nan=False))


def test_the_document_has_the_figures() -> None:
    found = document(outlook())
    assert found["video"]["streams"][1]["language"] == "deu"
    assert found["tokens"] == {
        "visual_total": 6272,
        "slots": 32,
        "rows": 14,
        "columns": 14,
        "text_estimate": 64,
    }
    dense = found["memory"]["scenarios"][0]
    parts = ("weights", "pixels", "embeddings", "prefill", "kv_cache")
    assert dense["device_bytes"] == sum(dense[f"{part}_bytes"] for part in parts)
    assert found["memory"]["advice"] == ["--scale 0.4", "--frames 24"]


def test_the_document_of_an_unknown_model() -> None:
    found = document(outlook(model=None, model_error=("x/y: not here", None)))
    assert (found["model"], found["tokens"], found["memory"]) == (None, None, None)
    assert found["model_error"] == {"error": "x/y: not here", "hint": None}


def test_the_schema_can_refuse() -> None:
    found = document(outlook())
    for key in ("video", "memory", "model_error"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({name: value for name, value in found.items() if name != key}, SCHEMA)


# The command


def probe(clip: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run(SHARPV, "probe", clip.name, *args, home=clip.parent, **environ)


def test_the_command_prints_a_report_or_a_document(clip: Path) -> None:
    done = probe(clip, COLUMNS="60")
    assert (done.returncode, done.stderr) == (0, "")
    assert "verdict" in done.stdout
    assert all(len(line) <= 60 and line == line.rstrip() for line in done.stdout.splitlines())
    done = probe(clip, "-p", "llava-ov-7b", "--device", "cpu", "--json", "--frames", "9")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    assert found["tokens"]["visual_total"] == 9 * 196
    assert found["model"]["source"] == "shipped facts"
    assert found["profile"]["settings"]["sampling"]["frames"] == 9


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nothing.mp4"], 3, "error: "),
        (["clip.mp4", "--frames", "0"], 2, "error: --frames 0"),
        (["clip.mp4", "--start", "99"], 2, "error: "),
        (["clip.mp4", "-p", "nobody"], 2, "error: unknown profile: nobody"),
        (["clip.mp4", "--device", "cuda:77"], 5, "error: device 'cuda:77' cannot be used"),
    ],
)
def test_mistakes_are_refused(clip: Path, args: list[str], code: int, said: str) -> None:
    done = run(SHARPV, "probe", *args, home=clip.parent)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(said)


def test_no_weights_are_read(clip: Path) -> None:
    """Not even opened, but for the headers that say their sizes: model classes are never imported."""
    code = (
        "import os, sys; os._exit = sys.exit; sys.argv = ['sharpv', 'probe', 'clip.mp4', '-p', 'llava-ov-0.5b'];"
        "from sharpv_cli.__main__ import main\n"
        "try: main()\n"
        "finally: print([n for n in sys.modules if '.modeling_' in n and 'qwen2' in n], file=sys.stderr)"
    )
    done = run([sys.executable, "-c", code], home=clip.parent)
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    assert environment(clip.parent)["HOME"] == str(clip.parent)
