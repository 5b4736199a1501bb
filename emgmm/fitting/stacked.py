"""Plain EM of several small problems at once, whose components are stacked into one mixture.

The M-step is the ordinary one, of a mixture of B times K components, and so are the natural
parameters of the E-step. Only the sums over rows have a leading axis of problems. A problem that
needs more is left to an ordinary fit: one with singular, collapsed, starved or coincident
components, with moments that lose digits, or with a row that is too far from all components.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.acceleration import PLAIN, SCHEMES, Step
from emgmm.covariances import Family
from emgmm.degeneracy import are_surely_sound, coincident
from emgmm.estep import ExpandedEStep
from emgmm.estep.dispatch import RELEVANT_SDS
from emgmm.estep.expanded import ExpandedSums
from emgmm.estep.features import QuadraticFeatures
from emgmm.estep.stacked import StackedRows
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.fitting.first_pass import DEPENDENT, ROUNDING, SUSPICIOUS
from emgmm.fitting.loop import REST, Ending, HistoryEntry, Rules, Run
from emgmm.fitting.messages import LARGE_RIDGE
from emgmm.fitting.problem import Options, Problem
from emgmm.mixture import Mixture
from emgmm.mstep import MStep, magnitudes_about
from emgmm.sources import ArraySource
from emgmm.sources.weights import ORDINARY
from emgmm.statistics import Statistics
from emgmm.summary import CONSTANT
from emgmm.tolerances import EPS, MAX_ERROR, checked_afterwards, eps_of
from emgmm.typing import Array

# Largest absolute value of a row, and largest bound of a quadratic form: no square overflows.
LARGEST_VALUE = 1e100
LARGEST_FORM = 1e290

Flags = NDArray[np.bool_]


def can_be_stacked(problem: Problem, options: Options) -> bool:
    """Return whether `fit_stacked` serves a problem: plain EM from one start, without priors."""
    return (
        problem.family.stacked(problem.n_components) is not None
        and problem.prior is None
        and problem.concentration == 1
        and problem.noise is None
        and options.scheme is SCHEMES[None]
        and options.n_init == 1
        and options.rules.max_iter > 0
    )


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of B problems, padded to the same number of rows, and their first pass.

    Parameters
    ----------
    rows : (D, B, n)
        Rows minus their mean.
    counts : (B, n)
        Weights of the rows; 0 where a problem has fewer rows.
    is_plain : bool
        Whether all weights are 1.
    n_rows, weight : (B,)
        Number of the rows of positive weight, and their total weight.
    means, sds, reach, largest : (B, D)
        Mean of the rows, their standard deviation, their largest distance from the mean, and their
        largest absolute value.
    least : (B,)
        Smallest eigenvalue of the correlations of the features; 0 if a feature is constant.
    """

    rows: Array
    counts: Array
    is_plain: bool
    n_rows: Array
    weight: Array
    means: Array
    sds: Array
    reach: Array
    largest: Array
    least: Array

    @classmethod
    @checked_afterwards
    def of(cls, sources: Sequence[ArraySource]) -> Table:
        """Return the table of complete sources with the same number of features."""
        blocks = [
            block.without_zero_weights
            for source in sources
            for block in source.blocks(source.n_rows)
        ]
        n_rows = np.array([block.rows.shape[1] for block in blocks])
        n = n_rows.max()
        rows = np.empty((sources[0].n_features, len(blocks), n))
        counts = np.zeros((len(blocks), n))
        for b, block in enumerate(blocks):
            number = n_rows[b]
            rows[:, b, :number] = block.rows
            rows[:, b, number:] = block.rows[:, :1]
            counts[b, :number] = 1.0 if block.weights is None else block.weights
        is_plain = bool((counts == 1).all())
        weight = counts.sum(axis=1)
        means = rows.mean(axis=2).T if is_plain else ((rows * counts).sum(axis=2) / weight).T
        largest = np.abs(rows).max(axis=2).T
        varies = (2 * CONSTANT * largest < np.ptp(rows, axis=2).T).all(axis=1)
        rows -= means.T[:, :, None]
        scatter = np.matmul((rows * counts).swapaxes(0, 1), rows.transpose(1, 2, 0))
        covariances = scatter / weight[:, None, None]
        sds = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        varies &= (sds > 0).all(axis=1) & np.isfinite(covariances).all(axis=(1, 2))
        least = np.zeros(len(blocks))
        scales = sds[varies]
        correlations = covariances[varies] / (scales[:, :, None] * scales[:, None, :])
        least[varies] = np.linalg.eigvalsh(correlations)[:, 0]
        reach = np.abs(rows).max(axis=2).T
        return cls(rows, counts, is_plain, n_rows, weight, means, sds, reach, largest, least)

    @checked_afterwards
    def are_ordinary(self, problem: Problem, dtype: np.dtype[Any]) -> Flags:
        """Return for which problems a fit would find nothing unusual in its first pass, (B,)."""
        D = self.sds.shape[1]
        # Bounds of the rounding errors that `singular_features` allows for.
        ratio = (self.largest / np.where(self.sds > 0, self.sds, 1.0)).max(axis=1)
        rounding = ROUNDING * max(EPS * math.sqrt(D), float(np.finfo(dtype).eps)) * ratio
        least = self.least if problem.family.structure.has_covariances else 1.0
        return np.logical_and.reduce(
            [
                self.n_rows >= max(2, problem.n_components),
                self.least > 0,
                least > 2 * np.maximum(SUSPICIOUS, np.maximum(rounding, DEPENDENT) ** 2),
                (self.largest < LARGEST_VALUE).all(axis=1),
                self.weight >= 1 / ORDINARY,
                self.weight <= ORDINARY**2,
                (problem.ridge < LARGE_RIDGE * self.sds**2 * (1 - 1e-9)).all(axis=1),
            ]
        )


