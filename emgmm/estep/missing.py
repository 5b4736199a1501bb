"""The E-step of rows that miss some features: exact for what was observed, nothing filled in.

Rows of a block are grouped by their pattern of missing features, and the marginal mixture of each
pattern judges them. Under each component a row is completed by its conditional mean, and is then
like any other: its density there, times a constant of the pattern, is the marginal one. Expected
second moments get the conditional covariances on top, times what each component holds of a pattern.
All is computed about the components' own means, so that nothing is lost to far rows, far means or
tiny covariances.

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
from emgmm.estep.scratch import Scratch
from emgmm.estep.softmax import softmax
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.sources.patterns import by_codes, codes_of
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

# Deviations, K x D x B, of a block and of a batch: each of the few arrays of them takes 2 MB.
DEVIATIONS = 2**18

# Entries of the inverses of the patterns that are looked at together: with as many patterns as rows
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
    patterns : Patterns
        Their patterns.
    """

    place: Integers | slice
    rows: Array
    patterns: Patterns

    def about(self, centres: Array, out: Array) -> None:
        """Write rows less (K, D) centres into (K, D, n) `out`, 0 where something is missing."""
        missing = np.isnan(self.rows)
        np.subtract(np.where(missing, 0.0, self.rows), centres[:, :, None], out=out)
        out *= np.logical_not(missing).astype(float)


def batches(rows: Array, most_patterns: int, most_rows: int) -> Iterator[Batch]:
    """The (D, B) rows by their patterns, at most so many of these and of rows at a time."""
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
        stop = min(start + most_rows, int(ends[min(q + most_patterns, len(ends)) - 1]))
        span = slice(start, stop)
        inner = ends[q : np.searchsorted(ends, stop)]
        edges: Integers = np.concatenate(([start], inner, [stop]), dtype=np.intp) - start
        place = span if in_order else order[span]
        patterns = Patterns(missing[order[start + edges[:-1]]], edges)
        yield Batch(place, rows[:, place], patterns)
        start = stop


def counting(batch: Batch, weights: Array | None) -> tuple[Array | None, float]:
    """(n,) what each row counts, 0 where nothing was observed, None if all 1; and what those would.

    The pattern in which nothing is observed is the last, if any.
    """
    patterns = batch.patterns
    if not patterns.missing[-1].all():
        return None if weights is None else weights[batch.place], 0.0
    counts = np.ones(batch.rows.shape[1]) if weights is None else weights[batch.place].copy()
    silent = slice(patterns.edges[-2], None)
    unseen = float(counts[silent].sum())
    counts[silent] = 0.0
    return counts, unseen


