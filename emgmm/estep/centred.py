"""The centred E-step: rows are centred on the mean of each component before they are squared.

Nothing is expanded, so that no digits are lost to distant rows, distant means or tiny covariances.
For a small block, several components are processed in one call. `moments`, the second half of the
E-step, computes statistics from given responsibilities; initialization uses it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from emgmm.covariances import Family
from emgmm.estep.base import EStep
from emgmm.estep.constrained import constrained_softmax
from emgmm.estep.scratch import Scratch
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.typing import Array

# A row is left out of a component's sums if its responsibility is below this fraction of the
# component's largest one in the block. Well-separated components have hardly any rows in common.
NEGLIGIBLE = 1e-20

# Number of entries of a block, D x B. Smaller blocks would fit into a core's own cache, but threads
# that compete for Python's interpreter lock need calls that last longer.
ENTRIES = 2**17

# Maximum number of deviations, K x D x B, that are computed in one call. Up to this size the
# overhead of calls dominates; beyond it nothing is gained.
TOGETHER = 3 * 2**12

# Number of deviations up to which a new array takes less time than a work array.
FEW = 2**10


def fits_in_one_batch(n_components: int, n_entries: float) -> bool:
    """Return whether the deviations of all components from D x B entries are computed at once."""
    return n_components * n_entries <= TOGETHER


def batches_of_components(n_components: int, rows: Array) -> Iterator[slice]:
    """Yield slices of components whose deviations from (D, B) rows are computed in one call."""
    size = max(1, TOGETHER // max(1, rows.size))
    return (slice(k, k + size) for k in range(0, n_components, size))


def component_batches(rows: Array, responsibilities: Array) -> Iterator[tuple[Array, Array]]:
    """Yield the rows of a block, (D, B), with responsibilities of consecutive components.

    The responsibilities, (K, B), are divided into the batches that `moments` expects.
    """
    batches = batches_of_components(len(responsibilities), rows)
    return ((rows, responsibilities[batch]) for batch in batches)


def deviations_from(centres: Array, rows: Array, scratch: Scratch) -> Array:
    """Return (D, n) rows minus each of g centres, (g, D, n), in a work array."""
    size = (len(centres), *rows.shape)
    out = scratch("deviations", size, np.result_type(rows, centres))
    return np.subtract(rows, centres[:, :, None], out=out)


def moments(
    batches: Iterable[tuple[Array, Array]], centres: Array, family: Family, scratch: Scratch
) -> tuple[Array, Array, Array]:
    """Return the counts, first moments and scatter about (K, D) centres.

    Parameters
    ----------
    batches : iterable of pairs
        Rows (D, n), and their non-negative responsibilities (g, n) for the next g components.
    centres : (K, D)
        Points about which the moments are computed.
    family : Family
        Family of the scatter.
    scratch : Scratch
        Work arrays.
    """
    counts, first_moments, scatters, start = [], [], [], 0
    for rows, responsibilities in batches:
        components = slice(start, start + len(responsibilities))
        counts.append(responsibilities.sum(axis=1))
        if len(responsibilities) == 1:
            matters = responsibilities[0] > NEGLIGIBLE * responsibilities.max(initial=0.0)
            if 2 * np.count_nonzero(matters) < len(matters):
                rows, responsibilities = rows[:, matters], responsibilities[:, matters]
        deviations = deviations_from(centres[components], rows, scratch)
        first_moments.append(np.matmul(deviations, responsibilities[:, :, None])[:, :, 0])
        scatters.append(family.structure.weigh(deviations, responsibilities))
        start = components.stop
    count, first_moment, scatter = (
        np.concatenate(parts, dtype=np.float64) for parts in (counts, first_moments, scatters)
    )
    return count, first_moment, family.pool(scatter)


class CentredEStep(EStep):
    """The centred E-step of a mixture.

    Parameters
    ----------
    mixture : Mixture
        The mixture.
    centres : (K, D), optional
        Points about which the statistics are computed; the mixture's means by default.
    dtype : float64 or float32
        Type of all arrays of a block, to which means and centres are rounded. Sums over blocks are
        in float64. If rows and means have this type already, rows close to a mean are centred
        without rounding error.
    """

    def __init__(
        self, mixture: Mixture, centres: Array | None = None, dtype: Any = np.float64
    ) -> None:
        self.mixture = mixture
        self.means = mixture.means.astype(dtype)
        self.centres = self.means if centres is None else centres.astype(dtype, copy=False)
        self.log_peaks = mixture.log_peaks.astype(dtype, copy=False)
        self.precisions_cholesky = mixture.each_precision_cholesky.astype(dtype, copy=False)
        self.dtype = np.dtype(dtype)
        K, D = self.means.shape
        self.block_rows = max(256, min(ENTRIES // D, 8 * ENTRIES // (K + D), 32768))
        self._scratch = Scratch()

    def log_joint(self, rows: Array) -> Array:
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        log_joint = np.empty((self.mixture.n_densities, rows.shape[1]), self.dtype)
        components = log_joint[: self.mixture.n_components]
        squared_norms = self.mixture.family.structure.squared_norms
        if len(self.means) * rows.size <= FEW:
            deviations = rows - self.means[:, :, None]
            components[:] = squared_norms(self.precisions_cholesky, deviations)
        else:
            for batch in batches_of_components(len(self.means), rows):
                deviations = deviations_from(self.means[batch], rows, self._scratch)
                components[batch] = squared_norms(self.precisions_cholesky[batch], deviations)
        if not np.maximum.reduce(components, axis=None, initial=0.0) < np.inf:
            self._recompute_overflowed(rows, components)
        components *= -0.5
        components += self.log_peaks[:, None]
        if self.mixture.noise is not None:
            log_joint[-1] = self.mixture.noise.log_joint(rows)
        return log_joint

    def _recompute_overflowed(self, rows: Array, squared_norms: Array) -> None:
        """Replace overflowed squared norms by those of deviations that are whitened first."""
        far = np.flatnonzero(np.logical_not(np.isfinite(squared_norms).all(axis=0)))
        for k, mean in enumerate(self.means):
            deviations = rows[:, far] - mean[:, None]
            whitened = self.mixture.family.structure.whiten(self.precisions_cholesky[k], deviations)
            # NaN, the difference of two infinities, is replaced by an infinite distance.
            norms = np.square(whitened, out=whitened).sum(axis=0)
            squared_norms[k, far] = np.fmin(norms, np.inf)

    def sums(self, block: Block) -> Statistics:
        rows = np.ascontiguousarray(block.rows, dtype=self.dtype)
        responsibilities = self.log_joint(rows)
        log_likelihood = block.total(
            constrained_softmax(responsibilities, block.known, self._scratch)
        )
        if block.weights is not None:
            responsibilities *= block.weights
        K = len(self.means)
        batches = component_batches(rows, responsibilities[:K])
        return Statistics(
            self.centres.astype(np.float64, copy=False),
            *moments(batches, self.centres, self.mixture.family, self._scratch),
            log_likelihood,
            block.weight,
            noise=float(responsibilities[K:].sum(dtype=float)),
        )
