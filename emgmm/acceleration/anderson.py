r"""Anderson acceleration of EM on the sufficient statistics.

EM is a fixed-point iteration on statistics, x -> F(x): the M-step computes a mixture from x, and
the E-step computes the statistics of the rows under this mixture. Near the limit F is approximately
linear, and maps a change dx to J dx.

The statistics x and the natural parameters eta are dual: the complete-data log-likelihood is their
inner product. Therefore the product of the changes dx and d eta = G dx has no unit, where G is the
inverse of the complete-data information in x. In the metric G the Jacobian J of EM is self-adjoint.
Its eigenvalues lambda, the fractions of missing information, lie in [0, 1) (Dempster, Laird and
Rubin 1977). So a small symmetric eigenproblem in the last few changes gives directions and their
1 - lambda. Along each direction, the residual of EM is multiplied by 1 / (1 - lambda), the sum of
the geometric series of its further steps. This is Aitken's extrapolation in several directions at
once, or Anderson's method of type I (Fang and Saad 2009) with a projection in the metric G.

The method extrapolates statistics about common centres, which are linear in the rows. For every
covariance family, the M-step makes a member of the family of the result, or rejects it. The
products are the same about any centres. If the steps of the fit are natural ones, see
`emgmm.acceleration.natural`, x consists of their sums, and eta of their natural parameters.

References
----------
Anderson (1965), J. ACM 12:547, doi 10.1145/321296.321305.
Dempster, Laird and Rubin (1977), J. R. Stat. Soc. B 39:1, doi 10.1111/j.2517-6161.1977.tb01600.x.
Fang and Saad (2009), Numer. Linear Algebra Appl. 16:197, doi 10.1002/nla.617.
Henderson and Varadhan (2019), J. Comput. Graph. Stat. 28:834, doi 10.1080/10618600.2019.1594835.
Varadhan and Roland (2008), Scand. J. Stat. 35:335, doi 10.1111/j.1467-9469.2007.00585.x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from emgmm.acceleration.natural import NaturalSteps
from emgmm.acceleration.step import (
    LEAP,
    NaturalStep,
    Step,
    em_step,
    evaluate,
    natural_step,
    natural_steps,
)
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import Mixture
from emgmm.mstep import relative_error
from emgmm.statistics import Statistics
from emgmm.tolerances import MAX_ERROR, TINY, checked_afterwards
from emgmm.typing import Array

# Number of changes in the memory. On 265 problems, this depth reached the end of plain EM in fewer
# passes than smaller depths, SQUAREM and over-relaxation, and lower optima were rare.
DEPTH = 5

# Number of initial plain steps, which the memory does not hold. Leaps from a poor start would reach
# other optima more often; a longer warm-up was slower without ending lower less often.
BURN_IN = 6

# Initial limit of the step along a direction, in plain steps, and the factor by which the limit is
# multiplied when it restricted an accepted leap, and divided when a leap is rejected. Larger values
# led to lower optima more often, and without a limit the iteration was slower.
REACH = 2.0

# Changes are linearly dependent if an eigenvalue of their matrix of cosines is below this value.
# Values from 1e-6 to 1e-2 perform alike.
DEPENDENT = 1e-3

# Squared length of a change, relative to the longest, below which the change is rounding error.
NEGLIGIBLE = 1e-28


class Change(NamedTuple):
    """Differences of the statistics, the residuals and the natural parameters of two points."""

    x: Array
    residual: Array
    eta: Array


@dataclass(frozen=True, eq=False)
class Chart:
    """Statistics about fixed centres as vectors per unit weight, and the dual natural parameters.

    Parameters
    ----------
    em : EM
        EM's map.
    origin : Statistics
        Any statistics about the (K, D) centres.
    """

    em: EM
    origin: Statistics

    def vector(self, statistics: Statistics) -> Array:
        """Return counts (with that of noise, if any), first moments and scatter as one vector."""
        here = statistics.about(self.origin.centres, self.em.family)
        noise: Any = [] if self.em.m_step.density is None else here.noise
        parts = (here.counts, noise, here.first_moment, here.scatter)
        return np.concatenate(parts, axis=None) / here.seen

    def statistics(self, vector: Array) -> Statistics:
        """Invert `vector`, for counts that sum to the weight of the rows."""
        K, D = self.origin.centres.shape
        n = K + (self.em.m_step.density is not None)
        counts, first_moment, scatter = np.split(vector * self.origin.seen, (n, n + K * D))
        return replace(
            self.origin,
            counts=counts[:K],
            first_moment=first_moment.reshape(K, D),
            scatter=scatter.reshape(self.origin.scatter.shape),
            noise=float(counts[K:].sum()),
        )

    def natural_parameters(self, mixture: Mixture) -> Array:
        """Return the vector whose product with x is the complete-data log-likelihood.

        The log-joint of a component for a row at a difference y from the centre is
        a + b y - y P y / 2. That of noise is the logarithm of its weight, plus a constant.
        """
        family, structure = self.em.family, self.em.family.structure
        offsets = mixture.means.astype(float) - self.origin.centres
        cholesky = mixture.precision_cholesky_stack
        precisions = structure.precisions(cholesky)
        each = mixture.family.per_component(mixture.family.unstack(precisions), len(offsets))
        linear = structure.apply(each, offsets)
        peaks = np.where(mixture.weights > 0, mixture.log_peaks, 0.0)  # its product with x is 0
        constant = peaks - 0.5 * (linear * offsets).sum(axis=1)
        noise: Any = [] if mixture.noise is None else np.log(max(mixture.noise.weight, TINY))
        distinct = precisions[:1] if family.shared else precisions
        return np.concatenate((constant, noise, linear, -0.5 * distinct), axis=None)

    def coordinates(self, step: Step) -> tuple[Array, Array]:
        """Return the vector of the statistics of a step, and its natural parameters."""
        return self.vector(step.statistics), self.natural_parameters(step.mixture)

    def leap(self, vector: Array, before: Step) -> Step | None:
        """Return the step to the M-step of extrapolated statistics.

        None is returned, at the cost of no pass, if the statistics are not those of a mixture, or
        if too many digits would be lost.
        """
        statistics = self.statistics(vector)
        possible = statistics.counts.min() > 0 and statistics.noise >= 0
        if not (possible and np.isfinite(vector).all()):
            return None
        try:
            mixture = self.em.m_step.maximise(statistics, before.mixture)
        except DegenerateCovarianceError:
            return None
        if not relative_error(mixture, statistics) <= MAX_ERROR:
            return None
        return evaluate(self.em, mixture, LEAP)


@dataclass(frozen=True, eq=False)
class NaturalChart:
    """Sums of responsibilities times phi as vectors per unit weight, and natural parameters.

    Parameters
    ----------
    em : EM
        EM's map.
    steps : NaturalSteps
        Natural steps of the fit.
    """

    em: EM
    steps: NaturalSteps

    def vector(self, products: Array) -> Array:
        """Return sums, (K, P), as a vector that begins with the counts."""
        return products.T.ravel() / self.steps.weight

    def coordinates(self, step: Step) -> tuple[Array, Array]:
        """Return the vector of the sums of a natural step, and its natural parameters."""
        assert isinstance(step, NaturalStep)
        return self.vector(step.sums.products), step.natural.e_step.natural_parameters.T.ravel()

    @checked_afterwards
    def leap(self, vector: Array, before: Step) -> Step | None:
        """Return the step to the M-step of extrapolated sums, or None if it has to be examined."""
        if not np.isfinite(vector).all():
            return None
        products = vector.reshape(-1, self.em.n_components).T * self.steps.weight
        return natural_step(self.em, self.steps, products, before.covariances, LEAP)


@dataclass(frozen=True, eq=False)
class Point:
    """A step, the statistics x that gave its mixture, the residual F(x) - x of EM, and eta."""

    step: Step
    x: Array
    residual: Array
    eta: Array

    @classmethod
    def of(cls, chart: Chart | NaturalChart, x: Array, step: Step) -> Point:
        """Return the point of a step whose mixture is the M-step of the statistics `x`."""
        following, eta = chart.coordinates(step)
        return cls(step, x, following - x, eta)

    def since(self, other: Point) -> Change:
        """Return the change from another point to this one."""
        return Change(self.x - other.x, self.residual - other.residual, self.eta - other.eta)


@dataclass(frozen=True, eq=False)
class Warmup:
    """State of Anderson's method after `made` of its initial plain steps."""

    step: Step
    made: int = 0

    def next(self, em: EM, *, force_plain: bool) -> Warmup | Accelerated:  # noqa: ARG002
        following = em_step(em, self.step)
        if self.made + 1 < BURN_IN:
            return Warmup(following, self.made + 1)
        if isinstance(following, NaturalStep):
            natural = NaturalChart(em, following.steps)
            x = natural.vector(following.natural.products)
            return Accelerated(None, Point.of(natural, x, following))
        origin = following.statistics.about(following.mixture.means.astype(float), em.family)
        chart = Chart(em, origin)
        return Accelerated(origin, Point.of(chart, chart.vector(self.step.statistics), following))


