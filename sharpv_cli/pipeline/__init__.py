"""The one place that joins the stages; it yields events and prints nothing.

Importing it imports no torch, so that arguments, profile and video can be refused first.
"""

from sharpv_cli.pipeline.compared import ENGINES, METHODS, engine_names, method_names
from sharpv_cli.pipeline.lanes import SweptSettings
from sharpv_cli.pipeline.profiling import DEFAULT_NEW_TOKENS, Plan, profile
