"""Predictions of a mixture for the rows of a source, and sums of predictions over the rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from emgmm.estep import DeviceEStep, EStepForBlock, EStepForDeviceBlock
from emgmm.estep.constrained import constrained_softmax
from emgmm.estep.dispatch import check_in_reach
from emgmm.estep.softmax import softmax
from emgmm.mixture import Mixture
from emgmm.sources import Source, Sum
from emgmm.sources.block import Block
from emgmm.sources.device import DeviceBlock, DeviceSource
from emgmm.typing import Array, Integers

# A function of an E-step and a block that returns a value, or several, for each row.
PerRow = Callable[[EStepForBlock, Block], Any]


# Largest number of values, rows times means, for which a mixture keeps the E-step.
KEPT_ENTRIES = 2**10


def e_step_of(mixture: Mixture, n_rows: int) -> EStepForBlock:
    """Return the E-step for a number of rows; for a few rows it is kept for the next call.

    Its preparation takes as long as the arithmetic of a few rows.
    """
    if mixture.means.size * n_rows > KEPT_ENTRIES:
        return EStepForBlock(mixture, n_rows)
    kept = mixture.cache.get(e_step_of)
    if kept is None or kept[0] != n_rows:
        kept = mixture.cache[e_step_of] = n_rows, EStepForBlock(mixture, n_rows)
    e_step: EStepForBlock = kept[1]
    return e_step


def row_by_row(
    mixture: Mixture,
    source: Source,
    function: PerRow,
    *shape: int,
    dtype: Any = None,
    max_rows: int = 2**62,
) -> Any:
    """Return a function of an E-step and a block for each row, in shape (N, *shape).

    The default type is that of the rows and the mixture. A function with large arrays of its own
    limits the rows of a block by `max_rows`.
    """
    e_step = e_step_of(mixture, source.n_rows_hint)
    if dtype is None:
        own = mixture.means.dtype
        dtype = own if own == source.dtype else np.result_type(source.dtype, own)
    each: Callable[[Block], Any] = partial(function, e_step)
    size = min(e_step.block_rows, max_rows)
    if isinstance(source, DeviceSource) and function in ON_DEVICE:
        choose = EStepForDeviceBlock(mixture, source)
        each = partial(_on_device, choose, function, e_step)
        size = choose.block_rows or size
    return source.each_row(each, size, shape, dtype)


def _on_device(
    choose: EStepForDeviceBlock, function: PerRow, e_step: EStepForBlock, block: Block
) -> Any:
    """Return a function of a block, computed on the device if an accurate E-step exists there."""
    assert isinstance(block, DeviceBlock)
    chosen = choose(block)
    if chosen is None:
        return function(e_step, block)
    return ON_DEVICE[function](chosen, block.on_device)


def labels(e_step: EStepForBlock, block: Block) -> Integers:
    """Return the most probable component of each row, (B,); -1 means noise."""
    found = e_step.labels(block)
    if e_step.mixture.noise is not None:
        found[found == e_step.mixture.n_components] = -1
    return found


def responsibilities_without_noise(e_step: EStepForBlock, block: Block) -> Array:
    """Return the responsibilities of the components if no row is noise, (K, B)."""
    found = e_step.log_joint(block)[: e_step.mixture.n_components]
    check_in_reach(softmax(found), block)
    return found


# The responsibilities, (B, K), or (B, K + 1) with noise, and the log-density of each row, (B,).
responsibilities = EStepForBlock.responsibilities
log_density = EStepForBlock.log_densities


def log_responsibilities(e_step: EStepForBlock, block: Block) -> Array:
    """Return the logarithms of the responsibilities, which are exact if these underflow."""
    log_joint = e_step.log_joint(block)
    log_densities = softmax(log_joint.copy())
    check_in_reach(log_densities, block)
    return np.fmax(log_joint - log_densities, -np.inf).T


def log_joint(e_step: EStepForBlock, block: Block) -> Array:
    """Return the log-joint of each row, (B, K); -inf if it overflows."""
    return np.fmax(e_step.log_joint(block), -np.inf).T


# The functions that are computed on the device of the rows, and how.
ON_DEVICE: dict[PerRow, Callable[[DeviceEStep, Any], Any]] = {
    labels: DeviceEStep.labels_on_device,
    responsibilities: DeviceEStep.responsibilities_on_device,
    log_responsibilities: DeviceEStep.log_responsibilities_on_device,
    log_density: DeviceEStep.log_densities_on_device,
    log_joint: DeviceEStep.log_joint_on_device,
}


def summed(
    mixture: Mixture,
    source: Source,
    function: Callable[[EStepForBlock, Block], Sum],
    n_rows: int | None = None,
) -> Sum:
    """Return the sum over the rows of a function of an E-step and a block; this takes one pass."""
    e_step = e_step_of(mixture, source.n_rows_hint if n_rows is None else n_rows)
    return source.sum(partial(function, e_step), e_step.block_rows)


def label_counts(e_step: EStepForBlock, block: Block) -> Array:
    """Return the number of rows with each label by weight, (K,), or (K + 1,) with noise."""
    n_densities = e_step.mixture.n_densities
    return np.bincount(e_step.labels(block), block.weights, minlength=n_densities).astype(float)


def check_known(e_step: EStepForBlock, block: Block) -> float:
    """Raise ValueError, with the number of the first row, if what is known of it is impossible."""
    contributions = constrained_softmax(e_step.log_joint(block), block.known)
    impossible = np.flatnonzero(np.isneginf(contributions))
    if len(impossible):
        raise ValueError(
            f"Row {block.number_of(impossible[0])} of X, counted from 0, belongs by labels to a "
            "component under which its log-density is -inf: change the label, or the fixed "
            "parameters or the density of noise that exclude it."
        )
    return 0.0


def certainty(e_step: EStepForBlock, block: Block) -> float:
    """Return the weighted sum of the log-probabilities of the most probable components."""
    log_joint = e_step.log_joint(block)
    top = np.fmax.reduce(log_joint)
    with np.errstate(invalid="ignore"):  # -inf minus -inf, for a row whose density underflows
        certain = top - softmax(log_joint)
    return block.total(np.nan_to_num(certain))


def filled(e_step: EStepForBlock, block: Block) -> Array:
    """Return the rows with conditional means in place of missing values, (B, D)."""
    if block.complete:
        return block.rows.T
    probabilities = responsibilities_without_noise(e_step, block)
    return e_step.missing.conditional_means(block.rows, probabilities).T


def impute(mixture: Mixture, source: Source) -> Any:
    """Return the rows with conditional means in place of missing values, (N, D)."""
    return row_by_row(mixture, source, filled, mixture.n_features, dtype=source.dtype)


def draw(mixture: Mixture, source: Source, random: np.random.RandomState) -> Any:
    """Return the rows with conditional draws in place of missing values, (N, D).

    The random numbers belong to the position of a row, so that the draws do not depend on blocks.
    """
    if not source.knows_positions:
        raise TypeError(
            "Draws of missing values depend on the position of a row, which is not known for this "
            "X: pass its parts one by one as arrays, or use the conditional mean."
        )
    uniform = random.uniform(size=source.n_rows)
    normal = random.standard_normal((source.n_rows, mixture.n_features))

    def fill(e_step: EStepForBlock, block: Block) -> Array:
        if block.complete:
            return block.rows.T
        probabilities = responsibilities_without_noise(e_step, block)
        below = np.cumsum(probabilities, axis=0) < uniform[block.place]
        components = np.minimum(below.sum(axis=0), len(probabilities) - 1)
        own = (components == np.arange(len(probabilities))[:, None]).astype(float)
        means = e_step.missing.conditional_means(block.rows, own)
        draws = e_step.missing.conditional_draws(block.rows, components, normal[block.place].T)
        return (means + draws).T

    return row_by_row(mixture, source, fill, mixture.n_features, dtype=source.dtype)
