"""What a mixture says of rows, one row at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from emgmm.estep import EStepForBlock, check_in_reach, softmax
from emgmm.mixture import Mixture
from emgmm.sources import Source
from emgmm.sources.block import Block
from emgmm.typing import Array, Integers


def row_by_row(
    mixture: Mixture,
    source: Source,
    function: Callable[[EStepForBlock, Block], Any],
    *shape: int,
    dtype: Any = None,
) -> Any:
    """(N, *shape): `function` of a form and each (D, B) block, rows along the first axis.

    The type is that of rows and mixture, unless `dtype` says otherwise.
    """
    form = EStepForBlock(mixture, source.n_rows_hint)
    return source.each_row(
        lambda block: function(form, block),
        form.block_rows,
        shape,
        dtype or np.result_type(source.dtype, mixture.means.dtype),
    )


def labels(form: EStepForBlock, block: Block) -> Integers:
    """(B,): the most probable component; -1 is noise."""
    found = form.labels(block)
    found[found == form.mixture.n_components] = -1
    return found


def shares_of_components(form: EStepForBlock, block: Block) -> Array:
    """(K, B): responsibilities if nothing were noise."""
    shares = form.log_joint(block)[: form.mixture.n_components]
    check_in_reach(softmax(shares), block)
    return shares


def responsibilities(form: EStepForBlock, block: Block) -> Array:
    """(B, K): probabilities of the components."""
    return form.responsibilities(block)


def log_responsibilities(form: EStepForBlock, block: Block) -> Array:
    """(B, K): their logarithms, exact where they underflow."""
    log_joint = form.log_joint(block)
    log_densities = softmax(log_joint.copy())
    check_in_reach(log_densities, block)
    return np.fmax(log_joint - log_densities, -np.inf).T


def log_density(form: EStepForBlock, block: Block) -> Array:
    """(B,): log p(x)."""
    return form.log_densities(block)


class Counts:
    """The function that a source sums: (K,) weights of the rows with each label, noise last."""

    def __init__(self, mixture: Mixture, n_rows: int) -> None:
        self.form = EStepForBlock(mixture, n_rows)

    def __call__(self, block: Block) -> Array:
        return np.bincount(
            self.form.labels(block), block.weights, minlength=self.form.mixture.n_densities
        ).astype(float)


def counts(mixture: Mixture, source: Source) -> Array:
    """(K,), or (K + 1,) with noise: how many rows, by weight, have each label."""
    function = Counts(mixture, source.n_rows_hint)
    return source.sum(function, function.form.block_rows)


class Certainty:
    """The function that a source sums: log-probabilities of the most probable components."""

    def __init__(self, mixture: Mixture, n_rows: int) -> None:
        self.form = EStepForBlock(mixture, n_rows)

    def __call__(self, block: Block) -> float:
        log_joint = self.form.log_joint(block)
        top = np.fmax.reduce(log_joint)
        with np.errstate(invalid="ignore"):  # -inf less -inf, of a row out of reach
            certain = top - softmax(log_joint)
        return block.total(np.nan_to_num(certain))


def impute(mixture: Mixture, source: Source) -> Any:
    """(N, D): rows, with the conditional mean of what is missing."""
    form = EStepForBlock(mixture, source.n_rows_hint)

    def fill(block: Block) -> Array:
        if block.complete:
            return block.rows.T
        shares = shares_of_components(form, block)
        return form.missing.conditional_means(block.rows, shares).T

    return source.each_row(fill, form.block_rows, (mixture.n_features,), source.dtype)


def draw(mixture: Mixture, source: Source, random: np.random.RandomState) -> Any:
    """(N, D): rows, with a draw of what is missing given what was observed.

    Random numbers go with a row's number: what is drawn does not depend on blocks.
    """
    if not source.knows_positions:
        raise TypeError(
            "A draw of what is missing goes by a row's number, which the parts of this X do not "
            "know: draw for them one by one, as arrays, or take the conditional mean."
        )
    form = EStepForBlock(mixture, source.n_rows_hint)
    chances = random.uniform(size=source.n_rows)
    noise = random.standard_normal((source.n_rows, mixture.n_features))

    def fill(block: Block) -> Array:
        if block.complete:
            return block.rows.T
        shares = shares_of_components(form, block)
        above = np.cumsum(shares, axis=0) < chances[block.place]
        components = np.minimum(above.sum(axis=0), len(shares) - 1)
        own = (components == np.arange(len(shares))[:, None]).astype(float)
        means = form.missing.conditional_means(block.rows, own)
        return (
            means + form.missing.conditional_draws(block.rows, components, noise[block.place].T)
        ).T

    return source.each_row(fill, form.block_rows, (mixture.n_features,), source.dtype)
