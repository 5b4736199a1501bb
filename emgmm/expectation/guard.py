"""The guard's measure: how large the terms of a quadratic form are that the products add up."""

from __future__ import annotations

import numpy as np

from emgmm.mixture import Mixture
from emgmm.typing import Array


def magnitude_near(mixture: Mixture, offsets: Array | float, sds: float) -> float:
    """Largest term for vectors within `sds` standard deviations, and (K, D) offsets besides.

    Times the unit of rounding it bounds the error of any log-joint, to first order.
    """
    family, shape = mixture.family, mixture.family.shape
    covariances = family.stack(mixture.covariances)
    near = sds * np.sqrt(shape.variances(covariances, mixture.n_features))
    return float(shape.magnitude(mixture.whitener_stack, offsets + near).max())
