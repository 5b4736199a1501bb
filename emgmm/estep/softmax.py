"""Log-sum-exp over components, in place: log-joint in, responsibilities out."""

from __future__ import annotations

import numpy as np

from emgmm.estep.scratch import Scratch
from emgmm.typing import Array

# exp of less than this is below 1e-304, in float32 1e-34: no digit of a sum that has a 1 in it.
# Processors take four times as long over arguments whose exponential underflows, so they are raised
# to here, and what they then have too much is taken off again: a row that is out of reach has a
# share of exactly 0.
FLOOR = -700.0
FLOOR_SINGLE = -80.0

# By type: the floor, its exponential, and what stands for a top of -inf.
LIMITS = {
    np.dtype(kind): (kind(floor), np.exp(kind(floor)), np.finfo(kind).min)
    for kind, floor in ((np.float64, FLOOR), (np.float32, FLOOR_SINGLE))
}


def softmax(log_joint: Array, scratch: Scratch | None = None) -> Array:
    """Turn a (K, B) log-joint, float64 or float32, into responsibilities, in place.

    Parameters
    ----------
    log_joint : (K, B)
        Of a block.
    scratch : Scratch, optional
        Where what comes back may lie, until the same thread asks again.

    Returns
    -------
    (B,) array
        log p(x), the log-sum-exp of each column; -inf, with shares of 0, where all is -inf.

    References
    ----------
    Blanchard, Higham and Higham (2021), IMA J. Numer. Anal. 41:2311, doi 10.1093/imanum/draa038.
    """
    floor, too_much, least = LIMITS[log_joint.dtype]
    if len(log_joint) == 1:  # a row within its reach is the only component's
        alone: Array = log_joint[0].copy()
        log_joint -= np.maximum(alone, least)
        log_joint += 1.0
        np.maximum(log_joint, 0.0, out=log_joint)
        return alone
    size = (3, log_joint.shape[1])
    memory = (
        scratch("softmax", size, log_joint.dtype)
        if scratch is not None
        else np.empty_like(log_joint, shape=size)
    )
    top, total, scale = memory
    np.maximum.reduce(log_joint, out=top)
    np.maximum(top, least, out=top)  # -inf where the row is out of every reach
    log_joint -= top
    # To ask costs less than to raise; beside a NaN nobody knows.
    underflows = not np.minimum.reduce(log_joint, axis=None) >= floor
    if underflows:
        np.maximum(log_joint, floor, out=log_joint)
    np.exp(log_joint, out=log_joint)
    np.add.reduce(log_joint, out=total)
    if underflows:
        log_joint -= too_much
    log_joint *= np.divide(1.0, total, out=scale)
    if underflows:
        top[(top == least) & (total < 0.5)] = -np.inf  # the top's own share is 1
    np.log(total, out=total)
    total += top
    return total