@dataclass(frozen=True, eq=False)
class Stack:
    """Problems that have not ended yet: B mixtures of K components.

    Parameters
    ----------
    m_step : MStep
        M-step of the stacked mixture.
    rows : StackedRows
        Rows minus their mean.
    numbers : (B,)
        Numbers of the problems.
    n_rows, weight : (B K,)
        Number of the rows and their total weight, for each component.
    centres, sds, reach : (B K, D)
        Mean, standard deviation and largest distance of the rows, for each component.
    """

    m_step: MStep
    rows: StackedRows
    numbers: NDArray[np.intp]
    n_rows: Array
    weight: Array
    centres: Array
    sds: Array
    reach: Array

    def each(self, flags: Flags) -> Flags:
        """Return which problems have a flag for all of their components, (B,)."""
        return np.logical_and.reduce(flags.reshape(len(self.numbers), -1), axis=1)

    def take(self, kept: Flags) -> Stack:
        """Return the stack of those problems for which `kept`, (B,), is true."""
        own = np.repeat(kept, len(self.weight) // len(kept))
        fields = ("n_rows", "weight", "centres", "sds", "reach")
        arrays = {name: getattr(self, name)[own] for name in fields}
        return replace(self, rows=self.rows.take(kept), numbers=self.numbers[kept], **arrays)

    def expect(self, mixture: Mixture) -> tuple[Statistics, Flags]:
        """Return the statistics, and for which problems they are accurate and finite, (B,).

        The log-likelihood has one entry per problem, and the weight one per component.
        """
        B, D = len(self.numbers), mixture.n_features
        shifted = replace(mixture, means=mixture.means - self.centres)
        distances = np.abs(shifted.means)
        bound = shifted.magnitudes(self.reach + distances)
        accurate = EPS * bound <= MAX_ERROR
        if not accurate.all():
            near = shifted.magnitudes(RELEVANT_SDS * np.sqrt(shifted.variances) + 2 * distances)
            accurate |= (eps_of(np.float64) * near <= MAX_ERROR) & (bound < LARGEST_FORM)
        features = QuadraticFeatures(np.zeros(D), mixture.family.structure)
        e_step = ExpandedEStep(shifted, None, features)
        parameters = e_step.natural_parameters.reshape(B, -1, features.n_entries)
        products, log_likelihoods = self.rows.sums(parameters)
        products = products.reshape(len(mixture.means), -1)
        arrays: tuple[Any, Any] = log_likelihoods, self.weight
        sums = ExpandedSums(products, *arrays)
        statistics = replace(e_step.complete(sums), centres=self.centres)
        finite = self.each(np.isfinite(products)) & np.isfinite(log_likelihoods)
        return statistics, self.each(accurate) & finite

    def maximise(self, statistics: Statistics) -> tuple[Mixture | None, Flags]:
        """Return the next mixture of those problems that have one, and which these are, (B,)."""
        kept = np.ones(len(self.numbers), dtype=bool)
        while kept.any():
            try:
                return self.m_step.maximise(taken(statistics, kept)), kept
            except DegenerateCovarianceError as error:
                n_components = len(self.weight) // len(kept)
                failed = np.array(error.components, dtype=np.intp) // n_components
                kept[np.flatnonzero(kept)[failed] if len(failed) else slice(None)] = False
        return None, kept

    def are_accurate(self, mixture: Mixture) -> Flags:
        """Return for which problems moments about the centres are accurate enough, (B,)."""
        return self.each(EPS * magnitudes_about(mixture, self.centres) <= MAX_ERROR)


def taken(statistics: Statistics, kept: Flags) -> Statistics:
    """Return the statistics of those problems for which `kept`, (B,), is true."""
    if kept.all():
        return statistics
    own = np.repeat(kept, len(statistics.counts) // len(kept))
    weight: Any = statistics.weight
    log_likelihood: Any = statistics.log_likelihood
    return Statistics(
        statistics.centres[own],
        statistics.counts[own],
        statistics.first_moment[own],
        statistics.scatter[kept if len(statistics.scatter) == len(kept) else own],
        log_likelihood[kept],
        weight[own],
    )


def stacked(mixtures: Sequence[Mixture], family: Family) -> Mixture:
    """Return the mixture of the components of several mixtures."""
    weights, means = (
        np.concatenate([getattr(each, name) for each in mixtures]) for name in ("weights", "means")
    )
    covariances, factors = (
        np.concatenate(
            [each.family.per_component(getattr(each, name), each.n_components) for each in mixtures]
        )
        for name in ("covariances", "precisions_cholesky")
    )
    return Mixture(weights, means, covariances, factors, family)


def one_of(
    b: int, mixture: Mixture, statistics: Statistics, family: Family, n_components: int
) -> tuple[Mixture, Statistics]:
    """Return the mixture of one problem of a stack, and its statistics."""
    own = slice(b * n_components, (b + 1) * n_components)
    element = own.start if family.single else own
    covariances = mixture.covariances[element].copy()
    factors = mixture.precisions_cholesky[element].copy()
    weights, means = mixture.weights[own].copy(), mixture.means[own].copy()
    weight: Any = statistics.weight
    log_likelihood: Any = statistics.log_likelihood
    moments = statistics.counts[own].copy(), statistics.first_moment[own].copy()
    return Mixture(weights, means, covariances, factors, family), Statistics(
        statistics.centres[own].copy(),
        *moments,
        statistics.scatter[b if family.shared else own].copy(),
        float(log_likelihood[b]),
        float(weight[own.start]),
    )


def fit_stacked(
    sources: Sequence[ArraySource],
    mixtures: Sequence[Mixture],
    problem: Problem,
    rules: Rules,
    kind: type[StackedRows],
) -> Iterator[tuple[int, Run]]:
    """Run plain EM for several problems; yield the number and the run of each that ends.

    Problems that are not yielded are left to `fit_mixture`. Floating-point errors are those of
    `checked_afterwards`, inside which the runs have to be requested.

    Parameters
    ----------
    sources : sequence of ArraySource
        Rows of each problem: complete, and with the same type and number of features.
    mixtures : sequence of Mixture
        Initial mixture of each problem.
    problem : Problem
        Model to estimate, for which `can_be_stacked` holds.
    rules : Rules
        Conditions under which a run ends.
    kind : type of StackedRows
        Implementation of the sums over rows.
    """
    family, K, dtype = problem.family, problem.n_components, sources[0].dtype
    stacked_family = family.stacked(K)
    assert stacked_family is not None
    m_step, table = MStep(stacked_family, problem.ridge, dtype), Table.of(sources)
    n_rows, weight, centres, sds, reach = (
        np.repeat(array, K, axis=0)
        for array in (table.n_rows, table.weight, table.means, table.sds, table.reach)
    )
    rows = kind.of(table.rows, family.structure, None if table.is_plain else table.counts)
    numbers = np.arange(len(sources))
    stack = Stack(m_step, rows, numbers, n_rows, weight, centres, sds, reach)
    least = family.min_count(centres.shape[1])
    courses: list[list[float]] = [[] for _ in sources]

    mixture: Mixture | None = stacked(mixtures, stacked_family)
    assert mixture is not None
    statistics, good = stack.expect(mixture)
    good &= table.are_ordinary(problem, dtype)
    before = last = np.full(len(sources), -np.inf)
    was_at_rest = np.zeros(len(sources), dtype=bool)
    for n_iter in range(rules.max_iter + 1):
        ended = np.zeros(len(good), dtype=bool)
        if n_iter:
            mixture, kept = stack.maximise(statistics)
            if mixture is None:
                return
            if not kept.all():
                stack, before, last = stack.take(kept), before[kept], last[kept]
                was_at_rest = was_at_rest[kept]
            good = stack.are_accurate(mixture)
            statistics, well = stack.expect(mixture)
            good &= well
            ended = np.abs(last - before) < rules.tol
        log_likelihood: Any = statistics.log_likelihood
        objective = log_likelihood / stack.weight[::K]
        for number, value in zip(stack.numbers.tolist(), objective.tolist(), strict=True):
            courses[number].append(value)
        at_rest = np.abs(objective - last) <= REST * np.abs(objective)
        converged, is_last = ended, n_iter == rules.max_iter
        ended = np.ones_like(ended) if is_last else converged
        if rules.stop_if_coincident:
            suspicious = converged | (at_rest & np.logical_not(was_at_rest))
        else:
            suspicious = converged | (at_rest & ended)
        for b in np.flatnonzero(good & suspicious).tolist():
            good[b] = not coincident(one_of(b, mixture, statistics, family, K)[0])
        if (ended & good).any():
            sound = are_surely_sound(
                mixture, statistics, stack.sds, problem.ridge, stack.n_rows, least
            )
            good &= stack.each(sound) | np.logical_not(ended)
        for b in np.flatnonzero(ended & good).tolist():
            own, of_own = one_of(b, mixture, statistics, family, K)
            number = int(stack.numbers[b])
            yield number, finished(own, of_own, courses[number], converged=bool(converged[b]))
        kept = good & np.logical_not(ended)
        if not kept.any():
            return
        if not kept.all():
            stack, statistics = stack.take(kept), taken(statistics, kept)
        before, last, was_at_rest = last[kept], objective[kept], at_rest[kept]


def finished(
    mixture: Mixture, statistics: Statistics, objectives: list[float], *, converged: bool
) -> Run:
    """Return the run that ended with a mixture; the first of its passes was that of the summary."""
    events = ["start", *[PLAIN] * (len(objectives) - 1)]
    entries = list(map(HistoryEntry, objectives, count(2), events))
    ending = Ending.CONVERGED if converged else Ending.MAX_ITER
    if objectives[-1] == objectives[-2]:
        ending = Ending.FIXED_POINT
    step = Step(mixture, statistics, objectives[-1], entries[-1].passes)
    return Run(step, entries, converged, ending)
