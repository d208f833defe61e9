"""The methods that `sharpv eval` sets beside SharpV, by name: each chooses visual tokens before the language model.

docs/adding-a-method.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sharpv_cli.pruning.methods.dycoke import DyCoke
from sharpv_cli.pruning.methods.evs import Evs
from sharpv_cli.pruning.methods.random_dagger import RandomDagger
from sharpv_cli.pruning.methods.random_star import RandomStar
from sharpv_cli.pruning.methods.stride import Stride
from sharpv_cli.pruning.methods.vidcom2 import VidCom2
from sharpv_cli.pruning.plan import Method

METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {
        "random-dagger": RandomDagger,
        "random-star": RandomStar,
        "stride": Stride,
        "evs": Evs,
        "vidcom2": VidCom2,
        "dycoke": DyCoke,
    }
)
