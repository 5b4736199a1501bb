"""The E-step of rows that miss some features: exact for what was observed, nothing filled in.

Rows of a block are grouped by their pattern of missing features. Within a pattern the log-joint is
that of the marginal mixture, and the moments of the observed part go over into the expected moments
of whole rows by an affine map, once for each pattern and component (`emgmm.families.conditional`).
Missing entries are set to the centre, so that one phi, and one softmax, serve all patterns.

Two forms, as for complete rows: `IncompletePacked` about one centre, two matrix products for each
pattern, and `IncompleteExact`, component by component.

References
----------
Ghahramani and Jordan (1994), Advances in Neural Information Processing Systems 6:120.
Dempster, Laird and Rubin (1977), J. R. Stat. Soc. B 39:1, doi 10.1111/j.2517-6161.1977.tb01600.x.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emgmm.block import Block
from emgmm.expectation.form import Form
from emgmm.expectation.packed import ENTRIES
from emgmm.expectation.softmax import softmax
from emgmm.families import Conditional, Family, Moments
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

# Entries of the matrices of the patterns that are looked at together: with as many patterns as rows
# they, not the rows, are what memory holds.
BATCH_ENTRIES = 2**18


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a block, those with one pattern side by side.

    Parameters
    ----------
    numbers : (n,)
        Where the rows stand in the block.
    edges : (Q + 1,)
        Pattern q has the rows edges[q] to edges[q + 1] of them.
    observed : (Q, D) of bool
        The patterns.
    """

    numbers: Integers
    edges: Integers
    observed: NDArray[np.bool_]

    @property
    def seen(self) -> Batch:
        """Without the pattern in which nothing is observed: always the last."""
        if self.observed[-1].any():
            return self
        return Batch(self.numbers[: self.edges[-2]], self.edges[:-1], self.observed[:-1])

    @property
    def spans(self) -> Iterator[tuple[int, slice]]:
        """Each pattern and its rows."""
        edges = self.edges.tolist()
        return ((q, slice(a, b)) for q, (a, b) in enumerate(pairwise(edges)))


def batches(rows: Array, most: int) -> Iterator[Batch]:
    """The (D, B) rows by their patterns, at most so many of these at a time."""
    missing = np.isnan(rows)
    codes = np.packbits(missing, axis=0)
    order = np.lexsort(codes)
    new = (codes[:, order[1:]] != codes[:, order[:-1]]).any(axis=0)
    edges = np.concatenate(([0], 1 + np.flatnonzero(new), [len(order)]))
    observed = np.logical_not(missing[:, order[edges[:-1]]].T)
    for q in range(0, len(observed), most):
        some = edges[q : q + most + 1]
        yield Batch(order[some[0] : some[-1]], some - some[0], observed[q : q + most])


def zeroed(rows: Array, centre: Array) -> Array:
    """(D, n) rows less a (D,) centre, 0 where something is missing."""
    deviations = np.subtract(rows, centre[:, None], dtype=np.float64)
    np.copyto(deviations, 0.0, where=np.isnan(deviations))
    return deviations


