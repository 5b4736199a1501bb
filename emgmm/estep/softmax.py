"""The log-sum-exp over components, in place: from the log-joint to responsibilities."""

from __future__ import annotations

from functools import partial

import numpy as np

from emgmm.estep.scratch import Scratch
from emgmm.typing import Array

# Arguments of exp are raised to a floor, because processors are four times slower if the result
# underflows. exp(FLOOR) is below 1e-304, and 1e-34 in float32, which does not affect a sum that
# includes a 1. It is subtracted afterwards, so that such a responsibility is exactly 0.
FLOOR = -700.0
FLOOR_SINGLE = -80.0

# By type: the floor, its exponential, and the smallest number, which replaces a maximum of -inf.
LIMITS = {
    np.dtype(kind): (kind(floor), np.exp(kind(floor)), np.finfo(kind).min)
    for kind, floor in ((np.float64, FLOOR), (np.float32, FLOOR_SINGLE))
}


def softmax(log_joint: Array, scratch: Scratch | None = None) -> Array:
    """Turn the log-joint of a block into responsibilities, in place.

    Parameters
    ----------
    log_joint : (K, B) array of float64 or float32
        The log-joint, which is overwritten.
    scratch : Scratch, optional
        Work arrays, one of which holds the result.

    Returns
    -------
    (B,) array
        log p(x), the log-sum-exp of each column. It is -inf, and the responsibilities are 0, where
        a column is -inf.

    References
    ----------
    Blanchard, Higham and Higham (2021), IMA J. Numer. Anal. 41:2311, doi 10.1093/imanum/draa038.
    """
    floor, exp_floor, least = LIMITS[log_joint.dtype]
    if len(log_joint) == 1:  # the responsibility is 1, or 0 for a log-joint of -inf
        single: Array = log_joint[0].copy()
        log_joint -= np.maximum(single, least)
        log_joint += 1.0
        np.maximum(log_joint, 0.0, out=log_joint)
        return single
    allocate = np.empty if scratch is None else partial(scratch, "softmax")
    top, total, scale = allocate((3, log_joint.shape[1]), log_joint.dtype)
    np.maximum.reduce(log_joint, out=top)
    np.maximum(top, least, out=top)
    log_joint -= top
    # This test is cheaper than the maximum. NaN counts as an underflow.
    underflows = not np.minimum.reduce(log_joint, axis=None) >= floor
    if underflows:
        np.maximum(log_joint, floor, out=log_joint)
    np.exp(log_joint, out=log_joint)
    np.add.reduce(log_joint, out=total)
    if underflows:
        log_joint -= exp_floor
    log_joint *= np.divide(1.0, total, out=scale)
    if underflows:
        top[(top == least) & (total < 0.5)] = -np.inf  # any other total includes exp(0) = 1
    np.log(total, out=total)
    total += top
    return total
