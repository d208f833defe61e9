"""Profile and config files: where they are, what they hold, and errors that name the file and the line."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import ValidationError

from sharpv_cli.errors import UsageError
from sharpv_cli.folders import user_folder
from sharpv_cli.near import with_near_name
from sharpv_cli.settings.dotted import defaults, first_problem, nest
from sharpv_cli.settings.schema import GROUPS, Settings
from sharpv_cli.smallfile import read_text
from sharpv_cli.text import shortened

_SUFFIXES = (".yaml", ".yml")
_MOST_BYTES = 1 << 20
_MOST_BITS = 1 << 10  # no number of a setting has more, and Python writes out no number of many thousands


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """One YAML file: `values` by dotted key, the 1-based `lines` they stand on, and the keys about the file.

    `profile` is set in the config file only, `extends` and `description` in profiles only.
    """

    path: Path
    values: Mapping[str, object]
    lines: Mapping[str, int]
    description: str | None = None
    extends: str | None = None
    profile: str | None = None


def shipped_folder() -> Path:
    """The profiles inside the installed package, else those at the top of the checkout."""
    package = Path(str(files("sharpv_cli")))
    inside = package / "profiles"
    return inside if inside.is_dir() else package.parent / "profiles"


def profile_paths(environ: Mapping[str, str]) -> dict[str, Path]:
    """Every profile that has a name, sorted by it; a user's own hides the shipped one of that name."""
    found = {
        path.stem: path for folder in reversed(_folders(environ)) for path in sorted(folder.glob("*.yaml"))
    }
    return dict(sorted(found.items()))


def _folders(environ: Mapping[str, str]) -> list[Path]:
    own = user_folder("config", environ)
    return [shipped_folder()] if own is None else [own / "profiles", shipped_folder()]


def profile_chain(name: str, environ: Mapping[str, str]) -> list[SettingsFile]:
    """The named profile (or the file at that path), then the one it extends, and so on.

    Raises UsageError for an unknown name, a circle, or a file that cannot be used.
    """
    chain: list[SettingsFile] = []
    wanted: str | None = name
    while wanted is not None:
        chain.append(read(_locate(wanted, chain, environ), top=("description", "extends")))
        wanted = chain[-1].extends
    return chain


def _locate(name: str, chain: list[SettingsFile], environ: Mapping[str, str]) -> Path:
    """A user's `tiny` may extend the shipped `tiny`: files already in the chain are passed over."""
    candidates = list(_candidates(name, chain, environ))
    for path in candidates:
        if not any(path.samefile(seen.path) for seen in chain):
            return path
    if candidates:
        circle = " -> ".join([*(str(seen.path) for seen in chain), name])
        raise UsageError(f"profiles extend each other in a circle: {circle}", hint="remove one `extends:`")
    if _is_path(name):
        raise UsageError(
            f"no profile file at {name}{_asked_by(chain)}",
            hint=with_near_name(name, "give a YAML file, or a name"),
        )
    known = list(profile_paths(environ))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(
        f"unknown profile: {name if name.strip() else repr(name)}{_asked_by(chain)}",
        hint=f"{hint}`sharpv models list` lists all {len(known)}",
    )


def _asked_by(chain: list[SettingsFile]) -> str:
    return f" (extended by {chain[-1].path})" if chain else ""


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.endswith(_SUFFIXES)


def _candidates(name: str, chain: list[SettingsFile], environ: Mapping[str, str]) -> Iterator[Path]:
    """Paths in `extends:` count from the file that says so; names are looked up in the two folders."""
    if _is_path(name):
        path = Path(os.path.expanduser(name) if name.startswith("~/") else name)  # noqa: PTH111 - never raises
        paths = [chain[-1].path.parent / path if chain else path]
    else:
        paths = [folder / f"{name}.yaml" for folder in _folders(environ)]
    yield from (path for path in paths if os.path.exists(path))  # noqa: PTH110 - never raises


