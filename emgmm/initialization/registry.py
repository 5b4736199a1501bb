"""The start that an estimator's `init_params` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emgmm.initialization.denoising import denoised
from emgmm.initialization.from_callable import from_callable
from emgmm.initialization.methods import STARTS, Start


def start_of(init_params: str | Callable[..., Any], *, noise: bool) -> Start:
    """Return the start with a name, or that of a user's function; `noise` removes stray rows."""
    if callable(init_params):
        return from_callable(init_params, noise=noise)
    return denoised(STARTS[init_params]) if noise else STARTS[init_params]