class Completion:
    """Expected moments of whole rows, from responsibilities that are given.

    Parameters
    ----------
    means : (K, D)
        Of the components by which the missing is judged.
    covariances : (K,) elements of the family's shape
        Theirs.
    family : Family
        In whose shape moments are taken.
    centres : (K, D)
        What moments are taken about.
    """

    def __init__(self, means: Array, covariances: Array, family: Family, centres: Array) -> None:
        self.means = means
        self.covariances = covariances
        self.family = family
        self.centres = centres
        K, D = means.shape
        self.most_patterns = max(1, BATCH_ENTRIES // (K * family.shape.n_monomials(D)))

    def conditional(self, batch: Batch) -> Conditional:
        """The patterns of a batch under the components."""
        return self.family.shape.condition(self.covariances, batch.observed)

    def moments(
        self, rows: Array, batch: Batch, conditional: Conditional, responsibilities: Array
    ) -> Moments:
        """Of the batch's (D, n) rows, with (K, n) responsibilities."""
        shape, (K, D) = self.family.shape, self.means.shape
        Q = len(batch.observed)
        mass = np.add.reduceat(responsibilities, batch.edges[:-1], axis=1).T
        drift = np.empty((Q, K, D))
        scatter = np.empty((Q, K, *self.covariances.shape[1:]))
        for k in range(K):
            deviations = zeroed(rows, self.centres[k])
            for q, span in batch.spans:
                own = responsibilities[k, span]
                drift[q, k] = deviations[:, span] @ own
                scatter[q, k] = shape.weigh(deviations[:, span], own)
        return conditional.completed(Moments(mass, drift, scatter), self.means - self.centres)


class Incomplete(Form):
    """What both forms have in common.

    Parameters
    ----------
    mixture : Mixture
        Whose E-step.
    centres : (K, D)
        What the statistics are taken about.
    """

    def __init__(self, mixture: Mixture, centres: Array) -> None:
        family, K, D = mixture.family, mixture.n_components, mixture.n_features
        self.mixture = mixture
        with np.errstate(divide="ignore"):  # a component may have weight 0
            self.log_weights = np.log(mixture.weights, dtype=np.float64)
        covariances = family.covariances(mixture.whiteners.astype(np.float64, copy=False))
        self.completion = Completion(
            mixture.means.astype(np.float64), family.for_each(covariances, K), family, centres
        )
        entries = 1 + D + family.shape.n_monomials(D)
        self.block_rows = max(512, min(ENTRIES // (entries + 2 * K), 32768))

    def log_joint(self, rows: Array) -> Array:
        joint = np.empty((self.mixture.n_components, rows.shape[1]))
        for batch in batches(rows, self.completion.most_patterns):
            conditional = self.completion.conditional(batch)
            looked_at = self._look(rows[:, batch.numbers])
            joint[:, batch.numbers] = self._batch_joint(looked_at, batch, conditional)
        return joint

    def expected(self, rows: Array, responsibilities: Array) -> Array:
        """(D, B): rows with the conditional mean of what is missing, given (K, B) shares."""
        whole = rows.astype(np.float64)
        for batch in batches(rows, self.completion.most_patterns):
            conditional = self.completion.conditional(batch)
            own, shares = rows[:, batch.numbers], responsibilities[:, batch.numbers]
            filled = np.zeros(own.shape)
            for k, mean in enumerate(self.completion.means):
                deviations = zeroed(own, mean)
                for q, span in batch.spans:
                    guess = conditional.expected(q, k, deviations[:, span]) + mean[:, None]
                    filled[:, span] += shares[k, span] * guess
            whole[:, batch.numbers] = np.where(np.isnan(own), filled, own)
        return whole

    def spread(self, rows: Array, components: Integers, noise: Array) -> Array:
        """(D, B): (D, B) standard normal noise as draws about the conditional means.

        Row i is taken to be of component components[i]; what was observed has no spread.
        """
        spread = np.zeros(rows.shape)
        for batch in batches(rows, self.completion.most_patterns):
            conditional = self.completion.conditional(batch)
            own = components[batch.numbers]
            for q, span in batch.spans:
                for k in np.unique(own[span]):
                    of_k = batch.numbers[span][own[span] == k]
                    spread[:, of_k] = conditional.drawn(q, k, noise[:, of_k])
        return spread

    def sums(self, block: Block) -> Statistics:
        rows, completion = block.rows, self.completion
        K, D = completion.means.shape
        total = Statistics(
            completion.centres,
            np.zeros(K),
            np.zeros((K, D)),
            completion.family.pool(np.zeros(completion.covariances.shape)),
            0.0,
            block.weight,
            block.total(np.isnan(rows).all(axis=0).astype(float)),
        )
        for batch in batches(rows, completion.most_patterns):
            total = total + self._batch_sums(block, batch.seen)
        return total

    def _batch_sums(self, block: Block, batch: Batch) -> Statistics:
        completion = self.completion
        rows = block.rows[:, batch.numbers]
        conditional = completion.conditional(batch)
        looked_at = self._look(rows)
        responsibilities = self._batch_joint(looked_at, batch, conditional)
        own = Block(0, rows, None if block.weights is None else block.weights[batch.numbers])
        log_likelihood = own.total(softmax(responsibilities))
        if own.weights is not None:
            responsibilities *= own.weights
        seen = self._moments(looked_at, batch, conditional, responsibilities)
        return Statistics(
            completion.centres,
            seen.mass,
            seen.drift,
            completion.family.pool(seen.scatter),
            log_likelihood,
            0.0,
        )

    def complete(self, sums: Statistics) -> Statistics:
        return sums

    @abstractmethod
    def _look(self, rows: Array) -> Array:
        """What both halves of the E-step read of a batch's (D, n) rows, each in a column."""

    @abstractmethod
    def _batch_joint(self, looked_at: Array, batch: Batch, conditional: Conditional) -> Array:
        """(K, n): the log-joint of the batch's rows."""

    @abstractmethod
    def _moments(
        self, looked_at: Array, batch: Batch, conditional: Conditional, responsibilities: Array
    ) -> Moments:
        """Expected moments of the batch's rows under (K, n) responsibilities."""

    def _peaks(self, conditional: Conditional) -> Array:
        """(Q, K): log weight plus the marginal's log-density at its mean."""
        n_observed = conditional.observed.sum(axis=1)[:, None]
        norming = 0.5 * np.log(2 * np.pi) * n_observed
        return self.log_weights + conditional.half_log_det - norming


class IncompleteExact(Incomplete):
    """Component by component, every row centred on the mean it is compared with."""

    def __init__(self, mixture: Mixture, centres: Array | None = None) -> None:
        super().__init__(mixture, mixture.means.astype(np.float64) if centres is None else centres)

    def _look(self, rows: Array) -> Array:
        return rows

    def _batch_joint(self, looked_at: Array, batch: Batch, conditional: Conditional) -> Array:
        shape, means = self.mixture.family.shape, self.completion.means
        joint = np.empty((len(means), looked_at.shape[1]))
        peaks = self._peaks(conditional)
        for k, mean in enumerate(means):
            deviations = zeroed(looked_at, mean)
            for q, span in batch.spans:
                norms = shape.norms(conditional.whiteners[q, k], deviations[:, span])
                joint[k, span] = peaks[q, k] - 0.5 * norms
        return joint

    def _moments(
        self, looked_at: Array, batch: Batch, conditional: Conditional, responsibilities: Array
    ) -> Moments:
        return self.completion.moments(looked_at, batch, conditional, responsibilities)


class IncompletePacked(Incomplete):
    """About one (D,) centre for all components: two matrix products for each pattern."""

    def __init__(self, mixture: Mixture, centre: Array) -> None:
        super().__init__(mixture, np.broadcast_to(centre, mixture.means.shape))
        self.centre = centre

    def _look(self, rows: Array) -> Array:
        """Phi."""
        shape, (D, n_rows) = self.mixture.family.shape, rows.shape
        phi = np.empty((1 + D + shape.n_monomials(D), n_rows))
        phi[0] = 1.0
        phi[1 : 1 + D] = zeroed(rows, self.centre)
        shape.monomials(phi[1 : 1 + D], phi[1 + D :])
        return phi

    def _theta(self, conditional: Conditional) -> Array:
        """(Q, K, P): every component's coefficients in every pattern."""
        shape, observed = self.mixture.family.shape, conditional.observed
        (Q, D), K = observed.shape, self.mixture.n_components
        steps = observed[:, None, :] * (self.completion.means - self.centre)
        precisions = conditional.precisions.reshape(Q * K, *conditional.precisions.shape[2:])
        linear = shape.apply(precisions, steps.reshape(Q * K, D)).reshape(Q, K, D)
        linear *= observed[:, None, :]
        constant = self._peaks(conditional) - 0.5 * np.einsum("qkj,qkj->qk", linear, steps)
        quadratic = shape.coefficients(precisions).reshape(Q, K, -1)
        return np.concatenate((constant[..., None], linear, quadratic), axis=2)

    def _batch_joint(self, looked_at: Array, batch: Batch, conditional: Conditional) -> Array:
        theta = self._theta(conditional)
        joint = np.empty((theta.shape[1], looked_at.shape[1]))
        for q, span in batch.spans:
            np.matmul(theta[q], looked_at[:, span], out=joint[:, span])
        return joint

    def _moments(
        self, looked_at: Array, batch: Batch, conditional: Conditional, responsibilities: Array
    ) -> Moments:
        (Q, D), K = batch.observed.shape, len(responsibilities)
        sums = np.empty((Q, K, len(looked_at)))
        for q, span in batch.spans:
            np.matmul(responsibilities[:, span], looked_at[:, span].T, out=sums[q])
        monomials = sums[..., 1 + D :].reshape(Q * K, -1)
        elements = self.mixture.family.shape.from_monomials(monomials, D)
        scatter = elements.reshape(Q, K, *elements.shape[1:])
        seen = Moments(sums[..., 0], sums[..., 1 : 1 + D], scatter)
        return conditional.completed(seen, self.completion.means - self.centre)
