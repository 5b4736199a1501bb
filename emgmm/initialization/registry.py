"""The start that an estimator's `init_params` describes."""

from __future__ import annotations

from typing import Any

from emgmm.initialization.denoising import denoised
from emgmm.initialization.from_callable import from_array, from_callable
from emgmm.initialization.methods import STARTS, Start


def start_of(init_params: Any, *, noise: bool) -> Start:
    """Return the start with a name, or that of a user's function or array.

    If `noise` is true, a method with a name does not use rows that resemble noise, and a user's
    function or array may assign rows to the noise component.
    """
    if callable(init_params):
        return from_callable(init_params, noise=noise)
    if not isinstance(init_params, str):
        return from_array(init_params, noise=noise)
    return denoised(STARTS[init_params]) if noise else STARTS[init_params]
