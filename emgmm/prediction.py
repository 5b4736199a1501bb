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
    function: Callable[[FormForBlock, Array], Any],
    *shape: int,
    dtype: Any = None,
) -> Any:
    """(N, *shape): `function` of a form and each (D, B) block, rows along the first axis.

    The type is that of rows and mixture, unless `dtype` says otherwise.
    """
    form = FormForBlock(mixture, source.n_rows)
    out = np.empty(
        (source.n_rows, *shape), dtype=dtype or np.result_type(source.dtype, mixture.means.dtype)
    )

    def fill(block: Block) -> None:
        out[block.place] = function(form, block.rows)

    for _ in source.map(fill, form.block_rows):
        pass
    return out


def labels(form: FormForBlock, rows: Array) -> Integers:
    """(B,): the most probable component."""
    return form.labels(rows)


def responsibilities(form: FormForBlock, rows: Array) -> Array:
    """(B, K): probabilities of the components."""
    log_joint = form.log_joint(rows)
    softmax(log_joint)
    return log_joint.T


def log_responsibilities(form: FormForBlock, rows: Array) -> Array:
    """(B, K): their logarithms, exact where they underflow."""
    log_joint = form.log_joint(rows)
    return (log_joint - softmax(log_joint.copy())).T


def certainty(form: FormForBlock, rows: Array) -> Array:
    """(B,): log-probability of the most probable component."""
    log_joint = form.log_joint(rows)
    return log_joint.max(axis=0) - softmax(log_joint)


def log_density(form: FormForBlock, rows: Array) -> Array:
    """(B,): log p(x)."""
    return softmax(form.log_joint(rows))
