"""The packed form: a block's E-step is two matrix products.

With phi(y) = (1, y, monomials of y), y = x - centre, each component is linear in phi::

    S = Theta @ phi     (K, B)    the log-joint of the whole block
    R = softmax(S)                log-sum-exp on the way
    T = R @ phi.T       (K, P)    counts, first_moment and second moments of all components

P = 1 + D + D(D+1)/2 for full covariances: half the products of the textbook's form, because a
symmetric matrix is visited once. Where the covariance is shared, the quadratic term is the same for
all components and cancels in R: phi = (1, y), and the log-likelihood takes that term from the total
scatter, which no iteration changes. Noise of a constant density is one more line of Theta, in which
only the constant is not zero; beside it nothing cancels.

The expanded square loses digits as rows and means lie many standard deviations from the centre;
`ExpandedEStep.error` bounds the loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emgmm.estep.base import EStep
from emgmm.estep.blas import feature_sums, log_joint_product
from emgmm.estep.features import QuadraticFeatures
from emgmm.estep.softmax import softmax
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.threads import cached_property
from emgmm.tolerances import EPS, eps_of
from emgmm.typing import Array

# Entries of a block: phi and responsibilities, B (P + 2 K). A core's own cache holds fewer, but the
# products stream through the next one as fast, and threads want calls that last: 65536 rows of 2
# features, 16384 of 8, 2048 of 32 and 512 of 64 were the fastest, of a quarter to four times these.
ENTRIES = 2**20

# Entries of its log-joint, which numpy goes over a dozen times: in the core's own cache. 16384 rows
# of 2 features and 10 components were half as fast again as 32768.
JOINT = 2**17

# Blocks that a pass has at least, so that threads end together, if a block is then still worth
# handing to one. That costs a tenth of a millisecond, for threads wait for each other; so many
# products of an entry of phi and a responsibility take the compiled kernel half of one, and NumPy
# one. What else a responsibility costs, its exponential most of all, counts as `SHARE` products.
PIECES = 16
WORTHWHILE = 2**23
SHARE = 24


@lru_cache
def piece(n_lines: int, n_entries: int, n_rows: float) -> int:
    """Rows of a block that make equal pieces of all, each worthwhile."""
    per_row = n_lines * (n_entries + SHARE)
    pieces = min(PIECES, max(1, n_rows * per_row // WORTHWHILE))
    return max(WORTHWHILE // per_row, math.ceil(n_rows / pieces))


@dataclass(frozen=True, eq=False)
class Products:
    """What a block adds to a pass.

    Parameters
    ----------
    products : (K, P)
        R phi^T; with noise it has a line more.
    log_likelihood : float
        sum_i log p(x_i), but for a quadratic term that all components share.
    weight : float
        Total weight of the rows.
    """

    products: Array
    log_likelihood: float
    weight: float

    def __add__(self, other: Products) -> Products:
        return Products(
            self.products + other.products,
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
        )


class ExpandedEStep(EStep):
    """The packed form about one centre for all components.

    Parameters
    ----------
    mixture : Mixture
        Whose E-step.
    summary : DataSummary or None
        Of the rows to be summed over; not needed for log-joints.
    features : QuadraticFeatures, optional
        Of the rows, about any centre; by default about the mixture's own, in float64. Its type is
        that of the two products of a block; blocks are added in float64.
    """

    def __init__(
        self,
        mixture: Mixture,
        summary: DataSummary | None = None,
        features: QuadraticFeatures | None = None,
    ) -> None:
        self.mixture = mixture
        self.summary = summary
        self.features = features or QuadraticFeatures(mixture.centre, mixture.quadratic_shape)
        self.means = mixture.means - self.centre
        self.precisions_cholesky = mixture.precision_cholesky_stack
        self.block_rows = self.most_rows
        if summary is not None:
            pieces = piece(mixture.n_lines, self.features.n_entries, summary.n_rows)
            self.block_rows = min(self.block_rows, pieces)

    @property
    def most_rows(self) -> int:
        """Rows of a block, where there are enough of them."""
        n_lines = self.mixture.n_lines
        entries = self.features.n_entries + 2 * n_lines
        return max(512, min(ENTRIES // entries, JOINT // n_lines, 32768))

    @property
    def centre(self) -> Array:
        """(D,): of phi."""
        return self.features.centre

    @cached_property
    def natural_parameters(self) -> Array:
        """(K, P): the components' coefficients of phi; a form that is not chosen needs none.

        With noise it has a line more, as all that is K x B has.
        """
        shape, noise = self.mixture.family.structure, self.mixture.noise
        precisions = shape.precisions(self.precisions_cholesky)
        linear = shape.apply(precisions, self.means)
        constant = self.mixture.log_peaks() - 0.5 * (linear * self.means).sum(axis=1)
        parts = [constant[:, None], linear]
        if self.mixture.quadratic_shape is not None:
            coefficients = shape.coefficients(precisions)
            if len(coefficients) < len(linear):  # a shared covariance, beside noise
                coefficients = coefficients.repeat(len(linear), axis=0)
            parts.append(coefficients)
        theta = np.concatenate(parts, axis=1)
        if noise is not None:
            theta = np.vstack((theta, np.zeros(theta.shape[1])))
            theta[-1, 0] = noise.log_weight + (noise.density.constant or 0.0)
        # BLAS makes an invalid operation of the infinite logarithm of a weight that is 0.
        theta[:, 0] = np.maximum(theta[:, 0], 0.25 * np.finfo(self.features.dtype).min)
        return theta.astype(self.features.dtype, copy=False)

    def error(self, reach: Array) -> float:
        """Bound of the error of any log-joint, for rows within `reach` (D,) of the centre.

        First order in the unit of rounding, with every term at its largest: what is met in practice
        is ten to a thousand times less.
        """
        return EPS * self.mixture.magnitude(reach + np.abs(self.means))

    def error_near(self, sds: float) -> float:
        """The same bound for rows within `sds` standard deviations of a component.

        Rows that lie farther from all of them lose no more of their logarithm than these: it grows
        as the square of the distance, and so does the error.
        """
        return eps_of(self.features.dtype) * self.mixture.magnitude_near(
            sds, 2 * np.abs(self.means)
        )

    def relative_log_joint(self, rows: Array) -> Array:
        phi = self.features.transform(rows)
        joint = np.empty((len(self.natural_parameters), phi.shape[1]), phi.dtype)
        log_joint_product(self.natural_parameters, phi, joint)
        self._add_noise(joint, rows)
        return joint

    def _add_noise(self, joint: Array, rows: Array) -> None:
        """Add to a log-joint what of noise is not linear in phi."""
        noise = self.mixture.noise
        if noise is not None and noise.density.constant is None:
            joint[-1] += noise.density.log_density(rows)

    def log_joint(self, rows: Array) -> Array:
        return self._with_shared(self.relative_log_joint(rows), rows)

    def _with_shared(self, linear: Array, rows: Array) -> Array:
        """What was linear in phi, with the quadratic term that all components share."""
        if self.mixture.quadratic_shape is None:
            centred = np.subtract(rows, self.centre[:, None])
            linear -= 0.5 * self.mixture.family.structure.squared_norms(
                self.precisions_cholesky[0], centred
            )
        return linear

    def sums(self, block: Block) -> Products:
        phi = self.features.transform_block(block)
        size = (len(self.natural_parameters), phi.shape[1])
        responsibilities = self.features.scratch("responsibilities", size, phi.dtype)
        log_joint_product(self.natural_parameters, phi, responsibilities)
        self._add_noise(responsibilities, block.rows)
        log_likelihood = block.total(softmax(responsibilities, self.features.scratch))
        if block.weights is not None:
            responsibilities *= block.weights
        return Products(feature_sums(responsibilities, phi), log_likelihood, block.weight)

    def complete(self, sums: Products) -> Statistics:
        quadratics = 1 + self.mixture.n_features
        products, astray = sums.products[: len(self.means)], sums.products[len(self.means) :]
        scatter, quadratic = self._second_moments(products[:, quadratics:])
        centres = np.empty(self.means.shape)
        centres[:] = self.centre
        return Statistics(
            centres,
            products[:, 0],
            products[:, 1:quadratics],
            scatter,
            sums.log_likelihood + quadratic,
            sums.weight,
            noise=sum(astray[:, 0].tolist()),
        )

    def _second_moments(self, monomials: Array) -> tuple[Array, float]:
        """The scatter, and what of the log-likelihood the passes leave out."""
        family, n_features = self.mixture.family, self.mixture.n_features
        if self.mixture.quadratic_shape is not None:
            return family.pool(family.structure.from_monomials(monomials, n_features)), 0.0
        assert self.summary is not None
        total = self.summary.scatter_about(self.centre)
        precision = family.structure.precisions(self.precisions_cholesky[:1])[0]
        return total, -0.5 * family.structure.inner(precision, total, n_features)
