"""The exact form: component by component, every row centred on the mean it is compared with.

Nothing is expanded, so no digits are lost to far rows, far means or tiny covariances. `moments` is
its second half, statistics from responsibilities that are given; starts use it too.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from emgmm.block import Block
from emgmm.expectation.form import Form
from emgmm.expectation.softmax import softmax
from emgmm.families import Family
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.typing import Array


def moments(
    parts: Iterable[tuple[Array, Array]], centres: Array, family: Family
) -> tuple[Array, Array, Array]:
    """Mass, drift and scatter about (K, D) centres.

    Parameters
    ----------
    parts : one pair for each component
        Its rows (D, n) and their responsibilities (n,).
    """
    mass, drift, scatters = [], [], []
    for centre, (rows, responsibilities) in zip(centres, parts, strict=True):
        deviations = rows - centre[:, None]
        mass.append(responsibilities.sum())
        drift.append(deviations @ responsibilities)
        scatters.append(family.shape.weigh(deviations, responsibilities))
    return np.array(mass), np.array(drift), family.pool(np.array(scatters))


class Exact(Form):
    """The exact form of a mixture's E-step.

    Parameters
    ----------
    mixture : Mixture
        Whose E-step.
    centres : (K, D), optional
        What the statistics are taken about; the mixture's means by default.
    """

    def __init__(self, mixture: Mixture, centres: Array | None = None) -> None:
        self.mixture = mixture
        self.means = mixture.means.astype(np.float64)
        self.centres = self.means if centres is None else centres
        self.log_peaks = mixture.log_peaks()
        self.whiteners = mixture.each_whitener

    def log_joint(self, rows: Array) -> Array:
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        log_joint = np.empty((self.mixture.n_components, rows.shape[1]))
        shape = self.mixture.family.shape
        for k, (mean, whitener) in enumerate(zip(self.means, self.whiteners, strict=True)):
            whitened = shape.whiten(whitener, rows - mean[:, None])
            np.einsum("jb,jb->b", whitened, whitened, out=log_joint[k])
        log_joint *= -0.5
        log_joint += self.log_peaks[:, None]
        return log_joint

    def statistics(self, block: Block) -> Statistics:
        rows = np.ascontiguousarray(block.rows, dtype=np.float64)
        responsibilities = self.log_joint(rows)
        log_likelihood = float(softmax(responsibilities).sum())
        parts = ((rows, own) for own in responsibilities)
        return Statistics(
            self.centres,
            *moments(parts, self.centres, self.mixture.family),
            log_likelihood,
            rows.shape[1],
        )

    def complete(self, statistics: Statistics) -> Statistics:
        return statistics
