"""What a form of the E-step is: the log-joint of a block, and the sums that a pass adds up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from emgmm.estep.softmax import softmax
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers


def most_probable(lines: Array) -> Integers:
    """(B,): which of the (K, B) lines is most_probable, the first of equals; faster than `argmax`.

    What is NaN is none of them; if all are, it is the first.
    """
    top = np.fmax(lines[0], -np.inf)
    found = np.zeros(len(top), dtype=np.int64)
    for k, own in enumerate(lines[1:], start=1):
        np.putmask(found, own > top, k)
        np.fmax(top, own, out=top)
    return found


class EStep(ABC):
    """The E-step of one mixture; each method takes one block and lets go of all that is K x B.

    Blocks are handed to it from several threads at once.
    """

    #: Rows of a block at which the form is fastest.
    block_rows: int

    @abstractmethod
    def log_joint(self, rows: Array) -> Array:
        """(K, B): log pi_k + log N(x_i; mu_k, Sigma_k) of a (D, B) block."""

    def relative_log_joint(self, rows: Array) -> Array:
        """(K, B): the same, but for what all components share: enough for labels and shares."""
        return self.log_joint(rows)

    def labels(self, rows: Array) -> Integers:
        """(B,): the most probable component of each row, the first of equals."""
        return most_probable(self.relative_log_joint(rows))

    def responsibilities(self, rows: Array) -> Array:
        """(B, K): the responsibilities of a block."""
        shares = self.relative_log_joint(rows)
        softmax(shares)
        return shares.T

    def log_densities(self, rows: Array) -> Array:
        """(B,): log p(x) of each row."""
        return softmax(self.log_joint(rows))

    @abstractmethod
    def sums(self, block: Block) -> Any:
        """What the block adds to a pass, in the form's own coordinates; ``+`` adds two of them."""

    @abstractmethod
    def complete(self, sums: Any) -> Statistics:
        """The sufficient statistics that a whole pass's sums stand for."""
