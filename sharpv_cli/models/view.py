"""What transformers gets to see of a checkpoint: a folder with the inspected files only.

Given the checkpoint's own folder it would look for more: weights that config.json names, adapters, distributed
checkpoints, configs for other versions, tokenizers of audio, code. In the view there are none of these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sharpv_cli.errors import ResourceError
from sharpv_cli.models.inspecting import Checkpoint, data_files
from sharpv_cli.models.jsonfile import CONFIG
from sharpv_cli.models.tensors import INDEX, WEIGHTS

# Settings that lead to code, or to other files than those that are in the view.
_ELSEWHERE = frozenset(
    {
        *("auto_map", "configuration_files", "fast_tokenizer_files", "audio_tokenizer"),
        *("class_info_file", "repo_path"),  # of OneFormer's image processor
    }
)
# What timm is not to be told of a vision tower: it would read weights, of any kind, from there.
_TIMM_ELSEWHERE = frozenset(
    {"pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}
)
_WEIGHTS_ELSEWHERE = "transformers_weights"


@contextmanager
def viewed(checkpoint: Checkpoint) -> Iterator[Path]:
    """The folder of the view, for as long as the context is open. Raises ResourceError where none can be made."""
    try:
        made = TemporaryDirectory(prefix="sharpv-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ResourceError(
            f"no folder for temporary files: {error}", hint="set TMPDIR to a folder that can be written"
        ) from error
    with made as folder:
        _fill(Path(folder), checkpoint)
        yield Path(folder)


def safe_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without what leads to code or other files."""
    return {key: value for key, value in _safe(config).items() if key != _WEIGHTS_ELSEWHERE}


def texts_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the view's JSON files hold, by name."""
    texts = {CONFIG: safe_config(checkpoint.config)}
    return texts | {file: _safe(content) for file, content in checkpoint.settings.items()}


def files_of(checkpoint: Checkpoint) -> dict[str, Path]:
    """The other files of the view, by their names in it."""
    folder, weights = checkpoint.folder, checkpoint.weights.files
    index = [] if weights[0].name == WEIGHTS else [folder / INDEX]
    files = [path for path in (*data_files(folder), *weights, *index) if path.is_file()]
    return {str(path.relative_to(folder)): path for path in files}


def _fill(view: Path, checkpoint: Checkpoint) -> None:
    for name, content in texts_of(checkpoint).items():
        (view / name).write_text(json.dumps(content), encoding="utf-8")
    for name, path in files_of(checkpoint).items():
        (view / name).parent.mkdir(exist_ok=True)
        (view / name).symlink_to(path.absolute())


def _safe(value: Any) -> Any:
    """Without those settings, at any depth."""
    if isinstance(value, Mapping):
        kept = {key: _safe(inner) for key, inner in value.items() if key not in _ELSEWHERE}
        if isinstance(arguments := kept.get("model_args"), dict):
            kept["model_args"] = {key: arguments[key] for key in arguments if key not in _TIMM_ELSEWHERE}
        return kept
    return [_safe(inner) for inner in value] if isinstance(value, list) else value
