"""Quantised checkpoints: what their `quantization_config` says, and the packages that reading them takes.

transformers does the work; here is only what it would say late, or not at all: it reads past a method that it
does not know, and the weights would come out wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sharpv_cli.errors import ModelError

# Import names by pip name, for the methods that people publish; transformers asks for the rest itself.
_PACKAGES: Mapping[str, Mapping[str, str]] = {
    "bitsandbytes": {"bitsandbytes": "bitsandbytes", "accelerate": "accelerate"},
    "compressed-tensors": {"compressed-tensors": "compressed_tensors"},
    "torchao": {"torchao": "torchao"},
    "fp8": {"accelerate": "accelerate"},
    "quanto": {"optimum-quanto": "optimum.quanto", "accelerate": "accelerate"},
    "gptq": {"gptqmodel": "gptqmodel", "optimum": "optimum"},
    "awq": {"gptqmodel": "gptqmodel", "accelerate": "accelerate"},
    "hqq": {"hqq": "hqq"},
}


def quantization_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The `quantization_config` of a config.json, where older checkpoints keep it in the language model's part."""
    text = config.get("text_config")
    found = config.get("quantization_config") or (
        text.get("quantization_config") if isinstance(text, dict) else None
    )
    return found if isinstance(found, dict) else None


def method_of(config: Mapping[str, Any]) -> str | None:
    """The name of the method (`bitsandbytes`, `fp8`, ...), None where the checkpoint is not quantised."""
    quantization = quantization_of(config)
    if quantization is None:
        return None
    if quantization.get("load_in_8bit") or quantization.get("load_in_4bit"):
        return "bitsandbytes"
    return str(quantization.get("quant_method"))


def require_packages(config: Mapping[str, Any], name: str) -> None:
    """Raise ModelError with the pip line where a package for the checkpoint's quantisation is missing."""
    method = method_of(config)
    needed = _PACKAGES.get(method or "", {})
    absent = [package for package, module in needed.items() if not _importable(module)]
    if absent:
        raise ModelError(
            f"{name}: its weights are quantised ({method}), which needs {' and '.join(absent)}",
            hint=f"pip install {' '.join(absent)}",
        )


def require_known(config: Mapping[str, Any], name: str) -> None:
    """Raise ModelError for a method that this transformers does not know (imports transformers)."""
    method = method_of(config)
    if method is None:
        return
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    known = sorted(AUTO_QUANTIZATION_CONFIG_MAPPING)
    if not any(method in (one, one.removesuffix("_4bit"), one.removesuffix("_8bit")) for one in known):
        raise ModelError(
            f"{name}: its weights are quantised by {method!r}, which this transformers does not read",
            hint="pick another checkpoint of the model, or a newer transformers",
        )


def unpacked_when_read(config: Any) -> Any:
    """Have compressed-tensors unpack at loading: by itself it does so in the first call of the whole model.

    We call the language model alone. `config` is transformers' config object, changed in place and returned.
    """
    for part in (config, config.get_text_config()):
        found = getattr(part, "quantization_config", None)
        if isinstance(found, dict) and found.get("quant_method") == "compressed-tensors":
            found["dequantize"] = True
    return config


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around a submodule is missing
        return False
