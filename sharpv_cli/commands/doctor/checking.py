"""The quick checks of `sharpv doctor`: Python, settings and their files, folders, the library that reads video."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sharpv_cli import __version__, terminal
from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.folders import user_folder
from sharpv_cli.models import environment
from sharpv_cli.models.apart import Frameworks
from sharpv_cli.models.environment import Check
from sharpv_cli.seen.store import Store
from sharpv_cli.settings import Settings, profile_paths, resolve
from sharpv_cli.units import disk_size

_PATCHED_PYAV = 19  # the first whose FFmpeg has the security fixes; it needs Python 3.12
_SMALL_BYTES = 2**30


def groups(profile: str | None) -> Iterator[list[Check]]:
    """The checks in the order in which `sharpv ask` would stumble; what takes seconds comes last."""
    settings, found = check_settings(profile)
    with Frameworks() as frameworks:  # which takes seconds, beside the others
        yield [*check_python(), *found]
        yield [
            environment.model(settings),
            environment.cache(),
            _seen(settings),
            environment.offline(settings),
        ]
        yield list(environment.libraries())
        yield check_video()
        yield from _of_the_device(frameworks, settings)


def _of_the_device(frameworks: Frameworks, settings: Settings) -> Iterator[list[Check]]:
    with terminal.Progress() as progress, terminal.heavy_imports():
        progress.stage("importing PyTorch and transformers")
        found = _asked(frameworks, settings)
    for group in dict.fromkeys(check.group for check in found):
        yield [check for check in found if check.group == group]


def _asked(frameworks: Frameworks, settings: Settings) -> list[Check]:
    try:
        return frameworks.ask(environment.of_the_device, settings)
    except SharpvError as error:
        return [Check.failed("device", "chosen", "unknown", error)]


def check_python() -> Iterator[Check]:
    """This package, Python, and the folder for temporary files."""
    yield Check("sharpv", "version", __version__)
    yield Check("sharpv", "python", f"{platform.python_version()} ({sys.executable})")
    yield _temporary_folder()


def check_settings(profile: str | None) -> tuple[Settings, list[Check]]:
    """The settings that `sharpv ask` would have, the defaults where they are wrong; and the files behind them."""
    files = [_config_file(), *_own_profiles(), _variables()]
    try:
        resolved = resolve({}, os.environ, profile=profile)
    except UsageError as error:
        return Settings(), [Check.failed("sharpv", "profile", profile or "", error), *files]
    value = f"{resolved.profile_name} ({resolved.profile_source})"
    return resolved.settings, [Check("sharpv", "profile", value), *files]


def check_video() -> list[Check]:
    """PyAV and the FFmpeg in it."""
    try:
        from sharpv_cli.video.libraries import ffmpeg_version, pyav_version
    except (ImportError, OSError) as error:
        what = f"PyAV cannot be imported: {error}"
        return [Check("video", "pyav", "unknown", None, what, "pip install --force-reinstall av", 1)]
    problem: str | None = None
    hint: str | None = None
    if int(pyav_version().partition(".")[0]) < _PATCHED_PYAV:
        problem = f"security fixes were published since FFmpeg {ffmpeg_version()}"
        old = sys.version_info < (3, 12)
        hint = "use Python 3.12 or newer for videos you do not trust" if old else "pip install --upgrade av"
    return [
        Check("video", "pyav", pyav_version()),
        Check("video", "ffmpeg", ffmpeg_version(), None, problem, hint),
    ]


def _seen(settings: Settings) -> Check:
    """How much is kept of videos that were seen, and where."""
    store = Store.of(settings.seen_max_bytes)
    if store is None or settings.seen == "off":
        return Check("models", "seen", "nothing is kept" if store else "no home folder, so nothing is kept")
    kept = store.kept()
    taken = sum(one.size for one in kept)
    limit = disk_size(store.most_bytes)
    return Check("models", "seen", f"{store.folder}: {len(kept)} clips, {disk_size(taken)} of {limit}", taken)


def _temporary_folder() -> Check:
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        what = f"there is no folder for temporary files: {error.strerror}"
        return Check(
            "sharpv", "temporary files", "none", None, what, "set TMPDIR to a folder that you can write to"
        )
    problem = "little room for a video from stdin" if free < _SMALL_BYTES else None
    hint = "set TMPDIR to a folder on another disk" if problem else None
    return Check("sharpv", "temporary files", f"{folder}: {disk_size(free)} free", free, problem, hint)


def _config_file() -> Check:
    """It is read with the settings, so that what is wrong in it is said there; here is where it lies."""
    folder = user_folder("config", os.environ)
    if folder is None:
        return Check("sharpv", "config file", "no home folder, so none is read")
    path = folder / "config.yaml"
    found = os.path.exists(path)  # noqa: PTH110 - never raises
    return Check("sharpv", "config file", f"{path}" if found else f"none ({path})")


def _own_profiles() -> Iterator[Check]:
    """The user's profiles, and those of them that cannot be read."""
    folder = user_folder("config", os.environ)
    own = {} if folder is None else _below(folder / "profiles", profile_paths(os.environ))
    yield Check("sharpv", "own profiles", f"{len(own)} in {folder / 'profiles'}" if folder else "0")
    plain = {name: os.environ[name] for name in ("HOME", "XDG_CONFIG_HOME") if name in os.environ}
    for name, path in own.items():
        try:
            resolve({}, plain, profile=name)
        except UsageError as error:
            yield Check("sharpv", f"profile {name}", str(path), None, str(error), error.hint)


def _below(folder: Path, paths: dict[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in paths.items() if path.parent == folder}


def _variables() -> Check:
    given = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("SHARPV_")]
    return Check("sharpv", "variables", " ".join(given) or "none")
