"""The E-step of rows with missing values, which is exact for the observed ones.

The rows of a block are grouped by their pattern of missing features, and their log-joint is that of
the marginal mixture of the pattern. Under each component, a row is completed by its conditional
mean; its marginal density is then its density, multiplied by a constant of the pattern. The
expected second moments include the conditional covariances, weighted by the counts of each pattern.
Everything is computed about the components' own means, so that no digits are lost to distant rows,
distant means or tiny covariances.

References
----------
Ghahramani and Jordan (1994), Advances in Neural Information Processing Systems 6:120.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from emgmm.covariances import Conditional, Patterns
from emgmm.estep.base import EStep
from emgmm.estep.constrained import constrained_softmax
from emgmm.estep.scratch import Scratch
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.sources.known import Known
from emgmm.sources.patterns import by_codes, codes_of
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

# Number of deviations, K x D x B, of a block and of a batch: each array of them takes 2 MB.
DEVIATIONS = 2**18

# Number of entries of the matrices of patterns that are processed together. If every row has its
# own pattern, these matrices dominate the memory.
BATCH_ENTRIES = 2**20


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a block, sorted by pattern.

    Parameters
    ----------
    place : (n,) array of int or slice
        Positions of the rows in the block.
    rows : (D, n)
        The rows.
    patterns : Patterns
        Their patterns.
    """

    place: Integers | slice
    rows: Array
    patterns: Patterns

    def subtract(self, centres: Array, out: Array) -> None:
        """Write the rows minus each of (K, D) centres into `out`, (K, D, n), with 0 for NaN."""
        missing = np.isnan(self.rows)
        np.subtract(np.where(missing, 0.0, self.rows), centres[:, :, None], out=out)
        out *= np.logical_not(missing).astype(float)

    def effective_weights(self, weights: Array | None) -> tuple[Array | None, float]:
        """Return the weights of the rows, given those of the block, and the unobserved weight.

        Rows without any observed feature get a weight of 0; the second result is their total
        weight. None stands for weights of 1.
        """
        patterns = self.patterns
        if not patterns.missing[-1].all():  # the pattern without observed features is the last
            return None if weights is None else weights[self.place], 0.0
        own = np.ones(self.rows.shape[1]) if weights is None else weights[self.place].copy()
        unobserved = slice(patterns.edges[-2], None)
        total = float(own[unobserved].sum())
        own[unobserved] = 0.0
        return own, total

    def effective_known(self, known: Known | None) -> Known | None:
        """Return what is known of the rows, given that of the block.

        It is ignored for rows without any observed feature, which may be impossible under it.
        """
        if known is None:
            return None
        known, patterns = known.take(self.place), self.patterns
        return known.without(patterns.edges[-2]) if patterns.missing[-1].all() else known


def batches(rows: Array, max_patterns: int, max_rows: int) -> Iterator[Batch]:
    """Yield the (D, B) rows sorted by pattern, in batches of limited size."""
    missing = np.isnan(rows.T)
    codes = codes_of(missing)
    order = by_codes(codes)
    in_order = bool((order[1:] > order[:-1]).all())
    if not in_order:
        codes = codes[order]
    new = (codes[1:] != codes[:-1]).any(axis=1)
    ends = np.append(1 + np.flatnonzero(new), len(order))  # of patterns
    start = 0
    while start < len(order):
        q = int(np.searchsorted(ends, start, side="right"))
        stop = min(start + max_rows, int(ends[min(q + max_patterns, len(ends)) - 1]))
        span = slice(start, stop)
        inner = ends[q : np.searchsorted(ends, stop)]
        edges: Integers = np.concatenate(([start], inner, [stop]), dtype=np.intp) - start
        place = span if in_order else order[span]
        patterns = Patterns(missing[order[start + edges[:-1]]], edges)
        yield Batch(place, rows[:, place], patterns)
        start = stop


