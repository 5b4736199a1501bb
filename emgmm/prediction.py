"""What a mixture says of rows, one row at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from emgmm.block import Block
from emgmm.expectation import FormForBlock, softmax
from emgmm.mixture import Mixture
from emgmm.sources import Source
from emgmm.typing import Array, Integers


def row_by_row(
    mixture: Mixture,
    source: Source,
    function: Callable[[Array], Any],
    *shape: int,
    dtype: Any = None,
) -> Any:
    """(N, *shape): `function` of the (K, B) log-joint of each block, rows along the first axis.

    The type is that of rows and mixture, unless `dtype` says otherwise.
    """
    form = FormForBlock(mixture, source.n_rows)
    out = np.empty(
        (source.n_rows, *shape), dtype=dtype or np.result_type(source.dtype, mixture.means.dtype)
    )

    def fill(block: Block) -> None:
        out[block.place] = function(form.log_joint(block.rows))

    for _ in source.map(fill, form.block_rows):
        pass
    return out


def labels(log_joint: Array) -> Integers:
    """(B,): the most probable component, the first of equals."""
    top = log_joint[0].copy()
    found = np.zeros(len(top), dtype=np.int64)
    for k, own in enumerate(log_joint[1:], start=1):  # several times as fast as argmax
        np.putmask(found, own > top, k)
        np.maximum(top, own, out=top)
    return found


def responsibilities(log_joint: Array) -> Array:
    """(B, K): probabilities of the components."""
    softmax(log_joint)
    return log_joint.T


def log_responsibilities(log_joint: Array) -> Array:
    """(B, K): their logarithms, exact where they underflow."""
    return (log_joint - softmax(log_joint.copy())).T


def certainty(log_joint: Array) -> Array:
    """(B,): log-probability of the most probable component."""
    return log_joint.max(axis=0) - softmax(log_joint)


def log_density(log_joint: Array) -> Array:
    """(B,): log p(x)."""
    return softmax(log_joint)
