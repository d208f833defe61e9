"""The options that commands share: one for each setting, added to a command by `takes_settings`."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

import typer

MOST = 2**31 - 1
"""Of what a limit counts: no list is longer."""
MOST_WORKERS = 1024

Flags = Mapping[str, object]
"""Settings given on the command line, by flag name (`max-frames`); None is unset."""


def option(usage: str, help: str, *, panel: str | None = None, **more: Any) -> Any:
    """`usage` is what help shows: the option's names, then what it takes."""
    words = usage.split()
    names = [word for word in words if word.startswith("-")]
    metavar = None if words[-1] in names else words[-1]
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=panel, **more)


def profile_names(incomplete: str) -> list[str]:
    """Shell completion of `--profile`."""
    from sharpv_cli.settings import profile_paths

    return [name for name in profile_paths(os.environ) if name.startswith(incomplete)]


ProfileOption = Annotated[
    str | None,
    option(
        "--profile -p NAME|PATH",
        "A profile, with all settings; see `sharpv models list`. By default tiny, the built-in model.",
        autocompletion=profile_names,
    ),
]
VideoArgument = Annotated[
    str,
    typer.Argument(
        metavar="VIDEO",
        help="A video file; - reads it from stdin, a URL needs --allow-url.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, option("--json", "Print one JSON document instead of text.", panel="Output")]
QuietOption = Annotated[bool, option("--quiet", "Print only errors on stderr.", panel="Output")]
VerboseOption = Annotated[
    bool,
    option(
        "--verbose", "Print the device, backend, frames and time of each stage on stderr.", panel="Output"
    ),
]
ProcessesOption = Annotated[
    int | None,
    option(
        "--processes N",
        "Model processes.  [default: one per GPU, else by the model's size]",
        min=1,
        max=MOST_WORKERS,
    ),
]
BatchSizeOption = Annotated[
    str,
    option("--batch-size N|auto", "Answers decoded at once, at most 64; auto is by the memory that is free."),
]
ReadersOption = Annotated[
    int | None,
    option("--readers N", "Videos decoded at once, ahead of the model.", min=1, max=MOST_WORKERS),
]
RunnerOption = Annotated[
    Literal["local", "ray"],
    option("--runner local|ray", "Run on this machine, or on a Ray cluster (pip install 'sharpv[ray]')."),
]
AddressOption = Annotated[
    str | None,
    option("--address HOST:PORT", "The Ray cluster.  [default: RAY_ADDRESS, else one is started here]"),
]
ShowSettingsOption = Annotated[
    bool, option("--show-settings", "Print each setting and where it came from, on stderr.", panel="Output")
]


def _option(panel: str, kind: Any, usage: str, help: str) -> Any:
    values = "|".join(get_args(kind))
    return Annotated[kind | None, option(f"{usage} {values}", help, panel=panel)]


_video = functools.partial(_option, "Video")
_model = functools.partial(_option, "Model")
_pruning = functools.partial(_option, "Pruning")
_answer = functools.partial(_option, "Answer")

# In the order of the help. The names without their dashes are those of sharpv_cli.settings.FLAGS.
SETTING_OPTIONS: Mapping[str, Any] = {
    "frames": _video(int, "--frames N", "Take N frames, spread over the clip."),
    "fps": _video(float, "--fps X", "Take X frames per second instead of --frames."),
    "max-frames": _video(int, "--max-frames N", "Maximum number of frames with --fps."),
    "start": _video(str, "--start TIME", "Take frames from here on: 90, 90s, 1:30; -10 is from the end."),
    "end": _video(str, "--end TIME", "Take frames up to here."),
    "at": _video(str, "--at TIME,...", "Take the frames at exactly these times instead of --frames."),
    "subtitles": _video(
        str,
        "--subtitles auto|off|FILE|TRACK|LANG",
        "Put the video's words into the prompt: a file, or a track of `sharpv probe`.",
    ),
    "max-subtitle-tokens": _video(int, "--max-subtitle-tokens N", "Maximum number of tokens of subtitles."),
    "allow-url": _video(bool, "--allow-url/--no-allow-url", "VIDEO may be an http(s) address."),
    "picture": _video(bool, "--picture/--no-picture", "VIDEO may be a still picture: one frame."),
    "max-pixels": _video(int, "--max-pixels N", "Maximum number of pixels in a picture."),
    "max-bytes": _video(int, "--max-bytes N", "Maximum number of bytes read from stdin, a pipe or a URL."),
    "timeout": _video(float, "--timeout SEC", "Maximum time to fetch VIDEO, and to read it."),
    "model": _model(str, "--model ID|FOLDER", "Hub id, or a folder with a checkpoint."),
    "revision": _model(str, "--revision REV", "Branch, tag or commit on the hub."),
    "device": _model(str, "--device NAME", "auto, cpu, cuda, cuda:1, mps, or balanced: split over all GPUs."),
    "dtype": _model(Literal["auto", "float32", "bfloat16", "float16"], "--dtype", "Number format."),
    "attention": _model(Literal["auto", "flash", "sdpa", "eager"], "--attention", "Attention backend."),
    "engine": _model(
        Literal["auto", "fast", "reference"],
        "--engine",
        "sharpv's own passes over the weights, or those of transformers (reference); "
        "auto: fast where it can.",
    ),
    "memory-check": _model(
        bool, "--memory-check/--no-memory-check", "Refuse what would not fit into memory."
    ),
    "offline": _model(bool, "--offline/--no-offline", "Never touch the network."),
    "keep-warm": _model(
        str, "--keep-warm TIME", "How long the model stays loaded afterwards: 5m, forever, 0."
    ),
    "seen": _video(
        Literal["auto", "off", "only", "refresh"],
        "--seen",
        "What was kept of a VIDEO that was seen before: use and add to it, leave it alone, use nothing else, or make "
        "it anew.",
    ),
    "seen-max-bytes": _video(int, "--seen-max-bytes N", "Maximum number of bytes kept of videos."),
    "prune": _pruning(
        Literal["adaptive", "manual", "off"],
        "--prune",
        "Visual SharpV: keep a share of each frame, every token above a threshold, or all.",
    ),
    "w": _pruning(float, "--w X", "Weight of the spatial score, I = T + w S."),
    "scale": _pruning(float, "--scale X", "Multiplier for each frame's share (adaptive)."),
    "k": _pruning(float, "--k X", "Keep tokens with I above this (manual)."),
    "min-tokens": _pruning(int, "--min-tokens N", "Minimum visual tokens per frame."),
    "memory": _pruning(
        bool, "--memory/--no-memory", "Memory SharpV: discard the visual KV entries of degraded layers."
    ),
    "m": _pruning(float, "--m X", "A layer whose similarity is below this is degraded."),
    "positions": _pruning(
        Literal["original", "contiguous"], "--positions", "Kept tokens keep their gaps, or close up."
    ),
    "max-new-tokens": _answer(int, "--max-new-tokens N", "Maximum number of tokens in the answer."),
    "temperature": _answer(float, "--temperature X", "0 is greedy."),
    "stop": _answer(str, "--stop TEXT", "End the answer before this text."),
    "seed": _answer(int, "--seed N", "Random seed; used only above temperature 0."),
    "stream": _answer(
        bool,
        "--stream/--no-stream",
        "Print the answer as it comes, or once it is complete.  [default: as it comes on a terminal]",
    ),
}
# What an answer has to look like; `sharpv_cli.commands.forming` reads them.
FORM_OPTIONS: Mapping[str, Any] = {
    "choices": _answer(
        str, "--choices A,B,...", "The answer is one of these; --json has their probabilities."
    ),
    "choice": Annotated[
        list[str] | None, option("--choice TEXT", "One choice, with commas; repeat it.", panel="Answer")
    ],
    "json-schema": _answer(
        str, "--json-schema FILE|JSON", "The answer is JSON that is valid for this schema."
    ),
    "regex": _answer(str, "--regex REGEX", "The whole answer matches this expression."),
    "logprobs": _answer(
        bool, "--logprobs", "Tell in the JSON document how likely each token of the answer was."
    ),
}


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every settings option; it receives them as one `flags` argument."""
    return _takes(command, "flags", SETTING_OPTIONS)


def takes_form(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an answer's form; it receives them as one `wanted` argument."""
    return _takes(command, "wanted", FORM_OPTIONS)


def _takes(
    command: Callable[..., None], argument: str, annotations: Mapping[str, Any]
) -> Callable[..., None]:
    """Typer reads signatures, so the wrapper has one: the command's own parameters without this one, then options."""
    own = inspect.signature(command, eval_str=True).parameters
    kept = [parameter for name, parameter in own.items() if name != argument]
    options = {
        flag.replace("-", "_"): inspect.Parameter(
            flag.replace("-", "_"), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
        )
        for flag, annotation in annotations.items()
    }

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        flags = {name.replace("_", "-"): given.pop(name) for name in options}
        command(**given, **{argument: flags})

    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in kept]
    parameters = [*keyword_only, *options.values()]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper
