"""The interface of E-steps: the log-joint of a block, and the sums that a pass adds up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from emgmm.estep.softmax import softmax
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

# Number of values up to which `argmax` is faster than a loop over the components.
FEW = 2**8


def most_probable(log_joint: Array, top: Array | None = None) -> Integers:
    """Return the component with the largest log-joint, (B,), for each column of a (K, B) array.

    NaN is ignored; a column of NaN gives 0. Ties are resolved as by `argmax`, which is slower
    unless there are few rows and `top`, the maximum of each column, is known.
    """
    if top is not None and log_joint.size <= FEW:
        return (log_joint == top).argmax(axis=0)
    top = np.fmax(log_joint[0], -np.inf)
    labels = np.zeros(len(top), dtype=np.int64)
    for k, row in enumerate(log_joint[1:], start=1):
        np.putmask(labels, row > top, k)
        np.fmax(top, row, out=top)
    return labels


class EStep(ABC):
    """The E-step of one mixture.

    Methods process one block of rows, (D, B), and are called by several threads at the same time.

    Attributes
    ----------
    block_rows : int
        Number of rows of a block for which the E-step is fastest.
    """

    block_rows: int

    @abstractmethod
    def log_joint(self, rows: Array) -> Array:
        """Return log pi_k + log N(x_i; mu_k, Sigma_k), (K, B)."""

    def relative_log_joint(self, rows: Array) -> Array:
        """Return the log-joint, (K, B), up to terms that all components share."""
        return self.log_joint(rows)

    def labels(self, rows: Array) -> Integers:
        """Return the most probable component of each row, (B,)."""
        return most_probable(self.relative_log_joint(rows))

    def responsibilities(self, rows: Array) -> Array:
        """Return the responsibilities, (B, K)."""
        responsibilities = self.relative_log_joint(rows)
        softmax(responsibilities)
        return responsibilities.T

    def log_densities(self, rows: Array) -> Array:
        """Return log p(x) of each row, (B,)."""
        return softmax(self.log_joint(rows))

    @abstractmethod
    def sums(self, block: Block) -> Any:
        """Return the contribution of a block to a pass; contributions are added by ``+``."""

    def complete(self, sums: Any) -> Statistics:
        """Return the sufficient statistics, given the sums of a whole pass."""
        statistics: Statistics = sums
        return statistics
