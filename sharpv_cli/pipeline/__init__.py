"""The one place that joins the stages; it yields events and prints nothing.

`ask` and `load_model` import torch only when they run, so that arguments, profile and video can be
refused first. `sharpv_cli.pipeline.answering.answer` asks a model that is loaded already.
"""

from sharpv_cli.pipeline.asking import ask, load_model

__all__ = ["ask", "load_model"]
