"""What imports what: the contracts in pyproject.toml, and that nothing heavy is imported before it is used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
# Each of these takes longer to import than all of `sharpv --help` may.
HEAVY = set(
    "torch torchvision transformers tokenizers safetensors huggingface_hub accelerate triton flash_attn av numpy PIL "
    "rich jinja2 prompt_toolkit pydantic yaml pyarrow ray torchcodec llguidance "
    "charset_normalizer matplotlib".split()
)
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "sharpv_cli").rglob("*.py")
}
TYPES = ROOT / "sharpv_cli/types/__init__.py"  # imports what it promises to type checkers, when it is used
# Before these, it must be settled how the process ends on Ctrl-C and how its threads wait; a command that the resident
# process runs needs nothing else, and only that process forks others.
LATE = {
    "sharpv_cli.__main__": {
        "sharpv_cli.app",
        "sharpv_cli.terminal",
        "sharpv_cli.warm.client",
        "sharpv_cli.warm.fronts.Fronts",
    }
}


def imports(nodes: list[ast.stmt], *, late: bool, within: bool = False) -> Iterator[str]:
    """Dotted names imported when the module is imported, or with `late` by its functions; not those for types only.

    What may be missing, in a `try` with an `except ImportError`, is not counted among the late ones.
    """
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if late and isinstance(node, ast.Try) and any("ImportError" in ast.unparse(h) for h in node.handlers):
            continue
        if isinstance(node, ast.Import) and within == late:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and within == late:
            assert node.module is not None and node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for part in ast.iter_child_nodes(node):
            inner = [part] if isinstance(part, ast.stmt) else getattr(part, "body", None)
            if isinstance(inner, list):
                yield from imports(inner, late=late, within=within or function)


def imports_of(path: Path, *, late: bool) -> set[str]:
    text = path.read_text(encoding="utf-8")
    if path == TYPES:
        text = text.replace("if TYPE_CHECKING:", "if True:")
    return set(imports(ast.parse(text).body, late=late))


def module_of(name: str) -> str:
    """The module of this package that `name` is, or is in."""
    while name not in FILES:
        name = name.rpartition(".")[0]
    return name


@cache
def heavy(name: str) -> frozenset[str]:
    """The heavy libraries that come with importing a name."""
    if not name.startswith("sharpv_cli"):
        return frozenset({name.partition(".")[0]} & HEAVY)
    found, seen, to_do = set(), set(), with_packages(name)
    while to_do:
        if (module := to_do.pop()) in seen:
            continue
        seen.add(module)
        for imported in imports_of(FILES[module], late=False):
            if imported.startswith("sharpv_cli"):
                to_do += with_packages(imported)
            else:
                found |= heavy(imported)
    return frozenset(found)


def with_packages(name: str) -> list[str]:
    """The module of a name, and the packages that are imported with it."""
    parts = module_of(name).split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def needless(path: Path, own: str = "") -> set[str]:
    """What functions import although it costs nothing at the top."""
    late = imports_of(path, late=True) - LATE.get(own, set())
    return {name for name in late if not heavy(name)}


def test_contracts_of_imports() -> None:
    """Layers, circles, and the homes of libraries."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_functions_import_what_is_heavy_only(name: str) -> None:
    assert needless(FILES[name], name) == set()


def test_the_command_line_is_light() -> None:
    assert heavy("sharpv_cli.app") == frozenset()


@pytest.mark.parametrize("name", ["settings", "types", "terminal", "report.document", "evaluation.results"])
def test_what_works_without_a_model_imports_none_of_its_libraries(name: str) -> None:
    assert not heavy(f"sharpv_cli.{name}") & {"torch", "transformers", "av"}


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("def f():\n    import json", {"json"}),
        (
            "class A:\n    def f(self):\n        if x:\n            from sharpv_cli import errors",
            {"sharpv_cli.errors"},
        ),
        ("def f():\n    with x:\n        import torch", set()),
        ("def f():\n    from sharpv_cli import settings", set()),
        ("def f():\n    try:\n        import resource\n    except ImportError:\n        pass", set()),
        ("import json", set()),
    ],
)
def test_the_test_of_functions_can_fail(source: str, wrong: set[str], tmp_path: Path) -> None:
    (tmp_path / "source.py").write_text(source, encoding="utf-8")
    assert needless(tmp_path / "source.py") == wrong


@pytest.mark.parametrize("path", sorted(ROOT.glob("tests/**/*.py")), ids=lambda path: path.stem)
def test_no_module_imports_a_test_module(path: Path) -> None:
    names = imports_of(path, late=False) | imports_of(path, late=True)
    assert not [name for name in names if name.startswith("test_")]


def test_the_page_on_architecture_is_short_and_names_what_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert len(text.split()) < 1000
    places = [ROOT, ROOT / "sharpv_cli", ROOT / "sharpv_cli" / "engine", ROOT / "sharpv_cli" / "report"]
    named = re.findall(r"`([\w./]+(?:\.py|/))`", text)
    assert len(named) > 40
    assert not [name for name in named if not any((place / name).exists() for place in places)]
    layers = set(re.findall(r"^\| (`[^|]+) \|", text, re.M))
    rooms = {name.strip("`/ ") for row in layers for name in row.split(",")}
    here = {path.stem for path in (ROOT / "sharpv_cli").iterdir() if (path / "__init__.py").exists()}
    assert here <= rooms


def test_the_oldest_versions_are_of_all_dependencies_and_allowed() -> None:
    """Or `.ci/versions`, which is run by hand, would refuse to begin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = {one.name: one.specifier for one in map(Requirement, project["dependencies"])}
    lines = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = dict(line.partition("#")[0].strip().split("==") for line in lines if not line.startswith("#"))
    assert oldest.keys() == allowed.keys()
    assert all(version in allowed[name] for name, version in oldest.items())
