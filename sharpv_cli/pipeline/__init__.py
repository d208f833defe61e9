"""The one place that joins the stages; it yields events and prints nothing.

`ask`, `ask_all` and `profile` import torch only when they run, so that arguments, profile and video
can be refused first. `sharpv_cli.pipeline.answering.answer` asks a model that is loaded already.
"""

from sharpv_cli.pipeline.asking import ask, ask_all
from sharpv_cli.pipeline.lanes import SweptSettings
from sharpv_cli.pipeline.methods import ENGINES, METHODS, engine_names, method_names
from sharpv_cli.pipeline.profiling import DEFAULT_NEW_TOKENS, profile

__all__ = [
    "DEFAULT_NEW_TOKENS",
    "ENGINES",
    "METHODS",
    "SweptSettings",
    "ask",
    "ask_all",
    "engine_names",
    "method_names",
    "profile",
]
