"""The exact form: every row centred on the mean it is compared with, component by component.

Nothing is expanded, so no digits are lost to far rows, far means or tiny covariances. Of a small
block all components are looked at in one call. `moments` is the form's second half, statistics from
responsibilities that are given; starts use it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from emgmm.covariances import Family
from emgmm.estep.base import EStep
from emgmm.estep.scratch import Scratch
from emgmm.estep.softmax import softmax
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.typing import Array

# A row with less than this of a component's largest responsibility in the block adds nothing to
# any digit of its sums. Well parted components share next to no rows.
NEGLIGIBLE = 1e-20

# Entries of a block, D x B. Smaller ones would stay in a core's own cache, but threads that take
# turns at Python want calls that last: on two, 1024 rows of 128 features were twice as fast as 256,
# and 16384 rows of 8 four times as fast as 512.
ENTRIES = 2**17

# Deviations, K x D x B, that are looked at in one call. It is calls that take the time where there
# are fewer: iris with 3 components takes half as long as component by component. With twice as many
# numbers nothing is gained.
TOGETHER = 3 * 2**12


def fits_in_one_batch(n_components: int, n_numbers: float) -> bool:
    """Whether all components of a table with so many numbers are looked at together."""
    return n_components * n_numbers <= TOGETHER


def groups(n_components: int, rows: Array) -> Iterator[slice]:
    """Components whose deviations from (D, B) rows are looked at in one call."""
    size = max(1, TOGETHER // max(1, rows.size))
    return (slice(k, k + size) for k in range(0, n_components, size))


def component_batches(rows: Array, responsibilities: Array) -> Iterator[tuple[Array, Array]]:
    """A (D, B) block and its (K, B) responsibilities in the parts that `moments` takes."""
    return ((rows, responsibilities[some]) for some in groups(len(responsibilities), rows))


def moments(
    parts: Iterable[tuple[Array, Array]], centres: Array, family: Family, scratch: Scratch
) -> tuple[Array, Array, Array]:
    """Mass, first_moment and scatter about (K, D) centres.

    Parameters
    ----------
    parts : pairs
        Rows (D, n), and their responsibilities (g, n) for the next g components, none negative.
    scratch : Scratch
        Where deviations may lie meanwhile.
    """
    counts, first_moment, elements, start = [], [], [], 0
    for rows, responsibilities in parts:
        own = slice(start, start + len(responsibilities))
        counts.append(responsibilities.sum(axis=1))
        if len(responsibilities) == 1:
            rows, responsibilities = _without_negligible(rows, responsibilities)
        size = (len(responsibilities), *rows.shape)
        deviations = scratch("deviations", size, np.result_type(rows, centres))
        np.subtract(rows, centres[own, :, None], out=deviations)
        first_moment.append(np.matmul(deviations, responsibilities[:, :, None])[:, :, 0])
        elements.append(family.structure.weigh(deviations, responsibilities))
        start = own.stop
    masses, drifts, scatters = (
        np.concatenate(part, dtype=np.float64) for part in (counts, first_moment, elements)
    )
    return masses, drifts, family.pool(scatters)


def _without_negligible(rows: Array, responsibilities: Array) -> tuple[Array, Array]:
    """The rows of one component, if it is but few that matter to it."""
    alone = responsibilities[0]
    matters = alone > NEGLIGIBLE * alone.max(initial=0.0)
    if 2 * np.count_nonzero(matters) < len(alone):
        return rows[:, matters], responsibilities[:, matters]
    return rows, responsibilities


class CentredEStep(EStep):
    """The exact form of a mixture's E-step.

    Parameters
    ----------
    mixture : Mixture
        Whose E-step.
    centres : (K, D), optional
        What the statistics are taken about; the mixture's means by default.
    dtype : float64 or float32
        Of all that is made of a block; blocks are added in float64. Means and centres are taken in
        it: where they are of no other type anyhow, rows near them are centred without an error.
    """

    def __init__(
        self, mixture: Mixture, centres: Array | None = None, dtype: Any = np.float64
    ) -> None:
        self.mixture = mixture
        self.means = mixture.means.astype(dtype)
        self.centres = self.means if centres is None else centres.astype(dtype, copy=False)
        self.log_peaks = mixture.log_peaks().astype(dtype, copy=False)
        self.precisions_cholesky = mixture.each_precision_cholesky.astype(dtype, copy=False)
        self.dtype = np.dtype(dtype)
        K, D = self.means.shape
        self.block_rows = max(256, min(ENTRIES // D, 8 * ENTRIES // (K + D), 32768))
        self._scratch = Scratch()

    def log_joint(self, rows: Array) -> Array:
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        log_joint = np.empty((self.mixture.n_lines, rows.shape[1]), self.dtype)
        components = log_joint[: self.mixture.n_components]
        for some in groups(len(self.means), rows):
            means = self.means[some, :, None]
            deviations = self._scratch("deviations", (len(means), *rows.shape), self.dtype)
            np.subtract(rows, means, out=deviations)
            components[some] = self.mixture.family.structure.squared_norms(
                self.precisions_cholesky[some], deviations
            )
        if not components.max(initial=0.0) < np.inf:
            self._far_norms(rows, components)
        components *= -0.5
        components += self.log_peaks[:, None]
        if self.mixture.noise is not None:
            log_joint[-1] = self.mixture.noise.log_joint(rows)
        return log_joint

    def _far_norms(self, rows: Array, norms: Array) -> None:
        """Squared distances in standard deviations again, of rows whose own squares overflow."""
        far = np.flatnonzero(np.logical_not(np.isfinite(norms).all(axis=0)))
        for k, mean in enumerate(self.means):
            deviations = rows[:, far] - mean[:, None]
            whitened = self.mixture.family.structure.whiten(self.precisions_cholesky[k], deviations)
            # What differs from both infinities is as far as can be.
            norms[k, far] = np.fmin(np.square(whitened, out=whitened).sum(axis=0), np.inf)

    def sums(self, block: Block) -> Statistics:
        rows = np.ascontiguousarray(block.rows, dtype=self.dtype)
        responsibilities = self.log_joint(rows)
        log_likelihood = block.total(softmax(responsibilities, self._scratch))
        if block.weights is not None:
            responsibilities *= block.weights
        held, astray = responsibilities[: len(self.means)], responsibilities[len(self.means) :]
        return Statistics(
            self.centres.astype(np.float64, copy=False),
            *moments(
                component_batches(rows, held), self.centres, self.mixture.family, self._scratch
            ),
            log_likelihood,
            block.weight,
            noise=float(astray.sum(dtype=float)),
        )

    def complete(self, sums: Statistics) -> Statistics:
        return sums
