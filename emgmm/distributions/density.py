"""The log-joint of complete rows, from the factors of the precisions."""

from __future__ import annotations

import numpy as np

from emgmm.mixture import Mixture
from emgmm.typing import Array


def log_joint_of_complete(mixture: Mixture, rows: Array) -> Array:
    """Return the log-joint of (n, D) rows without missing values, (n, K); with noise, (n, K + 1).

    It is that of `Mixture.log_joint`, without the search for patterns of missing values.
    """
    found = np.empty((len(rows), mixture.n_densities))
    means, factors = mixture.means.astype(np.float64), mixture.each_precision_cholesky
    log_peaks = mixture.log_peaks
    for k in range(mixture.n_components):
        with np.errstate(over="ignore"):
            deviations = np.ascontiguousarray((rows - means[k]).T)
            squares = mixture.family.structure.squared_norms(factors[k], deviations)
        found[:, k] = log_peaks[k] - 0.5 * squares
    if mixture.noise is not None:
        found[:, -1] = mixture.noise.log_joint(rows.T)
    return found