class MissingEStep(EStep):
    """The E-step of rows with missing values.

    Parameters
    ----------
    mixture : Mixture
        The mixture.
    centres : (K, D), optional
        Points about which the statistics are computed; the mixture's means by default.
    """

    def __init__(self, mixture: Mixture, centres: Array | None = None) -> None:
        self.mixture = mixture
        self.structure = mixture.family.structure
        self.means = mixture.means.astype(np.float64)
        self.centres = self.means if centres is None else centres
        self.precisions_cholesky = mixture.precision_cholesky_stack
        self.log_peaks = mixture.log_peaks[:, None]
        K, D = self.means.shape
        self.conditioning = self.structure.conditioning(self.precisions_cholesky, D)
        self.max_patterns = max(1, BATCH_ENTRIES // (K * self.structure.n_monomials(D)))
        self.block_rows = max(256, min(DEVIATIONS // (K * D), 32768))
        self._scratch = Scratch()

    def _batches(self, rows: Array) -> Iterator[tuple[Batch, Conditional]]:
        """Yield batches of rows with the conditional distributions of their patterns."""
        for batch in batches(rows, self.max_patterns, self.block_rows):
            yield batch, self.conditioning(batch.patterns)

    def log_joint(self, rows: Array) -> Array:
        log_joint = np.empty((self.mixture.n_densities, rows.shape[1]))
        for batch, conditional in self._batches(rows):
            deviations = self._completed(batch, conditional)
            log_joint[:, batch.place] = self._batch_log_joint(batch, conditional, deviations)
        return log_joint

    def sums(self, block: Block) -> Statistics:
        total = self._empty_statistics(block)
        for batch, conditional in self._batches(block.rows):
            deviations = self._completed(batch, conditional)
            responsibilities = self._batch_log_joint(batch, conditional, deviations)
            weights, unseen = batch.effective_weights(block.weights)
            log_densities = constrained_softmax(
                responsibilities, batch.effective_known(block.known)
            )
            log_likelihood = float(
                log_densities.sum() if weights is None else log_densities @ weights
            )
            if weights is not None:
                responsibilities *= weights
            components, noise = np.split(responsibilities, [len(self.means)])
            part = self._batch_statistics(components, deviations, conditional)
            total = total + replace(
                part, log_likelihood=log_likelihood, unseen=unseen, noise=float(noise.sum())
            )
        return total

    def statistics(self, block: Block, responsibilities: Array) -> Statistics:
        """Return statistics under given (K, B) responsibilities.

        The mixture only determines the conditional distributions of missing values.
        """
        total = self._empty_statistics(block)
        for batch, conditional in self._batches(block.rows):
            weights, unseen = batch.effective_weights(block.weights)
            own = responsibilities[:, batch.place]
            if weights is not None:
                own = own * weights
            deviations = self._completed(batch, conditional)
            part = self._batch_statistics(own, deviations, conditional)
            total = total + replace(part, unseen=unseen)
        return total

    def _empty_statistics(self, block: Block) -> Statistics:
        """Return statistics of no rows, but with the block's weight."""
        K, D = self.means.shape
        scatter = np.zeros(self.mixture.family.pool(self.structure.outer(self.means)).shape)
        return Statistics(self.centres, np.zeros(K), np.zeros((K, D)), scatter, 0.0, block.weight)

    def _completed(self, batch: Batch, conditional: Conditional) -> Array:
        """Return the deviations of completed rows from each mean, (K, D, n)."""
        size = (len(self.means), *batch.rows.shape)
        deviations = self._scratch("deviations", size)
        batch.subtract(self.means, deviations)
        conditional.complete(deviations)
        return deviations

    def _batch_log_joint(self, batch: Batch, conditional: Conditional, deviations: Array) -> Array:
        """Return the log-joint, (K, n), given the deviations of completed rows."""
        log_joint = self._scratch("log_joint", (self.mixture.n_densities, batch.rows.shape[1]))
        overwritten = self._scratch("overwritten", deviations.shape)
        np.copyto(overwritten, deviations)
        squared_norms = self.structure.squared_norms(self.precisions_cholesky, overwritten)
        components = log_joint[: len(self.means)]
        # NaN, the norm of an infinite deviation, is replaced by an infinite distance.
        np.multiply(-0.5, np.fmin(squared_norms, np.inf), out=components)
        components += batch.patterns.each_row(self.log_peaks + conditional.constants)
        if self.mixture.noise is not None:
            log_joint[-1] = self.mixture.noise.log_joint(batch.rows)
        return log_joint

    def _batch_statistics(
        self, responsibilities: Array, deviations: Array, conditional: Conditional
    ) -> Statistics:
        """Return statistics of completed rows under (K, n) weighted responsibilities."""
        pool = self.mixture.family.pool
        if self.centres is not self.means:
            deviations += (self.means - self.centres)[:, :, None]
        first_moment = np.matmul(deviations, responsibilities[:, :, None])[:, :, 0]
        scatter = self.structure.weigh(deviations, responsibilities)
        counts = conditional.patterns.sums(responsibilities)
        conditional_scatter = pool(conditional.scatter(counts))
        return Statistics(
            self.centres,
            counts.sum(axis=1),
            first_moment,
            pool(scatter) + conditional_scatter,
            0.0,
            0.0,
            conditional=conditional_scatter,
        )

    # -- imputation -----------------------------------------------------------------------------
    def conditional_means(self, rows: Array, responsibilities: Array) -> Array:
        """Return the (D, B) rows with missing values replaced by their conditional means.

        The (K, B) responsibilities are those of the components, as if there were no noise, which
        does not predict missing values.
        """
        imputed = rows.astype(np.float64)
        for batch, conditional in self._batches(rows):
            own = responsibilities[:, batch.place]
            deviations = self._completed(batch, conditional)
            means = np.einsum("kn,kjn->jn", own, deviations) + self.means.T @ own
            imputed[:, batch.place] = np.where(np.isnan(batch.rows), means, batch.rows)
        return imputed

    def conditional_draws(self, rows: Array, components: Integers, noise: Array) -> Array:
        """Transform standard normal noise, (D, B), into draws about the conditional means.

        Row i is drawn from component components[i]; the draws of observed features are 0.
        """
        draws = np.zeros(rows.shape)
        for batch, conditional in self._batches(rows):
            own, own_noise = components[batch.place], noise[:, batch.place]
            own_draws = np.zeros(own_noise.shape)
            for q, span in batch.patterns.spans:
                for k in np.unique(own[span]):
                    of_k = span.start + np.flatnonzero(own[span] == k)
                    own_draws[:, of_k] = conditional.draw(q, k, own_noise[:, of_k])
            draws[:, batch.place] = own_draws
        return draws
