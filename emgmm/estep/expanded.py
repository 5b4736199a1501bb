"""The expanded E-step: the quadratic forms are expanded, so that two matrix products suffice.

With phi(y) = (1, y, monomials of y) and y = x - centre, the log-joint of each component is linear
in phi::

    S = Theta @ phi     (K, B)    log-joint of the block; Theta holds the natural parameters
    R = softmax(S)                responsibilities, and the log-likelihood
    T = R @ phi.T       (K, P)    counts, first and second moments of all components

P = 1 + D + D(D+1)/2 for full covariances: half the products of the textbook's form, because a
symmetric matrix is visited once. If the components share a covariance, their quadratic terms are
equal and cancel in R: phi = (1, y), and the contribution to the log-likelihood is computed from the
total scatter, which does not change between iterations. Noise of constant density is another row
of Theta, of which only the constant is not zero; with noise nothing cancels.

The expanded square loses digits if rows and means are many standard deviations from the centre;
`ExpandedEStep.error` bounds the loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emgmm.estep.base import EStep
from emgmm.estep.blas import feature_sums, log_joint_product
from emgmm.estep.constrained import constrained_softmax
from emgmm.estep.features import QuadraticFeatures
from emgmm.estep.softmax import LIMITS
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.threads import cached_property
from emgmm.tolerances import EPS, MAX_ERROR, eps_of
from emgmm.typing import Array

# Number of entries of phi and responsibilities of a block, B (P + 2 K). They exceed a core's own
# cache, but the products are as fast from the next level, and threads need calls that last longer.
ENTRIES = 2**20

# Number of entries of the log-joint of a block, which NumPy traverses a dozen times: it fits into a
# core's own cache.
LOG_JOINT_ENTRIES = 2**17

# A pass is divided into at least PIECES blocks, so that threads finish together, unless blocks
# would have fewer than WORTHWHILE products of a feature and a responsibility. These take the
# compiled kernel half a millisecond and NumPy one; starting a block takes a tenth. The other
# operations on a responsibility, mostly its exponential, count as SHARE products.
PIECES = 16
WORTHWHILE = 2**23
SHARE = 24


@lru_cache
def rows_per_piece(n_components: int, n_entries: int, n_rows: float) -> int:
    """Return the number of rows of a block that divides a pass into equal, worthwhile pieces."""
    per_row = n_components * (n_entries + SHARE)
    pieces = min(PIECES, max(1, n_rows * per_row // WORTHWHILE))
    return max(WORTHWHILE // per_row, math.ceil(n_rows / pieces))


@dataclass(frozen=True, eq=False)
class ExpandedSums:
    """Contribution of a block to a pass.

    Parameters
    ----------
    products : (K, P)
        R phi^T, with another row for noise.
    log_likelihood : float
        sum_i log p(x_i), without a quadratic term that all components share.
    weight : float
        Total weight of the rows.
    """

    products: Array
    log_likelihood: float
    weight: float

    def __add__(self, other: ExpandedSums) -> ExpandedSums:
        return ExpandedSums(
            self.products + other.products,
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
        )


class ExpandedEStep(EStep):
    """The expanded E-step of a mixture, with one centre for all components.

    Parameters
    ----------
    mixture : Mixture
        The mixture.
    summary : DataSummary or None
        Summary of the rows of a pass; only needed for sums.
    features : QuadraticFeatures, optional
        Transformer of the rows; about the mean of the mixture and in float64 by default. Both
        products have its type; sums over blocks are in float64.
    """

    def __init__(
        self,
        mixture: Mixture,
        summary: DataSummary | None = None,
        features: QuadraticFeatures | None = None,
    ) -> None:
        self.mixture = mixture
        self.summary = summary
        self.features = features or QuadraticFeatures(mixture.centre, mixture.quadratic_structure)
        self.centre = self.features.centre
        self.means = mixture.means - self.centre
        self.precisions_cholesky = mixture.precision_cholesky_stack
        self.block_rows = self.max_block_rows
        if summary is not None:
            n_rows = rows_per_piece(mixture.n_densities, self.features.n_entries, summary.n_rows)
            self.block_rows = min(self.block_rows, n_rows)

    @property
    def max_block_rows(self) -> int:
        """Number of rows of a block of a large data set."""
        n_components = self.mixture.n_densities
        entries = self.features.n_entries + 2 * n_components
        return max(512, min(ENTRIES // entries, LOG_JOINT_ENTRIES // n_components, 32768))

    @cached_property
    def natural_parameters(self) -> Array:
        """Coefficients of phi, (K, P), with another row for noise; computed when first needed."""
        structure, noise = self.mixture.family.structure, self.mixture.noise
        precisions = structure.precisions(self.precisions_cholesky)
        linear = structure.apply(precisions, self.means)
        K, D = self.means.shape
        parameters = np.zeros(self.mixture.size)
        squares = np.add.reduce(linear * self.means, axis=1)
        parameters[:K, 0] = self.mixture.log_peaks - 0.5 * squares
        parameters[:K, 1 : 1 + D] = linear
        if self.mixture.quadratic_structure is not None:
            parameters[:K, 1 + D :] = structure.coefficients(precisions)
        if noise is not None:
            parameters[-1, 0] = noise.log_weight + (noise.density.constant or 0.0)
        # An infinite logarithm of a weight of 0 would be an invalid operand for BLAS.
        constants = parameters[:, 0]
        np.maximum(constants, 0.25 * LIMITS[self.features.dtype][2], out=constants)
        return parameters.astype(self.features.dtype, copy=False)

    def error(self, reach: Array) -> float:
        """Return a bound of the error of the log-joint of rows within `reach`, (D,), of the centre.

        The bound is of first order in the unit roundoff and assumes the maximum of every term;
        actual errors are ten to a thousand times smaller.
        """
        return EPS * self.mixture.magnitude(reach + np.abs(self.means))

    def is_accurate_within(self, reach: Array) -> bool:
        """Whether this bound is at most `MAX_ERROR`."""
        return self.mixture.is_within(reach + np.abs(self.means), MAX_ERROR / EPS)

    def error_near(self, sds: float) -> float:
        """Return the bound for rows within `sds` standard deviations of a component.

        For more distant rows the error grows as the square of the distance, as the log-joint does,
        so that its relative error is no larger.
        """
        magnitude = self.mixture.magnitude_near(sds, 2 * np.abs(self.means))
        return eps_of(self.features.dtype) * magnitude

    def relative_log_joint(self, rows: Array) -> Array:
        log_joint = np.empty((self.mixture.n_densities, rows.shape[1]), self.features.dtype)
        return self._write_log_joint(self.features.transform(rows), rows, log_joint)

    def _write_log_joint(self, phi: Array, rows: Array, out: Array) -> Array:
        log_joint_product(self.natural_parameters, phi, out)
        noise = self.mixture.noise
        if noise is not None and noise.density.constant is None:
            out[-1] += noise.density.log_density(rows)
        return out

    def log_joint(self, rows: Array) -> Array:
        return self._add_shared_term(self.relative_log_joint(rows), rows)

    def _add_shared_term(self, relative: Array, rows: Array) -> Array:
        """Add the quadratic term that all components share to a log-joint or to log-densities."""
        if self.mixture.quadratic_structure is None:
            centred = np.subtract(rows, self.centre[:, None])
            relative -= 0.5 * self.mixture.family.structure.squared_norms(
                self.precisions_cholesky[0], centred
            )
        return relative

    def sums(self, block: Block) -> ExpandedSums:
        phi = self.features.transform_block(block)
        size = (self.mixture.n_densities, phi.shape[1])
        responsibilities = self.features.scratch("responsibilities", size, phi.dtype)
        self._write_log_joint(phi, block.rows, responsibilities)
        log_densities = constrained_softmax(responsibilities, block.known, self.features.scratch)
        log_likelihood = block.total(log_densities)
        if block.weights is not None:
            responsibilities *= block.weights
        return ExpandedSums(feature_sums(responsibilities, phi), log_likelihood, block.weight)

    def complete(self, sums: ExpandedSums) -> Statistics:
        family, (K, D) = self.mixture.family, self.means.shape
        products, noise = sums.products[:K], sums.products[K:]
        if self.mixture.quadratic_structure is not None:
            scatter = family.pool(family.structure.from_monomials(products[:, 1 + D :], D))
            quadratic = 0.0
        else:  # the terms that relative log-joints omit
            assert self.summary is not None
            scatter = self.summary.scatter_about(self.centre)
            precision = family.structure.precisions(self.precisions_cholesky[:1])[0]
            quadratic = -0.5 * family.structure.inner(precision, scatter)
        centres = np.empty(self.means.shape)
        centres[:] = self.centre
        return Statistics(
            centres,
            products[:, 0],
            products[:, 1 : 1 + D],
            scatter,
            sums.log_likelihood + quadratic,
            sums.weight,
            noise=sum(noise[:, 0].tolist()),
        )
