"""The exact form: component by component, every row centred on the mean it is compared with.

Nothing is expanded, so no digits are lost to far rows, far means or tiny covariances. `moments` is
its second half, statistics from responsibilities that are given; starts use it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from emgmm.block import Block
from emgmm.expectation.form import Form
from emgmm.expectation.scratch import Scratch
from emgmm.expectation.softmax import softmax
from emgmm.families import Family
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.typing import Array

# A row with less than this of a component's largest responsibility in the block adds nothing to
# any digit of its sums. Well parted components share next to no rows.
NEGLIGIBLE = 1e-20

# Entries of a block, D x B. Smaller ones would stay in a core's own cache, but threads that take
# turns at Python want calls that last: on two, 1024 rows of 128 features were twice as fast as 256,
# and 16384 rows of 8 four times as fast as 512.
ENTRIES = 2**17


def moments(
    parts: Iterable[tuple[Array, Array]], centres: Array, family: Family
) -> tuple[Array, Array, Array]:
    """Mass, drift and scatter about (K, D) centres.

    Parameters
    ----------
    parts : one pair for each component
        Its rows (D, n) and their responsibilities (n,), none negative.
    """
    mass, drift, scatters = [], [], []
    scratch = Scratch()
    for centre, (rows, responsibilities) in zip(centres, parts, strict=True):
        mass.append(responsibilities.sum())
        own = responsibilities > NEGLIGIBLE * responsibilities.max(initial=0.0)
        if 2 * np.count_nonzero(own) < len(responsibilities):
            rows, responsibilities = rows[:, own], responsibilities[own]
        deviations = scratch("deviations", rows.shape, np.result_type(rows, centre))
        np.subtract(rows, centre[:, None], out=deviations)
        drift.append(deviations @ responsibilities)
        scatters.append(family.shape.weigh(deviations, responsibilities))
    masses, drifts, elements = (np.array(part, np.float64) for part in (mass, drift, scatters))
    return masses, drifts, family.pool(elements)


class Exact(Form):
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
        self.whiteners = mixture.each_whitener.astype(dtype, copy=False)
        self.dtype = np.dtype(dtype)
        K, D = self.means.shape
        self.block_rows = max(256, min(ENTRIES // D, 8 * ENTRIES // (K + D), 32768))
        self._scratch = Scratch()

    def log_joint(self, rows: Array) -> Array:
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        log_joint = np.empty((self.mixture.n_lines, rows.shape[1]), self.dtype)
        components = log_joint[: self.mixture.n_components]
        deviations = self._scratch("deviations", rows.shape, self.dtype)
        shape = self.mixture.family.shape
        for k, (mean, whitener) in enumerate(zip(self.means, self.whiteners, strict=True)):
            np.subtract(rows, mean[:, None], out=deviations)
            components[k] = shape.norms(whitener, deviations)
        components *= -0.5
        components += self.log_peaks[:, None]
        if self.mixture.noise is not None:
            log_joint[-1] = self.mixture.noise.log_joint(rows)
        return log_joint

    def sums(self, block: Block) -> Statistics:
        rows = np.ascontiguousarray(block.rows, dtype=self.dtype)
        responsibilities = self.log_joint(rows)
        log_likelihood = block.total(softmax(responsibilities, self._scratch))
        if block.weights is not None:
            responsibilities *= block.weights
        held, astray = responsibilities[: len(self.means)], responsibilities[len(self.means) :]
        parts = ((rows, own) for own in held)
        return Statistics(
            self.centres.astype(np.float64, copy=False),
            *moments(parts, self.centres, self.mixture.family),
            log_likelihood,
            block.weight,
            noise=float(astray.sum(dtype=float)),
        )

    def complete(self, sums: Statistics) -> Statistics:
        return sums