class MissingEStep(EStep):
    """The E-step of rows that miss some features.

    Parameters
    ----------
    mixture : Mixture
        Whose E-step.
    centres : (K, D), optional
        What the statistics are taken about; the mixture's means by default.
    """

    def __init__(self, mixture: Mixture, centres: Array | None = None) -> None:
        self.mixture = mixture
        self.structure = mixture.family.structure
        self.means = mixture.means.astype(np.float64)
        self.centres = self.means if centres is None else centres
        self.precisions_cholesky = mixture.precision_cholesky_stack
        self.log_peaks = mixture.log_peaks()[:, None]
        K, D = self.means.shape
        self.conditioning = self.structure.conditioning(self.precisions_cholesky, D)
        self.most_patterns = max(1, BATCH_ENTRIES // (K * self.structure.n_monomials(D)))
        self.block_rows = max(256, min(DEVIATIONS // (K * D), 32768))
        self._scratch = Scratch()

    def _patterns(self, rows: Array) -> Iterator[tuple[Batch, Conditional]]:
        for batch in batches(rows, self.most_patterns, self.block_rows):
            yield batch, self.conditioning(batch.patterns)

    def log_joint(self, rows: Array) -> Array:
        joint = np.empty((self.mixture.n_lines, rows.shape[1]))
        for batch, conditional in self._patterns(rows):
            joint[:, batch.place] = self._joint(
                batch, conditional, self._completed(batch, conditional)
            )
        return joint

    def sums(self, block: Block) -> Statistics:
        total = self._nothing(block)
        for batch, conditional in self._patterns(block.rows):
            deviations = self._completed(batch, conditional)
            joint = self._joint(batch, conditional, deviations)
            weights, unseen = counting(batch, block.weights)
            each = softmax(joint)
            log_likelihood = float(each.sum() if weights is None else each @ weights)
            if weights is not None:
                joint *= weights
            held, astray = np.split(joint, [len(self.means)])
            part = self._statistics(held, deviations, conditional)
            total = total + replace(
                part, log_likelihood=log_likelihood, unseen=unseen, noise=float(astray.sum())
            )
        return total

    def statistics(self, block: Block, responsibilities: Array) -> Statistics:
        """Statistics under (K, B) responsibilities; the mixture judges only what is missing."""
        total = self._nothing(block)
        for batch, conditional in self._patterns(block.rows):
            weights, unseen = counting(batch, block.weights)
            held = responsibilities[:, batch.place]
            if weights is not None:
                held = held * weights
            part = self._statistics(held, self._completed(batch, conditional), conditional)
            total = total + replace(part, unseen=unseen)
        return total

    def complete(self, sums: Statistics) -> Statistics:
        return sums

    def _nothing(self, block: Block) -> Statistics:
        """Statistics of no rows, but for the block's weight."""
        K, D = self.means.shape
        scatter = np.zeros(self.mixture.family.pool(self.structure.outer(self.means)).shape)
        return Statistics(self.centres, np.zeros(K), np.zeros((K, D)), scatter, 0.0, block.weight)

    def _completed(self, batch: Batch, conditional: Conditional) -> Array:
        """(K, D, n): deviations from each mean of the rows completed by it."""
        size = (len(self.means), *batch.rows.shape)
        deviations = self._scratch("deviations", size)
        batch.about(self.means, deviations)
        conditional.complete(deviations)
        return deviations

    def _joint(self, batch: Batch, conditional: Conditional, deviations: Array) -> Array:
        """The log-joint of a batch of completed rows."""
        joint = self._scratch("joint", (self.mixture.n_lines, batch.rows.shape[1]))
        used = self._scratch("used", deviations.shape)
        np.copyto(used, deviations)
        of_components = joint[: len(self.means)]
        norms = self.structure.squared_norms(self.precisions_cholesky, used)
        # A norm that is not a number is of a row as far as can be.
        np.multiply(-0.5, np.fmin(norms, np.inf), out=of_components)
        of_components += batch.patterns.each_row(self.log_peaks + conditional.constants)
        if self.mixture.noise is not None:
            joint[-1] = self.mixture.noise.log_joint(batch.rows)
        return joint

    def _statistics(
        self, responsibilities: Array, deviations: Array, conditional: Conditional
    ) -> Statistics:
        """Of completed rows under (K, n) responsibilities, times weights."""
        pool = self.mixture.family.pool
        if self.centres is not self.means:
            deviations += (self.means - self.centres)[:, :, None]
        first_moment = np.matmul(deviations, responsibilities[:, :, None])[:, :, 0]
        scatter = self.structure.weigh(deviations, responsibilities)
        counts = conditional.patterns.sums(responsibilities)
        rest = pool(conditional.rest(counts))
        scatter = pool(scatter) + rest
        return Statistics(
            self.centres, counts.sum(axis=1), first_moment, scatter, 0.0, 0.0, conditional=rest
        )

    # -- filling in -----------------------------------------------------------------------------
    def conditional_means(self, rows: Array, responsibilities: Array) -> Array:
        """(D, B): rows with the conditional mean of what is missing, given (K, B) shares.

        Noise says nothing of what is missing: only the components share rows out.
        """
        whole = rows.astype(np.float64)
        for batch, conditional in self._patterns(rows):
            shares = responsibilities[:, batch.place]
            deviations = self._completed(batch, conditional)
            guess = np.einsum("kn,kjn->jn", shares, deviations) + self.means.T @ shares
            whole[:, batch.place] = np.where(np.isnan(batch.rows), guess, batch.rows)
        return whole

    def conditional_draws(self, rows: Array, components: Integers, noise: Array) -> Array:
        """(D, B): (D, B) standard normal noise as draws about the conditional means.

        Row i is taken to be of component components[i]; what was observed has no spread.
        """
        spread = np.zeros(rows.shape)
        for batch, conditional in self._patterns(rows):
            own, own_noise = components[batch.place], noise[:, batch.place]
            draws = np.zeros(own_noise.shape)
            for q, span in batch.patterns.spans:
                for k in np.unique(own[span]):
                    of_k = span.start + np.flatnonzero(own[span] == k)
                    draws[:, of_k] = conditional.draw(q, k, own_noise[:, of_k])
            spread[:, batch.place] = draws
        return spread
