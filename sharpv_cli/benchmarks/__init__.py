"""Measurements of the project itself, each run with `python -m sharpv_cli.benchmarks.NAME`; no command imports one.

None but that of the store uses what was seen before, in its own commands neither: a second run would measure less.
"""

import os

os.environ["SHARPV_SEEN"] = "off"
