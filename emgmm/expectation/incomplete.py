"""The E-step of rows that miss some features: exact for what was observed, nothing filled in.

Rows of a block are grouped by their pattern of missing features, and the marginal mixture of each
pattern judges them. What `emgmm.families.conditional` knows of a pattern and a component serves all
its rows: the gain that completes a row by its conditional mean, and the rest, the conditional
covariance, of which the expected second moments get the pattern's mass.

Two forms, as for complete rows. `IncompleteExact` completes the rows component by component, about
the component's own mean, and goes on as `Exact` does. `IncompletePacked` sets what is missing to
one centre for all components: the two matrix products are those of complete rows, and each pattern
corrects what they say of its rows.

References
----------
Ghahramani and Jordan (1994), Advances in Neural Information Processing Systems 6:120.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emgmm.block import Block
from emgmm.expectation.form import Form
from emgmm.expectation.packed import ENTRIES
from emgmm.expectation.scratch import Scratch
from emgmm.expectation.softmax import softmax
from emgmm.families import Conditional, Shape
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

# Entries of the matrices of the patterns that are looked at together: with as many patterns as rows
# they, not the rows, are what memory holds.
BATCH_ENTRIES = 2**20


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a block, those with one pattern side by side.

    Parameters
    ----------
    place : (n,) integers or slice
        Where they stand in the block.
    rows : (D, n)
        The rows.
    edges : list of int
        Pattern q has the columns edges[q] to edges[q + 1].
    missing : (Q, D) of bool
        The patterns.
    """

    place: Integers | slice
    rows: Array
    edges: list[int]
    missing: NDArray[np.bool_]

    @property
    def spans(self) -> Iterator[tuple[int, slice]]:
        """Each pattern and its columns."""
        return ((q, slice(a, b)) for q, (a, b) in enumerate(pairwise(self.edges)))

    def mass(self, responsibilities: Array) -> Array:
        """(Q, K): what components hold of each pattern."""
        return np.add.reduceat(responsibilities, self.edges[:-1], axis=1).T

    def about(self, centre: Array, out: Array) -> None:
        """Write rows less a (D,) centre into (D, n) `out`, 0 where something is missing."""
        np.subtract(self.rows, centre[:, None], out=out)
        for q, span in self.spans:
            out[self.missing[q], span] = 0.0