def read(path: Path, *, top: tuple[str, ...]) -> SettingsFile:
    """Read one file; `top` names the keys it may hold beside the settings.

    Raises UsageError for an unreadable file, bad YAML (with its line), unknown or repeated keys, and values that
    the schema refuses.
    """
    root = _compose(path)
    values: dict[str, object] = {}
    lines: dict[str, int] = {}
    for dotted, node in _entries(root, path):
        line = node.start_mark.line + 1
        if dotted not in defaults() and dotted not in top:
            raise _unknown_key(dotted, path, line, top)
        if dotted in values:
            raise UsageError(f"{path}:{line}: `{dotted}` is given twice", hint="keep one of them")
        values[dotted], lines[dotted] = _plain(node, path), line
    about = {key: _text(values.pop(key, None), key, path) for key in top}
    _check(values, lines, path)
    return SettingsFile(path, values, lines, **about)


def _check(values: dict[str, object], lines: dict[str, int], path: Path) -> None:
    """Each file by itself, on top of the defaults: a wrong value is told though another file would overrule it."""
    try:
        Settings.model_validate(nest({**defaults(), **values}))
    except ValidationError as error:
        key, problem = first_problem(error)
        where = f"{path}:{lines[key]}: {key}: {values[key]}" if key in values else f"{path}: {key}"
        raise UsageError(f"{where}: {problem}", hint="change the value, or remove its line") from error


def _compose(path: Path) -> yaml.Node | None:
    try:
        return yaml.compose(read_text(path, most=_MOST_BYTES, hint="give a YAML file"), yaml.SafeLoader)
    except RecursionError as error:
        raise UsageError(f"{path}: nested too deeply", hint="settings are two levels deep") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{path}{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error


def _entries(root: yaml.Node | None, path: Path) -> Iterator[tuple[str, yaml.Node]]:
    """Dotted keys with their value nodes; a group without a value is an empty group."""
    for key, node in _pairs(root, path):
        if key not in GROUPS:
            yield key, node
        elif node.tag != "tag:yaml.org,2002:null":
            yield from ((f"{key}.{inner}", value) for inner, value in _pairs(node, path))


def _pairs(node: yaml.Node | None, path: Path) -> list[tuple[str, yaml.Node]]:
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{path}:{node.start_mark.line + 1}: expected `key: value` lines here")
    if unusual := [key for key, _ in node.value if not isinstance(key, yaml.ScalarNode)]:
        line = unusual[0].start_mark.line + 1
        raise UsageError(f"{path}:{line}: expected a word as the key here, not a list or map")
    return [(str(key.value), value) for key, value in node.value]


def _plain(node: yaml.Node, path: Path) -> object:
    """A setting is one scalar: lists and maps have no meaning, and deep aliases no chance to grow."""
    if not isinstance(node, yaml.ScalarNode):
        raise UsageError(f"{path}:{node.start_mark.line + 1}: expected one value here, not a list or map")
    wrong = UsageError(f"{path}:{node.start_mark.line + 1}: cannot read `{shortened(node.value)}`")
    try:
        value: object = yaml.SafeLoader("").construct_document(node)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # a tag that does not fit
        raise wrong from error
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise wrong
    return value


def _text(value: object, key: str, path: Path) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{path}: `{key}` should be text, not {value!r}", hint="put it in quotes")
    return value


def _unknown_key(dotted: str, path: Path, line: int, top: tuple[str, ...]) -> UsageError:
    """The nearest known key: one put in the wrong group, else compared whole, else by its last part."""
    known = [*defaults(), *top]
    leaf = dotted.rpartition(".")[2]
    by_leaf = {key.rpartition(".")[2]: key for key in known}
    right = [by_leaf[leaf]] if leaf in by_leaf else difflib.get_close_matches(dotted, known, n=1)
    near = right or [by_leaf[match] for match in difflib.get_close_matches(leaf, by_leaf, n=1)]
    hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
    return UsageError(f"{path}:{line}: unknown key `{dotted}`", hint=hint)
