"""Responsibilities of rows of whose components something is known."""

from __future__ import annotations

import numpy as np

from emgmm.estep.scratch import Scratch
from emgmm.estep.softmax import softmax
from emgmm.sources.known import Known
from emgmm.typing import Array


def constrained_softmax(
    log_joint: Array, known: Known | None, scratch: Scratch | None = None
) -> Array:
    """Turn the log-joint of a block into responsibilities, in place, given what is known.

    A row with a label belongs only to the components that the label allows. A row with known
    responsibilities keeps them.

    Parameters
    ----------
    log_joint : (K, B)
        The log-joint, including noise, which is overwritten.
    known : Known or None
        Labels or responsibilities of the rows; None gives `softmax`.
    scratch : Scratch, optional
        Work arrays, one of which holds the result.

    Returns
    -------
    (B,) array
        Contribution of each row to the log-likelihood: the log-sum-exp of the log-joint over the
        allowed components, or sum_k r_k (log pi_k + log N_k) for known responsibilities r.

    References
    ----------
    McLachlan and Peel (2000), Finite Mixture Models, doi 10.1002/0471721182.
    """
    if known is None:
        return softmax(log_joint, scratch)
    if known.excluded is not None:
        log_joint[known.excluded] = -np.inf
        return softmax(log_joint, scratch)
    fixed, given = known.is_fixed, known.responsibilities
    with np.errstate(invalid="ignore"):  # 0 times -inf
        expected = np.where(given > 0, given * log_joint, 0.0).sum(axis=0)
    log_densities = softmax(log_joint, scratch)
    np.copyto(log_joint, given, where=fixed, casting="same_kind")
    np.copyto(log_densities, expected, where=fixed, casting="same_kind")
    return log_densities