def codes_of(missing: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """(B, n) integers for (B, D) patterns; more missing is more, so all is the largest."""
    packed = np.packbits(missing, axis=1)
    n_rows, n_bytes = packed.shape
    codes = np.zeros((n_rows, -(-n_bytes // 8) * 8), dtype=np.uint8)
    codes[:, :n_bytes] = packed
    return codes.view(np.uint64)


def by_codes(codes: NDArray[np.uint64]) -> Integers:
    """(B,): the order in which equal codes stand side by side."""
    first = codes[:, 0]
    if codes.shape[1] == 1 and (first[1:] >= first[:-1]).all():  # a source has sorted them
        return np.arange(len(codes))
    return np.lexsort(codes.T)


def by_pattern(rows: Array) -> Integers:
    """(N,): numbers of (N, D) rows, those that miss the same features side by side."""
    return by_codes(codes_of(np.isnan(rows)))


def batches(rows: Array, most: int) -> Iterator[Batch]:
    """The (D, B) rows by their patterns, at most so many of these at a time."""
    missing = np.isnan(rows.T)
    codes = codes_of(missing)
    order = by_codes(codes)
    in_order = bool((order[1:] > order[:-1]).all())
    if not in_order:
        codes = codes[order]
    new = (codes[1:] != codes[:-1]).any(axis=1)
    edges = np.concatenate(([0], 1 + np.flatnonzero(new), [len(order)]))
    patterns = missing[order[edges[:-1]]]
    for q in range(0, len(patterns), most):
        some = edges[q : q + most + 1]
        span = slice(int(some[0]), int(some[-1]))
        place = span if in_order else order[span]
        yield Batch(place, rows[:, place], (some - some[0]).tolist(), patterns[q : q + most])


def counting(batch: Batch, weights: Array | None) -> tuple[Array | None, float]:
    """(n,) what each row counts, 0 where nothing was observed, None if all 1; and what those would.

    The pattern in which nothing is observed is the last, if any.
    """
    if not batch.missing[-1].all():
        return None if weights is None else weights[batch.place], 0.0
    counts = np.ones(batch.rows.shape[1]) if weights is None else weights[batch.place].copy()
    silent = slice(batch.edges[-2], None)
    unseen = float(counts[silent].sum())
    counts[silent] = 0.0
    return counts, unseen


def most_patterns(shape: Shape, n_components: int, n_features: int) -> int:
    """So many patterns at a time."""
    entries = n_components * shape.n_monomials(n_features)
    return max(1, min(4096, BATCH_ENTRIES // entries))


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
        self.mixture = mixture
        self.shape = mixture.family.shape
        self.means = mixture.means.astype(np.float64)
        self.centres = centres
        self.whiteners = mixture.each_whitener
        self.precisions = self.shape.precisions(self.whiteners)
        self.log_peaks = mixture.log_peaks()
        K, D = self.means.shape
        self.most_patterns = most_patterns(self.shape, K, D)
        self._scratch = Scratch()
        entries = 1 + D + self.shape.n_monomials(D)
        self.block_rows = max(512, min(ENTRIES // (entries + 2 * K), 32768))

    def _patterns(self, rows: Array) -> Iterator[tuple[Batch, Conditional]]:
        for batch in batches(rows, self.most_patterns):
            yield batch, self.shape.condition(self.precisions, batch.missing)

    def log_joint(self, rows: Array) -> Array:
        joint = np.empty((self.mixture.n_lines, rows.shape[1]))
        for batch, conditional in self._patterns(rows):
            joint[:, batch.place], _ = self._judged(batch, conditional)
        return joint

    def sums(self, block: Block) -> Statistics:
        total = self._nothing(block)
        for batch, conditional in self._patterns(block.rows):
            joint, looked_at = self._judged(batch, conditional)
            weights, unseen = counting(batch, block.weights)
            each = softmax(joint)
            log_likelihood = float(each.sum() if weights is None else each @ weights)
            if weights is not None:
                joint *= weights
            held, astray = np.split(joint, [len(self.means)])
            part = self._statistics(held, looked_at, batch, conditional)
            total = total + replace(
                part, log_likelihood=log_likelihood, unseen=unseen, noise=float(astray.sum())
            )
        return total

    def _judged(self, batch: Batch, conditional: Conditional) -> tuple[Array, Array]:
        """(K, n): the log-joint; and what of the rows the moments will be taken from."""
        joint = self._scratch("joint", (self.mixture.n_lines, batch.rows.shape[1]))
        looked_at = self._judge(joint[: len(self.means)], batch, conditional)
        if self.mixture.noise is not None:
            joint[-1] = self.mixture.noise.log_joint(batch.rows)
        return joint, looked_at

    def _nothing(self, block: Block) -> Statistics:
        """Statistics of no rows, but for the block's weight."""
        K, D = self.means.shape
        scatter = self.mixture.family.pool(np.zeros(self.precisions.shape))
        return Statistics(self.centres, np.zeros(K), np.zeros((K, D)), scatter, 0.0, block.weight)

    def _statistics(
        self, responsibilities: Array, looked_at: Array, batch: Batch, conditional: Conditional
    ) -> Statistics:
        """Of a batch under (K, n) responsibilities, times weights."""
        drift, scatter = self._moments(responsibilities, looked_at, batch, conditional)
        mass = batch.mass(responsibilities)
        scatter = self.mixture.family.pool(scatter + conditional.rest(mass))
        return Statistics(self.centres, mass.sum(axis=0), drift, scatter, 0.0, 0.0)

    def complete(self, sums: Statistics) -> Statistics:
        return sums

    @abstractmethod
    def _judge(self, joint: Array, batch: Batch, conditional: Conditional) -> Array:
        """Write the components' log-joint; what comes back the moments will be taken from."""

    @abstractmethod
    def _moments(
        self, responsibilities: Array, looked_at: Array, batch: Batch, conditional: Conditional
    ) -> tuple[Array, Array]:
        """(K, D) drifts and K scatters about the centres of completed rows, without the rest."""

    # -- filling in -----------------------------------------------------------------------------
    def expected(self, rows: Array, responsibilities: Array) -> Array:
        """(D, B): rows with the conditional mean of what is missing, given (K, B) shares.

        Noise says nothing of what is missing: only the components share rows out.
        """
        whole = rows.astype(np.float64)
        for batch, conditional in self._patterns(rows):
            shares = responsibilities[:, batch.place]
            guess = np.zeros(batch.rows.shape)
            for k, mean in enumerate(self.means):
                deviations = np.empty(batch.rows.shape)
                batch.about(mean, deviations)
                conditional.complete(k, deviations, batch.spans)
                guess += shares[k] * (deviations + mean[:, None])
            whole[:, batch.place] = np.where(np.isnan(batch.rows), guess, batch.rows)
        return whole

    def spread(self, rows: Array, components: Integers, noise: Array) -> Array:
        """(D, B): (D, B) standard normal noise as draws about the conditional means.

        Row i is taken to be of component components[i]; what was observed has no spread.
        """
        spread = np.zeros(rows.shape)
        for batch, conditional in self._patterns(rows):
            own, own_noise = components[batch.place], noise[:, batch.place]
            draws = np.zeros(own_noise.shape)
            for q, span in batch.spans:
                for k in np.unique(own[span]):
                    of_k = span.start + np.flatnonzero(own[span] == k)
                    draws[:, of_k] = conditional.draw(q, k, own_noise[:, of_k])
            spread[:, batch.place] = draws
        return spread


class IncompleteExact(Incomplete):
    """Component by component, every row completed and compared with the mean."""

    def __init__(self, mixture: Mixture, centres: Array | None = None) -> None:
        super().__init__(mixture, mixture.means.astype(np.float64) if centres is None else centres)

    def given(self, block: Block, responsibilities: Array) -> Statistics:
        """Statistics under (K, B) responsibilities; the mixture judges only what is missing."""
        total = self._nothing(block)
        for batch, conditional in self._patterns(block.rows):
            weights, unseen = counting(batch, block.weights)
            held = responsibilities[:, batch.place]
            if weights is not None:
                held = held * weights
            part = self._statistics(held, batch.rows, batch, conditional)
            total = total + replace(part, unseen=unseen)
        return total

    def _judge(self, joint: Array, batch: Batch, conditional: Conditional) -> Array:
        for k, whitener in enumerate(self.whiteners):
            deviations = self._completed(k, batch, conditional)
            joint[k] = -0.5 * self.shape.norms(whitener, deviations)
        joint += self.log_peaks[:, None]
        for q, span in batch.spans:
            joint[:, span] += conditional.constants[q][:, None]
        return batch.rows

    def _completed(self, k: int, batch: Batch, conditional: Conditional) -> Array:
        """(D, n): deviations from mean k of the rows completed by it."""
        deviations = self._scratch("deviations", batch.rows.shape)
        batch.about(self.means[k], deviations)
        conditional.complete(k, deviations, batch.spans)
        return deviations

    def _moments(
        self,
        responsibilities: Array,
        looked_at: Array,  # noqa: ARG002
        batch: Batch,
        conditional: Conditional,
    ) -> tuple[Array, Array]:
        drift, scatter = np.empty(self.means.shape), np.empty(self.precisions.shape)
        for k, shares in enumerate(responsibilities):
            deviations = self._completed(k, batch, conditional)
            deviations += (self.means[k] - self.centres[k])[:, None]
            drift[k] = deviations @ shares
            scatter[k] = self.shape.weigh(deviations, shares)
        return drift, scatter


class IncompletePacked(Incomplete):
    """About one (D,) centre for all components: the two matrix products of complete rows."""

    def __init__(self, mixture: Mixture, centre: Array) -> None:
        super().__init__(mixture, np.broadcast_to(centre, mixture.means.shape))
        self.centre = centre
        self.steps = self.means - centre
        linear = self.shape.apply(self.precisions, self.steps)
        constant = self.log_peaks - 0.5 * np.einsum("kj,kj->k", linear, self.steps)
        quadratic = self.shape.coefficients(self.precisions)
        self.theta = np.concatenate((constant[:, None], linear, quadratic), axis=1)

    def _judge(self, joint: Array, batch: Batch, conditional: Conditional) -> Array:
        D, n_rows = batch.rows.shape
        phi = self._scratch("phi", (self.theta.shape[1], n_rows))
        phi[0] = 1.0
        batch.about(self.centre, phi[1 : 1 + D])
        self.shape.monomials(phi[1 : 1 + D], phi[1 + D :])
        np.matmul(self.theta, phi, out=joint)
        conditional.marginalise(joint, self.steps, phi[1 : 1 + D], batch.spans)
        return phi

    def _moments(
        self, responsibilities: Array, looked_at: Array, batch: Batch, conditional: Conditional
    ) -> tuple[Array, Array]:
        D = len(batch.rows)
        sums = responsibilities @ looked_at.T
        centred = looked_at[1 : 1 + D]
        drift, scatter = conditional.shifts(responsibilities, self.steps, centred, batch.spans)
        return drift + sums[:, 1 : 1 + D], scatter + self.shape.from_monomials(sums[:, 1 + D :], D)
