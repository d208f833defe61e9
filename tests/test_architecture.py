"""The rank rule (a module imports only lower ranks and its own package) and the homes of libraries, by syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sharpv_cli"

RANKS = {
    "errors": -1,
    "text": -1,
    "units": -1,
    "types": 0,
    "signals": -1,
    "files": 0,
    "smallfile": 0,
    "settings": 1,
    "metrics": 1,
    "appending": 1,
    "tables": 1,
    "video": 1,
    "models": 2,
    "pruning": 2,
    "engine": 3,
    "session": 3.5,
    "pipeline": 4,
    "shapes": 4,
    "report": 5,
    "terminal": 5,
    "evaluation": 5,
    "batch": 6,
    "commands": 7,
    "app": 8,
    "benchmarks": 9,
    "training": 9,
    "docs": 9,
    "__main__": 9,
}
HOMES = {
    "yaml": {"settings"},
    "av": {"video"},
    "transformers": {"models", "engine", "benchmarks", "training"},
    "rich": {"report", "terminal"},
    "typer": {"commands", "app", "docs"},
    "click": set(),
    "prompt_toolkit": {"commands"},
    "torchcodec": {"benchmarks"},
    "ray": {"batch"},
}
HEAVY = {"torch", "transformers", "av"}
LIGHT_PACKAGES = {
    "app",
    "commands",
    "settings",
    "terminal",
    "errors",
    "types",
    "text",
    "smallfile",
    "signals",
    "__main__",
    "__init__",
}

FILES = sorted(path for path in PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    """`sharpv_cli/video/probe.py` belongs to `video`, `sharpv_cli/app.py` to `app`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(nodes: list[ast.stmt], *, nested: bool) -> Iterator[str]:
    """Dotted names that are imported; `nested` looks into functions and TYPE_CHECKING blocks as well."""
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not nested:
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not nested:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            handlers = [
                child
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.ExceptHandler | ast.match_case)
            ]
            yield from imports(inner + [stmt for part in handlers for stmt in part.body], nested=nested)


def imports_of(path: Path, *, nested: bool = True) -> list[str]:
    return list(imports(ast.parse(path.read_text(encoding="utf-8")).body, nested=nested))


def rank_errors(own: str, names: list[str]) -> list[str]:
    """Imports of this package that break the rank rule, for a module of package `own`."""
    inside = [name.split(".")[1] for name in names if name.startswith("sharpv_cli.")]
    return [
        other
        for other in inside
        if other != own and other != "__version__" and RANKS[other] >= RANKS.get(own, 0)
    ]


def home_errors(own: str, names: list[str]) -> list[str]:
    roots = {name.partition(".")[0] for name in names}
    return sorted(root for root in roots if root in HOMES and own not in HOMES[root])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rank_and_homes(path: Path) -> None:
    own, names = package_of(path), imports_of(path)
    if own == "__init__":
        assert names == []
        return
    assert own in RANKS, f"give {own} a rank"
    assert rank_errors(own, names) == []
    assert home_errors(own, names) == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if package_of(path) in LIGHT_PACKAGES], ids=lambda path: path.stem
)
def test_no_heavy_import_at_module_level(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imports_of(path, nested=False)}
    assert not roots & HEAVY


@pytest.mark.parametrize(
    ("own", "source", "wrong"),
    [
        ("video", "from sharpv_cli.models import door", ["models"]),
        ("models", "def f():\n    import sharpv_cli.pruning.visual", ["pruning"]),
        ("engine", "try:\n    pass\nexcept OSError:\n    from sharpv_cli import pipeline", ["pipeline"]),
        ("engine", "from sharpv_cli.models import door", []),
        ("engine", "from sharpv_cli.engine import cache", []),
        ("report", "class A:\n    from sharpv_cli import terminal", ["terminal"]),
    ],
)
def test_the_rank_test_can_fail(own: str, source: str, wrong: list[str]) -> None:
    assert rank_errors(own, list(imports(ast.parse(source).body, nested=True))) == wrong


def test_the_home_test_can_fail() -> None:
    tree = ast.parse("import av.container\nif x:\n    from rich import box")
    assert home_errors("models", list(imports(tree.body, nested=True))) == ["av", "rich"]


@pytest.mark.parametrize("path", sorted(PACKAGE.parent.glob("tests/**/*.py")), ids=lambda path: path.stem)
def test_no_module_imports_a_test_module(path: Path) -> None:
    assert not [name for name in imports_of(path) if name.startswith("test_")]
