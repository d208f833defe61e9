"""Which flash-attn runs where, and what is said when none can: packages are made up, the choice is ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from types import ModuleType

import pytest
import torch
from tiny_model import folder

from sharpv_cli.errors import ModelError
from sharpv_cli.models import checkpoint
from sharpv_cli.models.attention import choose_attention, why_no_flash
from sharpv_cli.models.loading import load
from sharpv_cli.settings import ModelSettings

CUDA, CPU, HALF = torch.device("cuda"), torch.device("cpu"), torch.bfloat16
MODULES = {2: "flash_attn", 3: "flash_attn_interface", 4: "flash_attn.cute"}
PACKAGES = {2: "flash-attn", 3: "flash-attn-3", 4: "flash-attn-4"}

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A GPU of some generation, with some versions of flash-attn installed."""
    real_version = metadata.version

    def make(*installed: int, generation: int = 9, refused: tuple[int, ...] = ()) -> None:
        packages = {PACKAGES[number] for number in installed}

        def version(name: str) -> str:
            if name in PACKAGES.values() and name not in packages:
                raise metadata.PackageNotFoundError(name)
            return "1.0" if name in packages else real_version(name)

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (generation, 0))
        monkeypatch.setitem(sys.modules, "flash_attn", ModuleType("flash_attn"))
        for number in installed:
            monkeypatch.setitem(sys.modules, MODULES[number], ModuleType(MODULES[number]))
            monkeypatch.setattr(
                f"transformers.utils.is_flash_attn_{number}_available", lambda n=number: n not in refused
            )

    return make


def text_part(implementation: str | Mapping[str, str]) -> str:
    assert isinstance(implementation, Mapping)
    assert implementation["vision_config"] == "sdpa"
    return implementation["text_config"]


@pytest.mark.parametrize(
    ("generation", "installed", "taken"),
    [
        (8, (2, 3), 2),
        (8, (3,), 3),
        (9, (2, 3, 4), 3),
        (9, (2, 4), 2),
        (9, (4,), 4),
        (10, (2, 3, 4), 4),
        (12, (2, 3), 2),
    ],
)
def test_the_flash_attn_made_for_the_gpu_is_taken_for_the_language_model_only(
    generation: int, installed: tuple[int, ...], taken: int, machine: Machine
) -> None:
    machine(*installed, generation=generation)

    choice = choose_attention("auto", CUDA, HALF, 128)

    assert choice.name == "flash"
    assert text_part(choice.implementation) == f"flash_attention_{taken}"
    assert f"flash-attn {taken}" in choice.reason
    assert choice.warning is None


def test_heads_too_large_for_one_version_go_to_another(machine: Machine) -> None:
    machine(2, 4, generation=10)

    assert text_part(choose_attention("auto", CUDA, HALF, 256).implementation) == "flash_attention_2"


@pytest.mark.parametrize(
    ("installed", "generation", "dtype", "head_size", "said"),
    [
        ((2,), 9, torch.float32, 128, "not float32"),
        ((2,), 7, HALF, 128, "compute capability 7.x"),
        ((3,), 10, HALF, 128, "not for this GPU"),
        ((2,), 8, HALF, 512, "size 512"),
        ((2,), 8, HALF, 36, "size 36"),
    ],
)
def test_an_installed_flash_attn_that_cannot_be_used_is_a_warning(
    installed: tuple[int, ...],
    generation: int,
    dtype: torch.dtype,
    head_size: int,
    said: str,
    machine: Machine,
) -> None:
    machine(*installed, generation=generation)

    choice = choose_attention("auto", CUDA, dtype, head_size)

    assert (choice.name, choice.implementation) == ("sdpa", "sdpa")
    assert said in choice.reason
    assert choice.warning is not None
    assert said in choice.warning
    with pytest.raises(ModelError, match=said) as refused:
        choose_attention("flash", CUDA, dtype, head_size)
    assert refused.value.exit_code == 4
    assert "auto" in str(refused.value.hint)


def test_a_flash_attn_that_transformers_does_not_take_is_named(machine: Machine) -> None:
    machine(2, generation=8, refused=(2,))

    assert "too old" in str(why_no_flash(CUDA, HALF))
    assert "too old" in str(choose_attention("auto", CUDA, HALF).warning)


def test_a_flash_attn_that_cannot_be_imported_is_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine(3, generation=9)
    place = tmp_path_factory.mktemp("site")
    (place / "flash_attn_interface.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    monkeypatch.delitem(sys.modules, "flash_attn_interface")
    monkeypatch.syspath_prepend(place)

    assert "undefined symbol" in str(choose_attention("auto", CUDA, HALF).warning)


def test_no_flash_attn_is_no_warning(machine: Machine) -> None:
    machine()

    choice = choose_attention("auto", CUDA, HALF)

    assert (choice.reason, choice.warning) == ("flash-attn is not installed", None)


def test_on_the_cpu_an_installed_flash_attn_is_no_warning(machine: Machine) -> None:
    machine(2)

    choice = choose_attention("auto", CPU, HALF)

    assert (choice.name, choice.warning) == ("sdpa", None)
    assert "needs CUDA" in choice.reason


@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_a_back_end_asked_for_by_name_is_taken(name: str, machine: Machine) -> None:
    machine(2)

    choice = choose_attention(name, CUDA, HALF)  # type: ignore[arg-type]

    assert (choice.name, choice.implementation) == (name, name)


def test_flash_by_name_is_refused_before_torch_where_no_package_is(machine: Machine) -> None:
    machine()

    with pytest.raises(ModelError, match="flash-attn is not installed") as refused:
        checkpoint.check(ModelSettings(id=str(folder()), attention="flash"))

    assert refused.value.hint


def test_flash_by_name_on_the_cpu_is_refused(machine: Machine) -> None:
    machine(2)

    with pytest.raises(ModelError, match="flash-attn needs CUDA"):
        load(ModelSettings(id=str(folder()), attention="flash"), "cpu")
