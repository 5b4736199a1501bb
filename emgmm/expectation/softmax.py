"""Log-sum-exp over components, in place: log-joint in, responsibilities out."""

from __future__ import annotations

import numpy as np

from emgmm.typing import Array

# exp of less than this is below 1e-304: no digit of a sum that has a 1 in it. Processors take four
# times as long over arguments whose exponential underflows.
FLOOR = -700.0


def softmax(log_joint: Array) -> Array:
    """Turn a (K, B) log-joint into responsibilities, in place.

    Returns
    -------
    (B,) array
        log p(x), the log-sum-exp of each column.

    References
    ----------
    Blanchard, Higham and Higham (2021), IMA J. Numer. Anal. 41:2311, doi 10.1093/imanum/draa038.
    """
    top = log_joint.max(axis=0)
    log_joint -= top
    np.maximum(log_joint, FLOOR, out=log_joint)
    np.exp(log_joint, out=log_joint)
    total = log_joint.sum(axis=0)
    log_joint *= 1.0 / total
    np.log(total, out=total)
    total += top
    return total