@dataclass(frozen=True, eq=False)
class Accelerated:
    """State of Anderson's method: leaps that raise the objective, and plain steps otherwise.

    A rejected leap costs one pass. The plain step that follows starts from the mixture before the
    leap, and the memory is cleared. With a ridge, the objective may decrease in a plain EM step. A
    leap may then decrease it by `reach` times as much, and the next leap by half of that.

    Parameters
    ----------
    origin : Statistics, optional
        Origin of the chart; None for natural steps.
    point : Point
        Last point.
    memory : tuple of Change
        Changes between the last few points, oldest first.
    reach : float
        Limit of the step along a direction, in plain steps.
    fall : float
        Decrease of the objective in the last plain step, halved in each leap since.
    """

    origin: Statistics | None
    point: Point
    memory: tuple[Change, ...] = ()
    reach: float = REACH
    fall: float = 0.0

    @property
    def step(self) -> Step:
        return self.point.step

    def next(self, em: EM, *, force_plain: bool) -> Warmup | Accelerated:
        chart = self._chart(em)
        if chart is None:
            # The state was stored where, for example, the compiler made other steps faster.
            return Warmup(self.step, BURN_IN - 1).next(em, force_plain=force_plain)
        # Sums over rows that are very far from a component may have overflowed.
        memory = self.memory if np.isfinite(self.point.residual).all() else ()
        reach, fall = self.reach, self.fall
        arrived, least = None, self.step.objective - reach * fall
        if memory and not force_plain:
            n_counts = em.n_components + (em.m_step.density is not None)
            x, is_limited = extrapolate(self.point, memory, reach, n_counts)
            step = chart.leap(x, self.step)
            if step is not None and step.objective >= least:
                arrived = Point.of(chart, x, step)
            fall /= 2
            if arrived is None:
                memory = ()
                reach = max(reach / REACH, REACH)
            elif is_limited:
                reach *= REACH
        if arrived is None:
            following = em_step(em, self.step)
            if self.origin is None and not isinstance(following, NaturalStep):
                return Warmup(following, BURN_IN - 1)  # which takes centres of its own
            x = self.point.x + self.point.residual
            arrived = Point.of(chart, x, following)
            if em.m_step.ridge:  # otherwise the objective decreases by rounding only
                fall = max(0.0, self.step.objective - following.objective)
        memory = (*memory, arrived.since(self.point))[-DEPTH:]
        return Accelerated(self.origin, arrived, memory, reach, fall)

    def _chart(self, em: EM) -> Chart | NaturalChart | None:
        """Return the chart; None if it is that of natural steps, which the fit does not make."""
        if self.origin is not None:
            return Chart(em, self.origin)
        steps = natural_steps(em, self.step)
        return None if steps is None else NaturalChart(em, steps)


