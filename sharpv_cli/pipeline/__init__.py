"""The one place that joins the stages; it yields events and prints nothing.

`ask`, `ask_all`, `profile` and `load_model` import torch only when they run, so that arguments, profile and video
can be refused first. `sharpv_cli.pipeline.answering.answer` asks a model that is loaded already.
"""

from sharpv_cli.pipeline.asking import ask, ask_all, load_model
from sharpv_cli.pipeline.methods import METHODS, method_names
from sharpv_cli.pipeline.profiling import DEFAULT_NEW_TOKENS, SweptSettings, profile

__all__ = [
    "DEFAULT_NEW_TOKENS",
    "METHODS",
    "SweptSettings",
    "ask",
    "ask_all",
    "load_model",
    "method_names",
    "profile",
]