@checked_afterwards
def extrapolate(
    point: Point, memory: Sequence[Change], reach: float, n_counts: int
) -> tuple[Array, bool]:
    """Return the statistics to leap to, and whether `reach` limited the leap.

    Their first `n_counts` entries are the counts.

    The changes V = (dx), with JV = V + d(residual), span a few directions, and products with d eta
    are products in the metric G. A Ritz pair satisfies (1 - lambda) <z, z> = -<z, d residual>. The
    residual is multiplied by 1 / (1 - lambda) along its direction, and by 1 in the complement.
    """
    parts = zip(*memory, strict=True)
    x, residuals, eta = (np.concatenate(part).reshape(len(memory), -1) for part in parts)
    squares = np.einsum("mi,mi->m", eta, x)
    long = squares > max(TINY, NEGLIGIBLE * squares.max())
    if not np.logical_and.reduce(long):
        x, residuals, eta = x[long], residuals[long], eta[long]
    metric, curvature = eta @ x.T, -eta @ residuals.T
    metric, curvature = metric + metric.T, curvature + curvature.T
    lengths = np.sqrt(metric.diagonal())
    cosines = lengths[:, None] * lengths
    values, axes = np.linalg.eigh(metric / cosines)
    independent = values > DEPENDENT
    basis = axes[:, independent] / np.sqrt(values[independent]) / lengths[:, None]
    ritz, rotation = np.linalg.eigh(basis.T @ curvature @ basis)
    basis = basis @ rotation * np.sqrt(2)  # as metric and curvature are twice their means
    factors = 1 / np.minimum(np.maximum(ritz, 1 / reach), 1)
    coefficients = basis @ (factors * (basis.T @ (eta @ point.residual)))
    moved = point.x + point.residual + coefficients @ (x + residuals)
    # The counts must sum to the weight, otherwise the objective would favour mixtures whose density
    # integrates to more than 1.
    total = moved[:n_counts].sum()
    return moved / total, bool((ritz <= 1 / reach).any())
